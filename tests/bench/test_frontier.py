"""The frontier's report: promises are judged by paired differences, and the same figures give the same bytes."""

import hashlib
from pathlib import Path

import pytest

from bench.frontier_plot import draw_frontier
from bench.frontier_report import Figures, compare, format_report, list_promises
from scoring.evaluation.evaluate import Result


def result(model: str, epsilon: float | None, fold_auc: tuple[float, ...], ece: float = 0.005) -> Result:
    mean = sum(fold_auc) / len(fold_auc)
    return Result(
        model=model,
        epsilon_micro=None if epsilon is None else round(epsilon * 1e6),
        auc=mean,
        auc_sd=0.03,
        ks=0.4,
        brier=0.1,
        ece=ece,
        fit_s=1.0,
        fold_auc=fold_auc,
    )


@pytest.fixture
def figures() -> Figures:
    """gmsc: ahead of DP-EBM at 1, behind at 3 by as much in each fold, .008 behind LightGBM; taiwan: ill calibrated."""
    return {
        "gmsc": [
            result("scorecard", 1.0, (0.85, 0.86)),
            result("scorecard", 3.0, (0.86, 0.87)),
            result("dp-ebm", 1.0, (0.84, 0.85)),
            result("dp-ebm", 3.0, (0.861, 0.871)),
            result("lightgbm", None, (0.868, 0.878)),
        ],
        "taiwan": [result("scorecard", 1.0, (0.75, 0.79), ece=0.016), result("dp-ebm", 1.0, (0.79, 0.76))],
    }


def test_promises_are_judged_by_paired_differences(figures: Figures) -> None:
    kept = {promise.text: promise.kept for promise in list_promises(figures, model="scorecard")}
    assert kept == {
        "gmsc, epsilon 1: no worse than DP-EBM beyond a standard error": True,
        "gmsc, epsilon 3: no worse than DP-EBM beyond a standard error": False,  # each fold is .001 behind
        "taiwan, epsilon 1: no worse than DP-EBM beyond a standard error": True,  # -.005, give or take .035
        "ahead of DP-EBM on the mean of all sets and epsilons": True,
        "gmsc, epsilon 3: within 0.007 of LightGBM": False,
        "gmsc, epsilon 1: calibration error at most 0.01": True,
        "taiwan, epsilon 1: calibration error at most 0.015": False,
    }


def test_the_standard_error_of_a_difference_is_over_the_folds_own_differences() -> None:
    difference, error = compare(result("a", 1.0, (0.8, 0.7, 0.6)), result("b", 1.0, (0.7, 0.7, 0.5)))
    assert difference == pytest.approx(0.2 / 3)
    assert error == pytest.approx(((0.1 / 3) ** 2 * 2 + (0.2 / 3) ** 2) ** 0.5 / 2**0.5 / 3**0.5)


def test_report_and_plot_say_the_figures_and_repeat(figures: Figures, tmp_path: Path) -> None:
    promises = list_promises(figures, model="scorecard")
    report = format_report(figures, promises, models=["scorecard"], folds=5, noise_seeds=2)
    assert "| 1 | 0.8550 ± 0.0212 | 0.8450 ± 0.0212 | 0.8730 ± 0.0212 |" in report
    assert "| 3 | -0.0010 ± 0.0000 | -0.0080 ± 0.0000 |" in report
    assert report.count("**broken**") == 3
    digests = set()
    for name in ("one", "two"):
        draw_frontier(figures, tmp_path / f"{name}.svg", folds=5)
        digests.add(hashlib.sha256((tmp_path / f"{name}.svg").read_bytes()).hexdigest())
    assert len(digests) == 1
    assert b"<svg" in (tmp_path / "one.svg").read_bytes()
