"""Figures against scikit-learn without noise, intervals that cover with it, and silence where it drowns them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from scoring.dp.accounting import budget_rho_e12
from scoring.scorecard import BANDS, Band, pd_ppm_of_points
from scoring.validation import intervals
from scoring.validation.histogram import score_edges
from scoring.validation.intervals import Figure, NotReleasable
from scoring.validation.performance import (
    Performance,
    auc,
    band_cells,
    bin_pd,
    brier,
    calibration_gaps,
    ks,
    measure_performance,
)
from tests.scoring.validation.conftest import EDGES, as_table, draw_table, score_shares

PD = bin_pd(EDGES)


def sigma_of(epsilon: float, tables: int = 1) -> float:
    """The noise of a validation of so many models at delta 1e-5, without groups."""
    return (tables * 1e12 / (2 * budget_rho_e12(round(epsilon * 1e6), 10_000_000))) ** 0.5


def measure(counts: NDArray[np.float64], sigma: float, *, rows_per_person: int = 1) -> Performance:
    return measure_performance(as_table(counts, sigma), BANDS, rows_per_person=rows_per_person)


def figure(performance: Performance, name: str) -> Figure:
    found = performance.figures[name]
    assert isinstance(found, Figure)
    return found


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_without_noise_the_figures_are_scikit_learns(seed: int) -> None:
    source = np.random.default_rng(seed)
    bins = source.integers(0, len(EDGES) + 1, 400)
    labels = (source.random(400) < PD[bins]).astype(int)
    labels[:2] = 0, 1
    counts = np.zeros((len(EDGES) + 1, 2))
    np.add.at(counts, (bins, labels), 1)
    assert auc(counts) == pytest.approx(roc_auc_score(labels, -bins))
    false_positives, true_positives, _ = roc_curve(labels, -bins, drop_intermediate=False)
    assert ks(counts) == pytest.approx(np.abs(true_positives - false_positives).max())
    assert brier(counts, PD) == pytest.approx(brier_score_loss(labels, PD[bins]))
    groups = (np.arange(len(PD)) // 8 == np.arange(5)[:, None]).astype(float)
    gaps = [(PD[bins][bins // 8 == group] - labels[bins // 8 == group]).sum() / 400 for group in range(5)]
    assert calibration_gaps(counts, PD, groups) == pytest.approx(gaps)


def test_many_tables_at_once_are_each_alone() -> None:
    source = np.random.default_rng(1)
    tables = source.integers(1, 50, (7, len(EDGES) + 1, 2)).astype(float)
    groups = np.ones((1, len(PD)))
    for of in (auc, ks, lambda table: brier(table, PD), lambda table: calibration_gaps(table, PD, groups)[..., 0]):
        assert of(tables) == pytest.approx([float(of(table)) for table in tables])


def test_a_bins_probability_is_that_of_its_middle() -> None:
    assert pd_ppm_of_points(604) / 1e6 == PD[EDGES.index(600) + 1]
    assert (np.diff(PD) < 0).all()
    assert len(PD) == len(EDGES) + 1


def test_bands_are_counted_from_their_cut_offs() -> None:
    counts = np.zeros((len(EDGES) + 2, 2))
    for cell, good, bad in ((600, 900, 100), (575, 300, 200), (525, 100, 400)):
        counts[EDGES.index(cell) + 1] = good, bad
    counts[-1] = 500, 500  # without a score: in no band
    bands = {band.name: band.figures for band in measure(counts, 0.0).bands}
    assert list(bands) == ["A", "B", "C", "D", "E"]
    for name, share, bad_rate in (("A", 0.5, 0.1), ("B", 0.25, 0.4), ("D", 0.25, 0.8)):
        assert bands[name]["share"].value_ppm == share * 1e6  # type: ignore[union-attr]
        assert bands[name]["bad_rate"].value_ppm == bad_rate * 1e6  # type: ignore[union-attr]
    assert bands["C"]["bad_rate"] == NotReleasable(reason="too_few")
    odd = (Band(name="yes", from_points=577), Band(name="no", from_points=300))
    edges = score_edges(odd)
    yes, no = band_cells(edges, odd)
    assert (no.start, no.stop, yes.start, yes.stop) == (0, edges.index(577) + 1, edges.index(577) + 1, len(edges) + 1)


def truth_of(shares: NDArray[np.float64]) -> dict[str, float]:
    scored = shares[:-1]
    rows = scored.sum()
    return {
        "auc": float(auc(scored)),
        "gini": 2 * float(auc(scored)) - 1,
        "ks": float(ks(scored)),
        "brier": float(brier(scored, PD)),
        "bad_rate": float(scored[:, 1].sum() / rows),
        "mean_pd": float((scored.sum(-1) * PD).sum() / rows),
        "ece": float(abs(scored.sum(-1) * PD - scored[:, 1]).sum() / rows),  # all gaps have one sign: any grouping
        "unscorable": float(shares[-1].sum()),
    }


def test_nine_in_ten_intervals_cover_what_holds_of_the_population(monkeypatch: pytest.MonkeyPatch) -> None:
    """At several sizes and epsilons, calibrated or not; of each figure at least 85 in 100 must."""
    monkeypatch.setattr(intervals, "DRAWS", 300)
    source = np.random.default_rng(7)
    covered: Counter[str] = Counter()
    measured: Counter[str] = Counter()
    for worse_by in (0, 8):
        shares = score_shares(worse_by=worse_by)
        truth = truth_of(shares)
        for count, epsilon in ((2_000, 8.0), (6_000, 1.0), (6_000, 3.0), (30_000, 0.5)):
            sigma = sigma_of(epsilon)
            for _ in range(20):
                table = as_table(draw_table(shares, count, sigma, source), sigma)
                figures = measure_performance(table, BANDS[-1:], rows_per_person=1).figures
                for name, value in truth.items():
                    found = figures[name]
                    if isinstance(found, Figure):
                        measured[name] += 1
                        covered[name] += found.low_ppm - 1 <= value * 1e6 <= found.high_ppm + 1
    assert min(measured[name] for name in truth) >= 120
    assert {name: covered[name] / measured[name] for name in truth if covered[name] < 0.85 * measured[name]} == {}


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_a_thousand_rows_say_nothing_of_discrimination(epsilon: float) -> None:
    source = np.random.default_rng(3)
    for _ in range(5):
        figures = measure(draw_table(score_shares(), 1_000, sigma_of(epsilon), source), sigma_of(epsilon)).figures
        assert isinstance(figures["auc"], NotReleasable)
        assert isinstance(figures["gini"], NotReleasable)


def test_six_thousand_rows_do_at_epsilon_one() -> None:
    source = np.random.default_rng(3)
    found = figure(measure(draw_table(score_shares(), 6_000, sigma_of(1.0), source), sigma_of(1.0)), "auc")
    assert found.high_ppm - found.low_ppm < 60_000


def test_an_empty_holdout_says_nothing() -> None:
    source = np.random.default_rng(2)
    performance = measure(draw_table(score_shares(), 0, 3.0, source), 3.0)
    everything = [performance.figures, *(band.figures for band in performance.bands)]
    assert {one for figures in everything for one in figures.values()} == {NotReleasable(reason="too_few")}


def test_the_same_table_gives_the_same_report() -> None:
    counts = draw_table(score_shares(), 6_000, 2.0, np.random.default_rng(4))
    assert measure(counts, 2.0) == measure(counts, 2.0)


def test_more_noise_and_more_rows_a_person_widen_every_interval() -> None:
    counts = draw_table(score_shares(), 20_000, 0.0, np.random.default_rng(4))
    plain = measure(counts, 0.0)
    for other in (measure(counts, 10.0), measure(counts, 0.0, rows_per_person=4)):
        for name in ("auc", "ks", "brier", "bad_rate", "unscorable"):
            one, two = figure(plain, name), figure(other, name)
            assert one.high_ppm - one.low_ppm < two.high_ppm - two.low_ppm
