"""Declared directions, held by a whole scorecard: a table of two columns gives way where it would turn one around.

A column's own table follows its direction (`WeighedInput.project`). A table of two columns may go against it by what
the column's own step at the same place makes up for, which all such tables share. Where it goes further it becomes the
nearest table that does not. Only released figures are read, so this costs no privacy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Product, Quantity
from scoring.evidence import isotonic
from scoring.schema import Column

Number = TypeVar("Number", bound=np.generic)

MOST_ROUNDS, SETTLED_POINTS = 50, 0.1
"""When alternating projections end; the whole points that come of them are put in order whatever is left."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A table of two columns: their places, its cells, and of each cell, the absent one last, points and weight."""

    of: tuple[int, int]
    cells: Product
    points: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Side:
    """Along one axis of a surface: points fall by its first `groups` if `sign` is 1, rise if -1, but for `allowed`."""

    axis: int
    sign: int
    groups: int
    against: NDArray[np.int64]
    allowed: NDArray[np.int64]

    @property
    def is_held(self) -> bool:
        return bool((self.against <= self.allowed).all())


def hold_directions(
    columns: Sequence[Column], own: Sequence[NDArray[np.int64]], surfaces: Sequence[Surface]
) -> list[NDArray[np.int64]]:
    """The points of each surface, with which no value's growth moves a score against its column's direction.

    `own` are the points of each column's cells by its own table, which follow the direction already.
    """
    grids = [one.points[:-1].reshape(max(one.cells.left) + 1, -1) for one in surfaces]
    sides: list[list[_Side]] = [[] for _ in surfaces]
    for place, column in enumerate(columns):
        if column.monotone is not None and isinstance(column.cells, Quantity):
            sign = 1 if column.monotone == "increasing" else -1
            steps = -sign * np.diff(own[place][: column.cells.ordinary])
            _share_steps(place, sign, steps, surfaces, grids, sides)
    held = []
    for surface, grid, of_surface in zip(surfaces, grids, sides, strict=True):
        if not all(side.is_held for side in of_surface):
            grid = _nearest(grid, surface.weights[:-1].reshape(grid.shape), of_surface)
        held.append(np.append(grid, surface.points[-1]))
    return held


def _share_steps(
    place: int,
    sign: int,
    steps: NDArray[np.int64],
    surfaces: Sequence[Surface],
    grids: Sequence[NDArray[np.int64]],
    sides: list[list[_Side]],
) -> None:
    """Give each surface of a column its part of the steps (at least 0) of the column's own table, by what it needs."""
    found = []
    needed = np.zeros_like(steps)
    for number, surface in enumerate(surfaces):
        for axis, groups in enumerate((surface.cells.left, surface.cells.right)):
            if surface.of[axis] == place:
                cuts = np.flatnonzero(np.diff(groups[: len(steps) + 1]))
                lines = np.moveaxis(grids[number], axis, 0)[: len(cuts) + 1]
                against = np.maximum(sign * np.diff(lines, axis=0), 0).max(axis=1)
                needed[cuts] += against
                found.append((number, axis, cuts, against))
    for number, axis, cuts, against in found:
        allowed = against * steps[cuts] // np.maximum(np.maximum(needed, steps)[cuts], 1)
        sides[number].append(_Side(axis=axis, sign=sign, groups=len(cuts) + 1, against=against, allowed=allowed))


def _nearest(grid: NDArray[np.int64], weights: NDArray[np.float64], sides: Sequence[_Side]) -> NDArray[np.int64]:
    """The nearest whole points, in weighted least squares, that go against no side by more than is allowed.

    Source: Dykstra 1983, for projections in turn.
    """
    # Beside what is allowed, added up along the axis, the points themselves must fall or rise.
    leave = np.zeros_like(grid)
    for side in sides:
        _lines(leave, side)[1:] += (side.sign * np.cumsum(side.allowed))[:, None]
    values = (grid - leave).astype(np.float64)
    owed = [np.zeros_like(values) for _ in sides]
    for _ in range(MOST_ROUNDS):
        before = values.copy()
        for number, side in enumerate(sides):
            wanted = values + owed[number]
            values = wanted.copy()
            lines, weights_of = _lines(values, side), _lines(weights, side)
            for line in range(lines.shape[1]):
                lines[:, line] = -side.sign * isotonic(-side.sign * lines[:, line], weights_of[:, line])
            owed[number] = wanted - values
        if len(sides) == 1 or np.abs(values - before).max() < SETTLED_POINTS:
            break
    whole = np.rint(values).astype(np.int64)
    for side in sides:
        ordered = _lines(whole, side)
        ordered[:] = side.sign * np.minimum.accumulate(side.sign * ordered, axis=0)
    return whole + leave


def _lines(grid: NDArray[Number], side: _Side) -> NDArray[Number]:
    """A view of a grid: the ordered groups of a side by those of the other axis."""
    return np.moveaxis(grid, side.axis, 0)[: side.groups]
