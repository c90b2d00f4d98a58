"""The projection that draws are made from, and what makes a figure not releasable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scoring.validation.intervals import LEAST_ROWS, Figure, NotReleasable, Statistic, bootstrap, project

TABLES = st.lists(st.integers(-500, 5_000), min_size=2, max_size=12).map(lambda counts: np.array(counts, dtype=float))
EVERYTHING = np.ones((2, 2), dtype=bool)


def share_of(table: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = table[..., 0].sum(-1) / table.sum((-2, -1))
    return share


SHARE = Statistic(of=share_of, rests_on=(EVERYTHING,), most_noise=0.05)


@given(TABLES)
def test_a_projected_table_has_no_negative_count_and_the_same_total(counts: NDArray[np.float64]) -> None:
    projected = project(counts)
    assert (projected >= 0).all()
    assert projected.sum() == pytest.approx(max(counts.sum(), 1))
    assert project(projected) == pytest.approx(projected)


@given(TABLES, st.integers(0, 2**32 - 1))
def test_no_table_without_negative_counts_is_nearer(counts: NDArray[np.float64], seed: int) -> None:
    projected = project(counts)
    source = np.random.default_rng(seed)
    for _ in range(20):
        other = source.dirichlet(np.full(len(counts), 0.3)) * max(counts.sum(), 1)
        assert ((counts - projected) ** 2).sum() <= ((counts - other) ** 2).sum() + 1e-6


def test_too_few_rows_beyond_their_noise_are_not_releasable() -> None:
    for sigma in (0.0, 3.0):
        enough = LEAST_ROWS + 2 * sigma * 2  # four cells: two deviations are 2 sigma sqrt(4)
        for total, few in ((enough + 1, False), (enough - 1, True)):
            counts = np.full((2, 2), total / 4)
            found = bootstrap(counts, sigma=sigma, rows_per_person=1).estimate(
                Statistic(of=share_of, rests_on=(EVERYTHING,), most_noise=1.0)
            )
            assert (found == NotReleasable(reason="too_few")) == few


def test_noise_that_widens_an_interval_too_far_is_not_releasable() -> None:
    counts = np.full((2, 2), 1_000.0)
    quiet, loud = (bootstrap(counts, sigma=sigma, rows_per_person=1).estimate(SHARE) for sigma in (10.0, 400.0))
    assert isinstance(quiet, Figure)
    assert loud == NotReleasable(reason="noise")
    # Few persons alone are no reason: their uncertainty is in the interval, for everybody to see.
    few = bootstrap(np.full((2, 2), 15.0), sigma=0.0, rows_per_person=1).estimate(SHARE)
    assert isinstance(few, Figure)
    assert few.high_ppm - few.low_ppm > 150_000


def test_figures_stay_within_what_they_can_be() -> None:
    counts = np.array([[0.0, 100.0], [-3.0, 100.0]])
    found = bootstrap(counts, sigma=2.0, rows_per_person=1).estimate(SHARE)
    assert isinstance(found, Figure)
    assert (found.low_ppm, found.value_ppm) == (0, 0)


def test_a_figure_that_divides_by_nothing_is_not_releasable() -> None:
    nothing = Statistic(of=lambda table: table[..., 0, 0] / 0.0, rests_on=(EVERYTHING,), most_noise=9.0)
    found = bootstrap(np.full((2, 2), 100.0), sigma=1.0, rows_per_person=1).estimate(nothing)
    assert found == NotReleasable(reason="noise")
