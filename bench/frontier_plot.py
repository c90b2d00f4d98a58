"""The frontier as a plot: a panel a set, a line a contender, labelled where it ends."""

import math
from collections.abc import Sequence
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
LABEL_GAP = 0.06
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
    least, most = min(epsilons), max(epsilons)
    ends: list[tuple[float, str]] = []
    names = list(dict.fromkeys(one.model for one in results))
    for number, name in enumerate(names):
        of_name = [one for one in results if one.model == name]
        colour = COLOURS[name]
        if of_name[0].epsilon_micro is None:
            axes.hlines(of_name[0].auc, least / 1.1, most * 1.1, color=colour, linestyle="--", linewidth=1.5)
        else:
            of_name.sort(key=lambda one: one.epsilon_micro or 0)
            aside = 1 + 0.035 * (number - (len(names) - 2) / 2)  # so that error bars do not hide each other
            axes.errorbar(
                [(one.epsilon_micro or 0) / 1e6 * aside for one in of_name],
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
    axes.set_xlim(least / 1.2, most * 4.2)
    axes.set_xlabel("epsilon (delta 1e-5)")
    axes.set_title(data_set, loc="left", fontweight="bold")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    low, high = axes.get_ylim()
    heights = spread([auc for auc, _ in sorted(ends)], gap=LABEL_GAP * (high - low), highest=high)
    for (auc, name), height in zip(sorted(ends), heights, strict=True):
        axes.text(most * 1.25, height, f"{name} {auc:.3f}", color=COLOURS[name], va="center", fontsize=9)


def spread(heights: Sequence[float], *, gap: float, highest: float) -> list[float]:
    """Rising heights, moved as little as keeps them a gap apart and none above the highest: up, and then down again."""
    spread_out: list[float] = []
    for height in heights:
        spread_out.append(max(height, spread_out[-1] + gap) if spread_out else height)
    ceiling = highest
    for place in reversed(range(len(spread_out))):
        spread_out[place] = min(spread_out[place], ceiling)
        ceiling = spread_out[place] - gap
    return spread_out
