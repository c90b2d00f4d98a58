"""The frontier as Markdown, and the promises that it is held to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.evaluation.evaluate import Result

Figures = dict[str, list[Result]]
"""Of each set, every contender's results."""

NEAR_LIGHTGBM = {"gmsc": 0.007, "taiwan": 0.010}
MOST_ECE = {"gmsc": 0.010, "taiwan": 0.015}
NAMES = {"dp-ebm": "DP-EBM", "lightgbm": "LightGBM, not private", "opacus": "Opacus DP-SGD MLP"}
RECIPES = {
    "dp-ebm": "DP-EBM: interpret's defaults under Gaussian DP, given the schema's bounds and codes.",
    "lightgbm": "LightGBM: one set of parameters for all sets (fewer and smaller trees below 5,000 rows); no privacy.",
    "opacus": "Opacus: one hidden layer of 32, 200 steps of Adam over Poisson batches of a quarter of the rows, 2,048 "
    "at most, so fewer epochs the larger the set; hooks, PRV accountant.",
}


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What was promised of the frontier, what was found, and whether that keeps it."""

    text: str
    found: str
    kept: bool


def list_promises(figures: Figures, *, model: str) -> list[Promise]:
    """The promises of a model that the figures at hand can show."""
    promises = []
    differences: list[float] = []
    for data_set, results in figures.items():
        for ours in (one for one in results if one.model == model):
            for anchor in _of(results, "dp-ebm", ours.epsilon_micro):
                difference, error = compare(ours, anchor)
                differences.append(difference)
                promises.append(
                    Promise(
                        text=f"{data_set}, epsilon {epsilon_text(ours)}: no worse than DP-EBM beyond a standard error",
                        found=f"{difference:+.4f} ± {error:.4f}",
                        kept=difference >= -error,
                    )
                )
    if differences:
        mean = float(np.mean(differences))
        promises.append(
            Promise(text="ahead of DP-EBM on the mean of all sets and epsilons", found=f"{mean:+.4f}", kept=mean > 0)
        )
    for data_set, most in NEAR_LIGHTGBM.items():
        for ours in _of(figures.get(data_set, []), model, 3_000_000):
            for anchor in _of(figures[data_set], "lightgbm", None):
                difference, error = compare(ours, anchor)
                promises.append(
                    Promise(
                        text=f"{data_set}, epsilon 3: within {most} of LightGBM",
                        found=f"{difference:+.4f} ± {error:.4f}",
                        kept=-difference <= most,
                    )
                )
    for data_set, most in MOST_ECE.items():
        for ours in _of(figures.get(data_set, []), model, 1_000_000):
            promises.append(
                Promise(
                    text=f"{data_set}, epsilon 1: calibration error at most {most}",
                    found=f"{ours.ece:.4f}",
                    kept=ours.ece <= most,
                )
            )
    return promises


def compare(ours: Result, other: Result) -> tuple[float, float]:
    """How much larger our mean AUC is, and the standard error of that: of the folds' differences, which are paired."""
    differences = np.array(ours.fold_auc) - np.array(other.fold_auc)
    return float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))


CAVEAT = (
    "No fit sees a row that it is judged on. Yet the constants of our models (shares of the budget, priors, how many "
    "pairs) were settled while these three sets, and those of `python -m bench.made_sets`, were looked at, and so were "
    "the anchors' settings; a set that nobody here has seen is the fairer judge: `credence evaluate` takes one with "
    "its schema file."
)
"""Said under every report."""


def format_report(
    figures: Figures, promises: Sequence[Promise], *, models: Sequence[str], folds: int, noise_seeds: int
) -> str:
    """docs/frontier.md."""
    contenders = list(dict.fromkeys(result.model for results in figures.values() for result in results))
    lines = [
        "# Accuracy against privacy",
        "",
        "Written by `python -m bench.frontier`, on public data only: raw figures of held-out rows, with seeded noise. "
        f"Every contender sees the same columns (all that the schema does not protect), rows and folds: {folds} "
        f"stratified folds in the file's order, seed 7, {noise_seeds} seeds of noise, delta 1e-5.",
        "",
        "![AUC against epsilon](frontier.svg)",
        "",
        "± is a standard error over folds: of a mean, the folds' sample standard deviation over the root of their "
        "number (`auc_sd / sqrt(folds)`); of a difference, that of the folds' own differences, for they are paired. "
        "The standard error of a mean is mostly how much folds differ, which moves all contenders alike. A fold's AUC "
        "is the mean over the noise's seeds. ECE is the expected calibration error of the pooled out-of-fold "
        "predictions in ten bins of equal mass.",
    ]
    for data_set, results in figures.items():
        lines += ["", f"## {data_set}", "", *_table(results, contenders, models)]
    lines += ["", "## What was promised", "", "| promise | found | |", "| --- | --- | --- |"]
    lines += [f"| {one.text} | {one.found} | {'kept' if one.kept else '**broken**'} |" for one in promises]
    lines += ["", "## The anchors", ""]
    lines += [f"- {RECIPES[name]}" for name in contenders if name in RECIPES]
    lines += ["", "## What these figures are not", "", CAVEAT]
    return "\n".join(lines) + "\n"


def _table(results: Sequence[Result], contenders: Sequence[str], models: Sequence[str]) -> list[str]:
    """A row for each epsilon: each contender's AUC and ECE, and how far the first model is ahead of each other one."""
    names = [name for name in contenders if any(one.model == name for one in results)]
    others = [name for name in names if name != models[0]]
    epsilons = sorted({result.epsilon_micro for result in results if result.epsilon_micro is not None})
    header = ["epsilon", *(f"AUC {display(name)}" for name in names)]
    ahead = ["epsilon", *(f"{display(models[0])} less {display(name)}" for name in others)]
    calibration = ["epsilon", *(f"ECE {display(name)}" for name in names)]
    tables: list[tuple[list[str], list[list[str]]]] = [(header, []), (ahead, []), (calibration, [])]
    for epsilon_micro in epsilons:
        found = {name: _at(results, name, epsilon_micro) for name in names}
        ours = found[models[0]]
        epsilon = f"{epsilon_micro / 1e6:g}"
        tables[0][1].append([epsilon, *(_auc(found[name]) for name in names)])
        tables[1][1].append([epsilon, *(_ahead(ours, found[name]) for name in others)])
        tables[2][1].append([epsilon, *("" if (one := found[name]) is None else f"{one.ece:.4f}" for name in names)])
    lines: list[str] = []
    for columns, rows in tables:
        if len(columns) > 1:
            lines += ["", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
            lines += [f"| {' | '.join(row)} |" for row in rows]
    return lines[1:]


def display(name: str) -> str:
    """A contender's name for a person."""
    return NAMES.get(name, name)


def epsilon_text(result: Result) -> str:
    """A result's epsilon for a person."""
    return "none" if result.epsilon_micro is None else f"{result.epsilon_micro / 1e6:g}"


def _auc(result: Result | None) -> str:
    if result is None:
        return ""
    return f"{result.auc:.4f} ± {result.auc_sd / math.sqrt(len(result.fold_auc)):.4f}"


def _ahead(ours: Result | None, other: Result | None) -> str:
    if ours is None or other is None:
        return ""
    difference, error = compare(ours, other)
    return f"{difference:+.4f} ± {error:.4f}"


def _of(results: Sequence[Result], model: str, epsilon_micro: int | None) -> list[Result]:
    return [one for one in results if (one.model, one.epsilon_micro) == (model, epsilon_micro)]


def _at(results: Sequence[Result], name: str, epsilon_micro: int) -> Result | None:
    """A contender's result at an epsilon, or the one that it has at none."""
    found = [one for one in results if one.model == name and one.epsilon_micro in (epsilon_micro, None)]
    return found[0] if found else None
