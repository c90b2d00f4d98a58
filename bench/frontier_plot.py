"""The frontier as a plot: a panel a set, a line a contender, labelled where it ends."""

import math
from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.frontier_report import Figures, display
from scoring.evaluation.evaluate import Result

COLOURS = {
    "scorecard": "#0b5394",
    "network": "#6a3d9a",
    "champion": "#111111",
    "dp-ebm": "#b45f06",
    "opacus": "#7f7f7f",
    "lightgbm": "#38761d",
}
LABEL_GAP = 0.055
"""Of a panel's height: two labels come no closer."""


def draw_frontier(figures: Figures, path: Path, *, folds: int) -> None:
    """Write the plot; the same figures give the same bytes."""
    with plt.rc_context(
        {"svg.hashsalt": "credence", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure, panels = plt.subplots(1, len(figures), figsize=(4.6 * len(figures), 4.4), squeeze=False)
        for axes, (data_set, results) in zip(panels[0], figures.items(), strict=True):
            _draw_panel(axes, data_set, results, folds)
        panels[0][0].set_ylabel("AUC of held-out rows")
        drawn = [name for name in COLOURS if any(one.model == name for rows in figures.values() for one in rows)]
        handles = [
            Line2D([], [], color=COLOURS[name], linestyle="--" if name == "lightgbm" else "-", linewidth=2)
            for name in drawn
        ]
        figure.legend(handles, [display(name) for name in drawn], loc="lower center", ncols=len(drawn), frameon=False)
        figure.tight_layout(rect=(0, 0.07, 1, 1))
        figure.savefig(path, metadata={"Date": None, "Creator": "python -m bench.frontier"})
        plt.close(figure)


def _draw_panel(axes: Axes, data_set: str, results: list[Result], folds: int) -> None:
    epsilons = sorted({one.epsilon_micro / 1e6 for one in results if one.epsilon_micro is not None})
    ends: list[tuple[float, str]] = []
    for name in dict.fromkeys(one.model for one in results):
        of_name = [one for one in results if one.model == name]
        colour = COLOURS[name]
        if of_name[0].epsilon_micro is None:
            axes.axhline(of_name[0].auc, color=colour, linestyle="--", linewidth=1.5)
        else:
            of_name.sort(key=lambda one: one.epsilon_micro or 0)
            axes.errorbar(
                [(one.epsilon_micro or 0) / 1e6 for one in of_name],
                [one.auc for one in of_name],
                yerr=[one.auc_sd / math.sqrt(folds) for one in of_name],
                color=colour,
                marker="o",
                markersize=4,
                linewidth=2.5 if name in ("scorecard", "champion") else 1.5,
                elinewidth=0.8,
                capsize=2,
            )
        ends.append((of_name[-1].auc, name))
    axes.set_xscale("log")
    axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    axes.minorticks_off()
    axes.set_xlim(min(epsilons) * 0.85, max(epsilons) * 3.4)
    axes.set_xlabel("epsilon (delta 1e-5)")
    axes.set_title(data_set, loc="left", fontweight="bold")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    low, high = axes.get_ylim()
    at = -math.inf
    for auc, name in sorted(ends):
        at = max(auc, at + LABEL_GAP * (high - low))
        axes.text(max(epsilons) * 1.15, at, f"{name} {auc:.3f}", color=COLOURS[name], va="center", fontsize=9)
