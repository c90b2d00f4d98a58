"""The population stability index, by hand and by what it is for."""

import math

import numpy as np
import pytest

from scoring.errors import DriftNotComparable
from scoring.validation.drift import LEAST_SHARE, DriftReference, alarm_of, drift_reference, psi
from tests.scoring.validation.conftest import EDGES, as_table, draw_table, score_shares

HALVES = DriftReference(edges=(600,), shares_ppm=(500_000, 400_000, 100_000))


def test_the_index_is_that_of_the_field() -> None:
    expected = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.4) + (LEAST_SHARE - 0.1) * math.log(LEAST_SHARE / 0.1)
    assert psi(HALVES, [60, 40, 0]) == pytest.approx(expected)
    assert psi(HALVES, [5, 4, 1]) == pytest.approx(0.0)


@pytest.mark.parametrize(("index", "alarm"), [(0.0, "stable"), (0.0999, "stable"), (0.1, "watch"), (0.25, "act")])
def test_the_alarms_are_at_a_tenth_and_a_quarter(index: float, alarm: str) -> None:
    assert alarm_of(index) == alarm


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, 3, 4], [0, 0, 0], [-1, 5, 5], []])
def test_counts_of_other_bins_are_refused(counts: list[int]) -> None:
    with pytest.raises(DriftNotComparable):
        psi(HALVES, counts)


def test_the_reference_is_the_released_table_made_non_negative() -> None:
    counts = draw_table(score_shares(), 6_000, 4.0, np.random.default_rng(1))
    coarse = EDGES[4:-2:3]
    reference = drift_reference(as_table(counts, 4.0), coarse)
    assert reference.edges == coarse
    assert min(reference.shares_ppm) >= 0
    assert sum(reference.shares_ppm) == pytest.approx(10**6, abs=len(coarse))
    fine = drift_reference(as_table(counts, 4.0), EDGES).shares_ppm
    assert reference.shares_ppm[0] == pytest.approx(sum(fine[: EDGES.index(coarse[0]) + 1]), abs=20)
    assert reference.shares_ppm[-1] == fine[-1]


def test_the_same_people_are_stable_and_others_are_not() -> None:
    source = np.random.default_rng(2)
    coarse = EDGES[4:-2:3]
    reference = drift_reference(as_table(draw_table(score_shares(), 6_000, 4.0, source), 4.0), coarse)

    def today(middle: float) -> list[int]:
        table = as_table(draw_table(score_shares(middle=middle), 5_000, 0.0, source), 0.0)
        return list(drift_reference(table, coarse).shares_ppm)

    assert alarm_of(psi(reference, today(545))) == "stable"
    assert alarm_of(psi(reference, today(556))) == "watch"
    assert alarm_of(psi(reference, today(580))) == "act"
