"""From noised counts to points: merging, weight of evidence, shrinkage, isotonic projection.

Everything here sees released figures only, so none of it costs privacy. Log odds are natural and of bad to good;
a weight of evidence is a bin's log odds less the population's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Quantity
from scoring.schema import Column
from scoring.scorecard import PDO

POINTS_PER_LOG_ODDS = PDO / math.log(2)

MERGE_SIGMAS = 4.0
"""A bin's noised counts, of either label, reach this many deviations of their noise."""
LEAST_COUNT = 10.0
PRIOR_ROWS = 20.0
"""Rows at the population's rate that each bin is given beside its own; and as many more as the noise's deviation."""
STEP_DEVIATION = 0.5
"""Prior deviation of the step of log odds between neighbouring bins of a quantity."""
EVIDENCE_DEVIATION = 1.0
"""Prior deviation of a bin's weight of evidence."""
CORRECTION_DEVIATION = 0.15
"""Prior deviation of what the residuals add to a bin's log odds."""
LEAST_SLOPE = 0.02


@dataclass(frozen=True, kw_only=True)
class BinnedInput:
    """An input's public cells merged to bins.

    `bins` gives each cell's bin, the first `ordered` of which follow each other by rising value. `evidence` and
    `rows` (noised, at least 1) are one a bin. `direction` is 1 where log odds must rise along them, -1 fall, 0 free.
    """

    bins: tuple[int, ...]
    ordered: int
    direction: int
    evidence: NDArray[np.float64]
    rows: NDArray[np.float64]

    def project(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest log odds that follow the declared direction, bins weighed by their rows."""
        if self.direction == 0:
            return log_odds
        rising = _isotonic(self.direction * log_odds[: self.ordered], self.rows[: self.ordered])
        return np.concatenate([self.direction * rising, log_odds[self.ordered :]])


def estimate_base_rate(counts: Sequence[NDArray[np.float64]]) -> float:
    """The population's bad rate from every input's noised (cells, label) counts, each a count of the same rows.

    An input of fewer cells sums less noise and weighs more. Kept within .5% and 99.5%.
    """
    totals = sum(table.sum(axis=0) / len(table) for table in counts)
    good, bad = np.maximum(totals, 0.0)
    return float(min(max(bad / max(good + bad, 1e-9), 0.005), 0.995))


def bin_input(column: Column, counts: NDArray[np.float64], *, sigma: float, base_rate: float) -> BinnedInput:
    """Merge an input's cells and weigh each bin's evidence, from noised (cells, label) counts.

    Neighbouring cells of a quantity are merged until a bin's counts stand above their noise; special codes,
    categories, pairs and absence keep a bin each.
    """
    merging = column.cells.ordinary if isinstance(column.cells, Quantity) else 0
    groups = _merge(counts[:merging], sigma)
    ordered = len(groups)
    groups += [[cell] for cell in range(merging, len(counts))]
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    good, bad = np.maximum(np.array([counts[group].sum(axis=0) for group in groups]), 0.0).T

    prior = PRIOR_ROWS + sigma
    good_rows, bad_rows = good + prior * (1 - base_rate), bad + prior * base_rate
    raw = np.log(bad_rows / good_rows) - math.log(base_rate / (1 - base_rate))
    noise = sizes * sigma**2
    variance = (bad_rows + noise) / bad_rows**2 + (good_rows + noise) / good_rows**2

    precision = np.diag(1 / variance + 1 / EVIDENCE_DEVIATION**2)
    for left in range(ordered - 1):
        precision[left : left + 2, left : left + 2] += np.array([[1, -1], [-1, 1]]) / STEP_DEVIATION**2
    smooth = np.linalg.solve(precision, raw / variance)
    binned = BinnedInput(
        bins=tuple(number for number, group in enumerate(groups) for _ in group),
        ordered=ordered,
        direction={"increasing": 1, "decreasing": -1, None: 0}[column.monotone] if ordered else 0,
        evidence=smooth,
        rows=np.maximum(good + bad, 1.0),
    )
    return BinnedInput(**{**vars(binned), "evidence": binned.project(smooth)})


def fit_slope(counts: NDArray[np.float64], middles: NDArray[np.float64], *, sigma: float) -> tuple[float, float]:
    """Slope (positive, drawn to 1) and intercept of log odds along a score, from its noised (cells, label) counts.

    One slope for all inputs, never negative: no noise can turn an input against its own evidence.
    """
    rows, bad = counts.sum(axis=1), counts[:, 1]
    totals = np.maximum(counts.sum(axis=0), 1.0)
    slope, intercept = 1.0, math.log(totals[1] / totals[0])
    weights = np.maximum(rows, 0.0)
    pull = 2 * sigma
    for _ in range(50):
        pd = 1 / (1 + np.exp(-np.clip(slope * middles + intercept, -30, 30)))
        residual, weight = bad - rows * pd, weights * pd * (1 - pd)
        gradient = np.array([(residual * middles).sum() - pull * (slope - 1), residual.sum()])
        cross = (weight * middles).sum()
        curvature = np.array([[(weight * middles**2).sum() + pull, cross], [cross, weight.sum() + 1]])
        step = np.clip(np.linalg.solve(curvature, gradient), -0.5, 0.5)
        slope, intercept = max(slope + float(step[0]), LEAST_SLOPE), intercept + float(step[1])
    return slope, min(max(intercept, -8.0), 8.0)


def mean_weight(counts: NDArray[np.float64], middles: NDArray[np.float64], slope: float, intercept: float) -> float:
    """Mean of pd (1 - pd) over the population, from the score's noised counts."""
    rows = np.maximum(counts.sum(axis=1), 0.0)
    pd = 1 / (1 + np.exp(-np.clip(slope * middles + intercept, -30, 30)))
    return float((rows * pd * (1 - pd)).sum() / max(rows.sum(), 1.0))


def correct_log_odds(
    binned: BinnedInput,
    log_odds: NDArray[np.float64],
    residuals: NDArray[np.float64],
    *,
    sigma: float,
    base_rate: float,
    weight: float,
) -> NDArray[np.float64]:
    """One Newton step a bin from noised residual sums, shrunk by their noise, then projected.

    A bin's curvature is its rows times pd (1 - pd), which over all bins is not let exceed `weight` on average.
    """
    pd = 1 / (1 + np.exp(-(binned.evidence + math.log(base_rate / (1 - base_rate)))))
    curvature = binned.rows * pd * (1 - pd)
    curvature *= min(1.0, weight * binned.rows.sum() / curvature.sum())
    step = curvature * residuals / (curvature**2 + (curvature + sigma**2) / CORRECTION_DEVIATION**2)
    return binned.project(log_odds + step)


def _merge(counts: NDArray[np.float64], sigma: float) -> list[list[int]]:
    groups: list[list[int]] = []
    group: list[int] = []
    for cell in range(len(counts)):
        group.append(cell)
        if counts[group].sum(axis=0).min() >= max(MERGE_SIGMAS * sigma * math.sqrt(len(group)), LEAST_COUNT):
            groups.append(group)
            group = []
    if group and groups:
        groups[-1] += group
    elif group:
        groups.append(group)
    return groups


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pool adjacent violators: the nearest rising values in weighted least squares."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, mass, length = pools.pop()
            both = mass + pool[1]
            pool = ((mean * mass + pool[0] * pool[1]) / both, both, length + pool[2])
        pools.append(pool)
    return np.concatenate([np.full(length, mean) for mean, _, length in pools]) if pools else values
