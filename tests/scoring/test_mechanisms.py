"""No record, however hostile, moves a sum by more than its declared sensitivity, and no noise is drawn uncharged."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scoring.dp import mechanisms
from scoring.dp.mechanisms import (
    RESIDUAL_SCALE,
    WEIGHT_SCALE,
    Releases,
    count_cells,
    count_rows,
    count_scores,
    products_sensitivity_squared,
    quantise_residuals,
    quantise_weights,
    sum_products,
    sum_residuals,
)
from scoring.dp.sampler import SeededSampler
from scoring.errors import ReleaseUncharged
from scoring.fitted import pd_ppm_of_totals
from scoring.scorecard import pd_ppm_of_points

SIZES = [1, 5, 32]
BIG = st.integers(-(2**40), 2**40)
RECORD = st.tuples(st.tuples(*(st.integers(0, size - 1) for size in SIZES)), st.integers(0, 1))
RECORDS = st.lists(RECORD, max_size=6)


def tensors(records: list[tuple[tuple[int, ...], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    cells = torch.tensor([cells for cells, _ in records], dtype=torch.int64).reshape(len(records), len(SIZES))
    return cells, torch.tensor([label for _, label in records], dtype=torch.int64)


def moved(more: torch.Tensor, fewer: torch.Tensor) -> int:
    return int(((more - fewer) ** 2).sum())


@given(RECORDS, RECORD)
def test_counts_move_by_their_norm_and_no_more(others: list[tuple[tuple[int, ...], int]], one: object) -> None:
    fewer, more = tensors(others), tensors([*others, one])  # type: ignore[list-item]
    assert moved(count_rows(more[1]), count_rows(fewer[1])) == 1
    assert moved(count_cells(*more, SIZES), count_cells(*fewer, SIZES)) == len(SIZES)
    assert moved(count_scores(more[0][:, 2], more[1], 32), count_scores(fewer[0][:, 2], fewer[1], 32)) == 1


@given(st.lists(st.tuples(st.integers(0, 4), BIG, BIG), min_size=1, max_size=6))
def test_residual_sums_move_by_at_most_their_scale(records: list[tuple[int, int, int]]) -> None:
    """Labels and probabilities that could never come from the scorecard are clipped all the same."""
    bins, labels, pd_ppm = (torch.tensor(column) for column in zip(*records, strict=True))
    residuals = quantise_residuals(labels, pd_ppm)
    weights = quantise_weights(residuals, pd_ppm)
    whole = sum_residuals(bins, residuals, weights, 5)
    assert moved(whole, sum_residuals(bins[:-1], residuals[:-1], weights[:-1], 5)) <= RESIDUAL_SCALE**2


@given(st.integers(0, 1), st.integers(0, 1_000_000))
def test_a_weight_is_cut_only_by_what_rounding_adds(label: int, pd_ppm: int) -> None:
    residual = quantise_residuals(torch.tensor([label]), torch.tensor([pd_ppm]))
    weight = int(quantise_weights(residual, torch.tensor([pd_ppm])))
    exact = pd_ppm * (1_000_000 - pd_ppm) * WEIGHT_SCALE / 1e12
    assert -1.5 <= weight - exact <= 0.5
    assert weight**2 + int(residual) ** 2 <= RESIDUAL_SCALE**2


FACTORS = st.lists(st.lists(st.integers(-32, 32), min_size=4, max_size=4), min_size=3, max_size=3)


@given(FACTORS, st.integers(1, 2_000), st.lists(st.tuples(*[st.integers(0, 2)] * 2, BIG, BIG), min_size=1, max_size=5))
def test_products_move_by_at_most_their_bound(
    factors: list[list[int]], bound: int, records: list[tuple[int, int, int, int]]
) -> None:
    """Two columns of three cells and two factors each; the products of factors of one column are released as well."""
    table = np.array(factors, dtype=np.int64)
    tables = (table[:, :2], table[:, 2:])
    cells = torch.tensor([record[:2] for record in records])
    labels, pd_ppm = (torch.tensor([record[place] for record in records]) for place in (2, 3))
    residuals = quantise_residuals(labels, pd_ppm)
    whole = sum_products(tables, cells, residuals, bound=bound)
    fewer = sum_products(tables, cells[:-1], residuals[:-1], bound=bound)
    assert moved(whole.triu(1), fewer.triu(1)) <= products_sensitivity_squared(bound)
    assert torch.equal(whole, whole.T)


def test_products_are_exact_sums_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    tables = (generator.integers(-32, 33, (5, 2)), generator.integers(-32, 33, (7, 3)))
    cells = torch.tensor(np.stack([generator.integers(0, 5, 1_000), generator.integers(0, 7, 1_000)], axis=1))
    residuals = torch.tensor(generator.integers(-RESIDUAL_SCALE, RESIDUAL_SCALE + 1, 1_000))
    monkeypatch.setattr(mechanisms, "BLOCK_ROWS", 64)
    values = np.concatenate([table[cells[:, place].numpy()] for place, table in enumerate(tables)], axis=1)
    expected = (values * residuals.numpy()[:, None]).T @ values
    assert sum_products(tables, cells, residuals, bound=10**6).tolist() == expected.tolist()


@given(st.integers(0, 1), st.integers(0, 1_000_000))
def test_residuals_are_rounded_to_nearest(label: int, pd_ppm: int) -> None:
    residual = int(quantise_residuals(torch.tensor([label]), torch.tensor([pd_ppm])))
    assert abs(residual * 1_000_000 - (label * 1_000_000 - pd_ppm) * RESIDUAL_SCALE) <= 500_000


def test_rounding_does_not_lean() -> None:
    pd_ppm = torch.arange(0, 1_000_000, 37)
    labels = (torch.arange(len(pd_ppm)) % 5 == 0).long()
    exact = float((labels - pd_ppm / 1e6).sum())
    assert abs(float(quantise_residuals(labels, pd_ppm).sum()) / RESIDUAL_SCALE - exact) < 0.1


def test_a_cell_that_was_not_declared_is_not_counted_anywhere() -> None:
    with pytest.raises((IndexError, RuntimeError)):
        count_cells(torch.tensor([[0, 0, 32]]), torch.tensor([1]), SIZES)
    with pytest.raises((IndexError, RuntimeError)):
        sum_residuals(torch.tensor([-1]), torch.tensor([1]), torch.tensor([0]), 3)


def test_probabilities_are_servings_own_at_any_total() -> None:
    totals = torch.tensor([-(2**40), -600, 0, 600, 601, 1_800, 2**40])
    assert pd_ppm_of_totals(totals).tolist() == [pd_ppm_of_points(total) for total in totals.tolist()]


def test_a_charge_covers_its_releases_and_not_one_more() -> None:
    releases = Releases(sampler=SeededSampler(1), charged_rho_e12=10_000_000, rows_per_person=3)
    sums = torch.zeros(4, dtype=torch.int64)
    for _ in range(10):
        releases.release("zeros", sums, sensitivity_squared=2, rho_e12=1_000_000)
    with pytest.raises(ReleaseUncharged):
        releases.release("zeros", sums, sensitivity_squared=2, rho_e12=10_000)
    (mechanism,) = releases.list_mechanisms()
    assert (mechanism.releases, mechanism.sensitivity_squared) == (10, 2)
    assert 2 * 3**2 * 10**24 / (2 * mechanism.sigma_micro**2) <= 1_000_000  # three rows a person: nine times
