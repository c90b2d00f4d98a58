"""No record, however hostile, moves a sum by more than its declared sensitivity, and no noise is drawn uncharged."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scoring.dp.mechanisms import (
    RESIDUAL_SCALE,
    Releases,
    count_cells,
    count_rows,
    count_scores,
    quantise_residuals,
    sum_residuals,
)
from scoring.dp.sampler import SeededSampler
from scoring.errors import ReleaseUncharged
from scoring.fitting import pd_ppm_of_totals
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
    whole = sum_residuals(bins, residuals, 5)
    assert moved(whole, sum_residuals(bins[:-1], residuals[:-1], 5)) <= RESIDUAL_SCALE**2


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
        sum_residuals(torch.tensor([-1]), torch.tensor([1]), 3)


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
