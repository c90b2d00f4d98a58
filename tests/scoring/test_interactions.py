"""Which pairs are chosen, and the coarse cells of their tables: from noised counts and products alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from scoring.cells import MAX_CELLS
from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import SeededSampler, SystemSampler
from scoring.features import Features
from scoring.fitted import FittedPoints, pair_cells, total_points
from scoring.fitting import fit_points, make_scorecard
from scoring.interactions import FACTOR_SCALE, Factors, build_factors, build_pair, choose_pairs, stand_out
from scoring.records import Records
from scoring.schema import Schema, parse_schema

COLUMNS = "".join(
    f"""
[[feature]]
name = "x{number}"
kind = "numeric"
low = 0
high = 1
special = [-1]
source = "urn:test:pairs:1#/x{number}"
"""
    for number in range(5)
)
PAIRS = parse_schema(
    f"""
name = "pairs"
label = "bad"
{COLUMNS}
[[feature]]
name = "trade"
kind = "categorical"
categories = ["a", "b", "c", "d", "e", "f", "g"]
source = "urn:test:pairs:1#/trade"

[[cross]]
of = ["x3", "x4"]
""".encode()
)
NUMBERS = st.lists(st.floats(-50, 500), min_size=32, max_size=32)


@given(st.lists(NUMBERS, min_size=2, max_size=2))
def test_factors_are_uncorrelated_bounded_and_0_where_absent(counts: list[list[float]]) -> None:
    """Whatever noise makes of the counts."""
    table = np.array(counts).T
    factors = build_factors(PAIRS.columns[:1], [table])
    assert (factors.tables[0][-1] == 0).all()
    assert np.abs(factors.tables[0]).max(initial=0) <= 4 * FACTOR_SCALE
    mass = np.maximum(table.sum(axis=1), 0) / max(np.maximum(table.sum(axis=1), 0).sum(), 1)
    values = factors.tables[0].astype(float)
    expected = np.diag(factors.units**2) if values.size else np.zeros((0, 0))
    clipped = np.abs(values).max(initial=0) >= 4 * FACTOR_SCALE
    if values.size and mass[-1] < 0.01 and not clipped:
        assert np.abs(values.T @ (mass[:, None] * values) - expected).max() < 6


def test_a_pair_has_few_cells_of_about_equal_mass_and_its_codes_stay_apart() -> None:
    generator = np.random.default_rng(5)
    counts = np.zeros((33, 2))
    counts[: PAIRS.columns[0].cells.count] = generator.integers(50, 500, (PAIRS.columns[0].cells.count, 2))
    counts = counts[: PAIRS.columns[0].cells.count]
    counts[-2] = (3_000, 3_000)  # the special code
    trade = np.array(
        [(5, 5), (900, 10), (800, 10), (20, 20), (700, 1), (600, 1), (500, 1), (0, 0), (9, 9)], dtype=float
    )
    pair = build_pair(PAIRS.columns[0], counts, PAIRS.columns[5], trade)
    assert pair.count <= MAX_CELLS
    ordinary, code = pair.left[:-1], pair.left[-1]
    assert list(ordinary) == sorted(ordinary)
    assert code not in ordinary
    masses = [counts[:-2][np.array(ordinary) == group].sum() for group in sorted(set(ordinary))]
    assert max(masses) < 2 * min(masses)
    assert [pair.right[place] for place in (1, 2, 4, 5)] == [0, 1, 2, 3]  # the largest have one each, the rest share
    assert {pair.right[place] for place in (0, 3, 6, 7)} == {4}


def _factors() -> Factors:
    generator = np.random.default_rng(7)
    counts = [generator.integers(50, 60, (column.cells.count, 2)).astype(float) for column in PAIRS.graded]
    return build_factors(PAIRS.columns, [*counts, np.ones((PAIRS.crosses[0].cells.count, 2))])


def test_pairs_that_stand_out_are_chosen_and_a_declared_cross_is_not_chosen_again() -> None:
    factors = _factors()
    left, right = factors.crossing
    names = [(int(factors.columns[a]), int(factors.columns[b])) for a, b in zip(left, right, strict=True)]
    products = np.zeros(len(names))
    products[names.index((0, 2))] = 9e4
    products[names.index((1, 5))] = -8e4
    products[names.index((3, 4))] = 7e4
    chosen = choose_pairs(PAIRS.columns, factors, products, sigma=1e4, weight=1e3)
    assert chosen == [(0, 2), (1, 5)]
    assert choose_pairs(PAIRS.columns, factors, products, sigma=1e5, weight=1e3) == []


def test_noise_alone_passes_about_once() -> None:
    factors = _factors()
    generator = np.random.default_rng(11)
    size = len(factors.crossing[0])
    found = [
        len(choose_pairs(PAIRS.columns, factors, generator.normal(0, 1e4, size), sigma=1e4, weight=1.0))
        for _ in range(300)
    ]
    assert 0.5 < np.mean(found) < 1.5


def test_pairs_are_looked_for_where_one_would_show() -> None:
    factors = _factors()
    assert stand_out(factors, sigma=1e3, weight=1e3)
    assert not stand_out(factors, sigma=1e6, weight=1e3)
    assert not stand_out(build_factors([], []), sigma=1.0, weight=1e9)


@pytest.fixture(scope="module")
def interacting() -> Records:
    """12,000 rows whose label depends on the product of two columns' signs, and on a third column."""
    generator = np.random.default_rng(13)
    values = generator.random((12_000, 5))
    trade = generator.integers(0, 8, 12_000)
    log_odds = -1 + 1.5 * np.sign(values[:, 0] - 0.5) * np.sign(values[:, 1] - 0.5) + values[:, 2]
    labels = generator.random(12_000) < 1 / (1 + np.exp(-log_odds))
    absent = generator.random((12_000, 6)) < 0.01
    cells = [
        np.where(absent[:, place], column.cells.absent, column.cells.cells_of_all(values[:, place]))  # type: ignore[union-attr]
        for place, column in enumerate(PAIRS.graded[:5])
    ]
    cells.append(np.where(absent[:, 5], PAIRS.graded[5].cells.absent, trade))
    cross = PAIRS.crosses[0].cells
    cells.append(np.array([cross.cell_of_cells(a, b) for a, b in zip(cells[3], cells[4], strict=True)]))
    return Records(
        cells=torch.tensor(np.stack(cells, axis=1)),
        labels=torch.tensor(labels.astype(np.int64)),
        persons=tuple(map(str, range(12_000))),
    )


def _fit(records: Records, *, noiseless: bool = False, schema: Schema = PAIRS) -> FittedPoints:
    releases = Releases(
        sampler=SeededSampler(1, noiseless=True) if noiseless else SystemSampler(),
        charged_rho_e12=budget_rho_e12(3_000_000, 10_000_000),
        rows_per_person=1,
    )
    return fit_points(schema.columns, records, releases, row_cap=10**6, random_bytes=bytes)


def test_an_interaction_is_found_and_scored_as_it_is_served(interacting: Records) -> None:
    cells, labels, persons = interacting.cells, interacting.labels, interacting.persons
    learned = Records(cells=cells[:9_000], labels=labels[:9_000], persons=persons[:9_000])
    fitted = _fit(learned)
    pairs = [table for table in fitted.tables if table.pair is not None]
    assert pairs[0].of == (0, 1)
    held_out = cells[9_000:]
    totals = total_points(fitted, held_out)
    assert roc_auc_score(labels[9_000:], -totals) > 0.75  # without the pair it is about .55

    scorecard = make_scorecard(PAIRS, fitted)
    assert scorecard.crosses[0].name == "x0 x x1"
    people = [Features(values=(), cells=tuple(row)) for row in held_out[:500].tolist()]
    assert [scorecard.unclamped_points(one) for one in people] == totals[:500].tolist()
    best = scorecard.offset + sum(max(table.points) for table in scorecard.tables)
    for one in people[:50]:
        lost = sum(
            max(table.points) - table.points[cell]
            for table, cell in zip(
                scorecard.tables,
                [scorecard.cells_of(one)[scorecard.position[table.feature]] for table in scorecard.tables],
                strict=True,
            )
        )
        assert best - lost == scorecard.unclamped_points(one)


def test_nothing_is_found_where_nothing_interacts(interacting: Records) -> None:
    shuffled = torch.tensor(np.random.default_rng(17).permutation(len(interacting.labels)))
    plain = Records(cells=interacting.cells, labels=interacting.labels[shuffled], persons=interacting.persons)
    assert all(table.pair is None for table in _fit(plain, noiseless=True).tables)


def test_a_found_pair_and_a_declared_cross_hold_declared_directions(interacting: Records) -> None:
    """Though half of the persons of either side of the first column really are the better, the more they have of it."""
    direct = 'low = 0\nhigh = 1\nmonotone = "increasing"'
    directed = parse_schema(PAIRS.toml.decode().replace("low = 0\nhigh = 1", direct).encode())
    fitted = _fit(interacting, schema=directed)
    assert (0, 1) in {table.of for table in fitted.tables if table.pair is not None}
    cross = directed.crosses[0].cells
    for place in range(5):
        cells = interacting.cells.clone()
        column = directed.graded[place].cells
        cells[:, place] = torch.from_numpy(np.random.default_rng(place).integers(0, column.ordinary - 1, len(cells)))
        totals = []
        for step in (0, 1):
            cells[:, place] += step
            cells[:, 6] = pair_cells(cross, cells[:, 3], cells[:, 4])
            totals.append(total_points(fitted, cells))
        assert (totals[1] <= totals[0]).all()
        assert (totals[1] < totals[0]).any() or place in (1, 3, 4)  # of no use, or only with the first
