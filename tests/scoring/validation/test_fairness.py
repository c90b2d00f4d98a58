"""Ratios and differences between groups, counted by hand without noise and covered with it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.scorecard import BANDS
from scoring.validation import intervals
from scoring.validation.fairness import Fairness, measure_fairness
from scoring.validation.histogram import GROUP_GRID, score_edges
from scoring.validation.intervals import Figure, NotReleasable
from scoring.validation.performance import bin_pd
from scoring.validation.tables import GroupTable
from tests.scoring.validation.conftest import EDGES, as_table, score_shares

COARSE = score_edges(BANDS, GROUP_GRID)
FROM_B = COARSE.index(575) + 1


def coarsen(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    starts = [0, *(EDGES.index(edge) + 1 for edge in COARSE), len(shares) - 1]
    return np.add.reduceat(shares, starts)


def measure(counts: NDArray[np.float64], sigma: float, fine: NDArray[np.float64]) -> Fairness:
    table = GroupTable(
        column="SEX",
        groups=("1", "2", "absent"),
        edges=COARSE,
        counts=tuple(tuple((int(good), int(bad)) for good, bad in group) for group in counts),
        sigma_micro=round(sigma * 1e6),
    )
    return measure_fairness(table, as_table(fine, sigma), BANDS, rows_per_person=1)


def value_of(found: Figure | NotReleasable) -> float:
    assert isinstance(found, Figure)
    return found.value_ppm / 1e6


def test_without_noise_the_figures_are_those_of_the_counts() -> None:
    source = np.random.default_rng(1)
    counts = np.zeros((3, len(COARSE) + 2, 2))
    counts[0] = source.integers(100, 200, counts[0].shape)
    counts[1] = source.integers(20, 90, counts[1].shape)
    fairness = measure(counts, 0.0, score_shares() * 10_000)
    assert (fairness.column, fairness.reference) == ("SEX", "1")
    one, two, absent = fairness.groups
    cut = {each.band: each.figures for each in two.cuts}
    assert list(cut) == ["A", "B", "C", "D"]
    approved = [counts[group, FROM_B:-1].sum() / counts[group].sum() for group in (0, 1)]
    of_good = [counts[group, FROM_B:-1, 0].sum() / counts[group, :, 0].sum() for group in (0, 1)]
    assert value_of(cut["B"]["approved"]) == pytest.approx(approved[1], abs=1e-6)
    assert value_of(cut["B"]["adverse_impact_ratio"]) == pytest.approx(approved[1] / approved[0], abs=1e-6)
    assert value_of(cut["B"]["equal_opportunity_difference"]) == pytest.approx(of_good[1] - of_good[0], abs=1e-6)
    assert value_of(two.figures["share"]) == pytest.approx(counts[1].sum() / counts.sum(), abs=1e-6)
    assert set(one.cuts[0].figures) == {"approved"}  # compared with itself there is nothing to say
    assert set(absent.cuts[0].figures.values()) == {NotReleasable(reason="too_few")}


def test_a_group_that_goes_bad_as_expected_has_no_gap() -> None:
    """Within a coarse bin, expected is the mean over the finer ones as people lie in them."""
    fine = np.rint(score_shares() * 400_000)
    counts = np.stack([coarsen(fine) * 0.6, coarsen(fine) * 0.4, coarsen(fine) * 0])
    rows = fine[:-1]
    expected = (rows.sum(-1) * bin_pd(EDGES)).sum() / rows.sum() - rows[:, 1].sum() / rows.sum()
    for group in measure(counts, 0.0, fine).groups[:2]:
        assert value_of(group.figures["calibration_gap"]) == pytest.approx(expected, abs=2e-4)


def test_intervals_between_groups_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 300)
    worse, better = coarsen(score_shares(middle=535)), coarsen(score_shares(middle=550))
    shares = np.stack([better * 0.6, worse * 0.4, worse * 0])
    approved = [group[FROM_B:-1].sum() / group.sum() for group in (better, worse)]
    of_good = [group[FROM_B:-1, 0].sum() / group[:, 0].sum() for group in (better, worse)]
    truth = {
        "adverse_impact_ratio": approved[1] / approved[0],
        "equal_opportunity_difference": of_good[1] - of_good[0],
    }
    source = np.random.default_rng(5)
    covered, measured = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(40):
        counts = source.multinomial(12_000, shares.ravel()).reshape(shares.shape)
        noised = counts + np.rint(source.normal(0, 4.0, shares.shape))
        figures = measure(noised, 4.0, score_shares() * 12_000).groups[1].cuts[1].figures
        for name, value in truth.items():
            found = figures[name]
            if isinstance(found, Figure):
                measured[name] += 1
                covered[name] += found.low_ppm <= value * 1e6 <= found.high_ppm
    assert min(measured.values()) >= 35
    assert all(covered[name] >= 0.85 * measured[name] for name in truth)
