"""No growth of a value moves a score against its declared direction, whatever tables of two columns were fitted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scoring.cells import Product, build_product
from scoring.directions import Surface, hold_directions
from scoring.schema import parse_schema

SCHEMA = parse_schema(
    b"""
name = "directed"
label = "bad"

[[feature]]
name = "rising"
kind = "integer"
low = 0
high = 11
special = [-1]
monotone = "increasing"

[[feature]]
name = "falling"
kind = "integer"
low = 0
high = 11
monotone = "decreasing"

[[feature]]
name = "free"
kind = "categorical"
categories = ["a", "b", "c"]
"""
)
COLUMNS = SCHEMA.columns
RISING, FALLING, FREE = COLUMNS
BY_MASS = Product(left=(0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4), right=(0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 4, 4))
PAIRS = [
    ((0, 1), build_product(RISING.cells, FALLING.cells)),  # type: ignore[arg-type]
    ((0, 1), BY_MASS),
    ((1, 0), build_product(FALLING.cells, RISING.cells)),  # type: ignore[arg-type]
    ((2, 0), build_product(FREE.cells, RISING.cells)),  # type: ignore[arg-type]
    ((1, 2), build_product(FALLING.cells, FREE.cells)),  # type: ignore[arg-type]
]


def draw(seed: int, *, size: float) -> tuple[list[NDArray[np.int64]], list[Surface]]:
    """Own tables that follow their directions, and any tables of two."""
    generator = np.random.default_rng(seed)
    own = [np.rint(generator.normal(0, 20, column.cells.count)).astype(np.int64) for column in COLUMNS]
    own[0][:12] = np.sort(own[0][:12])[::-1]
    own[1][:12] = np.sort(own[1][:12])
    surfaces = [
        Surface(
            of=of,
            cells=cells,
            points=np.rint(generator.normal(0, size, cells.count)).astype(np.int64),
            weights=generator.exponential(1, cells.count),
        )
        for of, cells in PAIRS
    ]
    return own, surfaces


def worst_steps(own: list[NDArray[np.int64]], surfaces: list[Surface], points: list[NDArray[np.int64]]) -> list[int]:
    """Of each growth of a directed value by a cell, the most points that it can move a score against its direction."""
    worst = []
    for place, sign in ((0, 1), (1, -1)):
        for cell in range(11):
            against = sign * int(own[place][cell + 1] - own[place][cell])
            for surface, of_cells in zip(surfaces, points, strict=True):
                if place not in surface.of:
                    continue
                other = 1 - surface.of.index(place)
                moves = []
                for beside in range(COLUMNS[surface.of[other]].cells.count):
                    pairs = [(one, beside) if other else (beside, one) for one in (cell, cell + 1)]
                    before, after = (int(of_cells[surface.cells.cell_of_cells(*pair)]) for pair in pairs)
                    moves.append(sign * (after - before))
                against += max(moves)
            worst.append(against)
    return worst


@given(st.integers(0, 2**32), st.sampled_from([1.0, 10.0, 100.0]))
def test_directions_hold_whatever_was_fitted(seed: int, size: float) -> None:
    own, surfaces = draw(seed, size=size)
    held = hold_directions(COLUMNS, own, surfaces)
    assert max(worst_steps(own, surfaces, held)) <= 0
    assert [one[-1] for one in held] == [one.points[-1] for one in surfaces]  # what is absent has no direction
    again = [replace(one, points=points) for one, points in zip(surfaces, held, strict=True)]
    assert all((a == b).all() for a, b in zip(hold_directions(COLUMNS, own, again), held, strict=True))


def test_what_turns_nothing_around_stays_as_it_is() -> None:
    own, surfaces = draw(1, size=3.0)
    own[0][:12], own[1][:12] = -100 * np.arange(12), 100 * np.arange(12)
    held = hold_directions(COLUMNS, own, surfaces)
    assert all((one.points == points).all() for one, points in zip(surfaces, held, strict=True))


def test_a_column_without_steps_of_its_own_leaves_the_nearest_table_in_order() -> None:
    """Two groups the wrong way round meet in their weighted mean; codes and the free column are left alone."""
    own = [np.zeros(column.cells.count, dtype=np.int64) for column in COLUMNS]
    cells = build_product(FREE.cells, RISING.cells)  # type: ignore[arg-type]
    grid = np.zeros((4, 5), dtype=np.int64)
    grid[1] = (9, 3, 7, 0, 50)
    weights = np.ones((4, 5))
    weights[1, 2] = 3.0
    surface = Surface(of=(2, 0), cells=cells, points=np.append(grid, 77), weights=np.append(weights, 1.0))
    (held,) = hold_directions(COLUMNS, own, [surface])
    grid[1] = (9, 6, 6, 0, 50)
    assert held.tolist() == [*grid.ravel().tolist(), 77]


@pytest.mark.parametrize("need", [(10, 30), (3, 5)])
def test_tables_share_the_steps_of_a_columns_own(need: tuple[int, int]) -> None:
    own = [np.zeros(column.cells.count, dtype=np.int64) for column in COLUMNS]
    cells = build_product(FREE.cells, RISING.cells)  # type: ignore[arg-type]
    cut = cells.right.index(1)
    own[0][cut:12] = -20
    surfaces = []
    for points in need:
        grid = np.zeros((4, 5), dtype=np.int64)
        grid[2, 1:4] = points
        surfaces.append(Surface(of=(2, 0), cells=cells, points=np.append(grid, 0), weights=np.ones(21)))
    held = hold_directions(COLUMNS, own, surfaces)
    steps = [int(points[:-1].reshape(4, 5)[2, 1] - points[:-1].reshape(4, 5)[2, 0]) for points in held]
    assert steps == [min(one, 20 * one // max(sum(need), 20)) for one in need]
