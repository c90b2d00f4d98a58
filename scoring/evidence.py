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
from scoring.interval import MAX_DEVIATION_MILLIPOINTS
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
CORRECTION_DEVIATION, PAIR_DEVIATION = 0.15, 0.3
"""Prior deviation of what the residuals add to a bin's log odds, of a column and of a pair."""
PRIOR_BINS = 4.0
"""How many bins' worth of evidence the prior deviation is."""
LEAST_SLOPE = 0.02
"""Of the slope that is expected."""


@dataclass(frozen=True, kw_only=True)
class BinnedInput:
    """An input's public cells merged to bins.

    `bins` gives each cell's bin, the first `ordered` of which follow each other by rising value. One a bin are
    `evidence`, the deviation that it is `known_to`, that of its cells' own evidence about it (`within`), and `rows`
    (noised, at least 1). `direction` is 1 where log odds must rise along them, -1 fall, 0 free.
    """

    bins: tuple[int, ...]
    ordered: int
    direction: int
    evidence: NDArray[np.float64]
    known_to: NDArray[np.float64]
    within: NDArray[np.float64]
    rows: NDArray[np.float64]

    def project(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest log odds that follow the declared direction, bins weighed by their rows."""
        if self.direction == 0:
            return log_odds
        rising = isotonic(self.direction * log_odds[: self.ordered], self.rows[: self.ordered])
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
    rows = np.maximum(good + bad, 1.0)
    smooth = np.linalg.solve(precision, raw / variance)
    binned = BinnedInput(
        bins=tuple(number for number, group in enumerate(groups) for _ in group),
        ordered=ordered,
        direction={"increasing": 1, "decreasing": -1, None: 0}[column.monotone] if ordered else 0,
        evidence=smooth,
        known_to=np.sqrt(np.diag(np.linalg.inv(precision))),
        within=np.where(sizes > 1, EVIDENCE_DEVIATION * rows / max(rows[:ordered].sum(), 1.0), 0.0),
        rows=rows,
    )
    return BinnedInput(**{**vars(binned), "evidence": binned.project(smooth)})


def fit_slope(
    counts: NDArray[np.float64],
    middles: NDArray[np.float64],
    *,
    sigma: float,
    expected: float = 1.0,
    base_rate: float | None = None,
    base_rate_noise: float = math.inf,
) -> tuple[float, float]:
    """Slope and intercept of log odds along a score, from its noised (cells, label) counts of deviation `sigma`.

    The slope is positive and drawn to what is expected, give or take as much, by how far it is lost in the noise: one
    slope for all inputs, so that no noise can turn an input against its own evidence. A cell counts for what it holds
    beyond two deviations of its noise. Where a `base_rate` is given, the middles are centred, and the intercept is
    drawn to its log odds as far as the noise in its number of the bad, of deviation `base_rate_noise`, is less than
    that of these counts.
    """
    rows, bad = counts.sum(axis=1), counts[:, 1]
    totals = np.maximum(counts.sum(axis=0), 1.0)
    slope, intercept = expected, math.log(totals[1] / totals[0])
    beyond = np.maximum(rows - 2 * sigma * math.sqrt(2), 0.0)
    trusted = beyond / np.maximum(rows, 1.0)
    share, known = 0.0, 0.0
    if base_rate is not None:
        share, known = len(counts) * (sigma / base_rate_noise) ** 2, math.log(base_rate / (1 - base_rate))
    for _ in range(100):
        pd = 1 / (1 + np.exp(-np.clip(slope * middles + intercept, -30, 30)))
        residual, weight = trusted * (bad - rows * pd), beyond * pd * (1 - pd)
        seen = max(float(weight @ middles**2), 1e-9)
        pull = (seen + sigma**2 * float(trusted**2 @ middles**2)) / (seen * expected**2)
        hold = share * weight.sum() + 1e-3
        gradient = np.array(
            [residual @ middles - pull * (slope - expected), residual.sum() + hold * (known - intercept)]
        )
        cross = weight @ middles
        curvature = np.array([[seen + pull, cross], [cross, weight.sum() + hold]])
        step = np.clip(np.linalg.solve(curvature, gradient), -0.3, 0.3)
        slope, intercept = max(slope + float(step[0]), LEAST_SLOPE * expected), intercept + float(step[1])
    return slope, min(max(intercept, -8.0), 8.0)


def correct_log_odds(
    log_odds: NDArray[np.float64],
    released: NDArray[np.float64],
    *,
    known_to: NDArray[np.float64] | None = None,
    rows: NDArray[np.float64],
    base_rate: float,
    sigma: float,
    prior: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One Newton step a bin from noised (bins, 2) sums of residuals and of weights, shrunk by their noise.

    Returns the log odds and what they are known to then: the deviation of each; `known_to` is that of before, if any.
    The residuals' noise has deviation `sigma` and the weights' a third of it. Of what deviation the true steps are is
    judged from the residuals themselves (empirical Bayes, by moments), beside `prior` with the weight of PRIOR_BINS.
    A bin's curvature is taken to be at least a quarter of what `rows` at the base rate would have. Where residuals
    tell of no step at all, a deviation still allows for one of half of `prior`.
    """
    residuals, noise = released[:, 0], sigma**2
    curvature = np.maximum(released[:, 1], np.maximum(rows * base_rate * (1 - base_rate) / 4, 1.0))
    variance = curvature**2 * prior**2 + curvature + noise
    squares = (curvature**2 / variance**2 * (residuals**2 - curvature - noise)).sum()
    weight = (curvature**4 / variance**2).sum()
    bins = weight * prior**4 / 2
    deviation_squared = max((bins * squares / weight + PRIOR_BINS / 2 * prior**2) / (bins + PRIOR_BINS / 2), 1e-6)
    step: NDArray[np.float64] = curvature * residuals / (curvature**2 + (curvature + noise) / deviation_squared)
    before = max(deviation_squared, prior**2 / 4) + (0.0 if known_to is None else known_to**2)
    precision = curvature**2 / (curvature + noise) + 1 / before
    return log_odds + step, 1 / np.sqrt(precision)


def cell_deviations(
    points: NDArray[np.int64], deviations: NDArray[np.float64], masses: NDArray[np.float64], *, absent: int
) -> tuple[int, ...]:
    """What cells' points are known to, in thousandths of a point, rounded up, from the `deviations` of their log odds.

    Of the cell at `absent`: how far the others' points lie apart, over `masses` (noised rows, or what goes with them),
    and with it the largest that any cell has. So to leave out what could be presented never makes a score look better
    known.
    """
    of_cells = deviations * POINTS_PER_LOG_ODDS
    present = np.arange(len(points)) != absent
    mass = np.maximum(masses[present], 0.0)
    mass = mass / mass.sum() if mass.sum() > 0 else np.full(len(mass), 1 / max(len(mass), 1))
    spread_squared = mass @ (points[present] - mass @ points[present]) ** 2
    of_cells[absent] = math.sqrt(of_cells.max() ** 2 + spread_squared)
    return tuple(np.minimum(np.ceil(1_000 * of_cells), MAX_DEVIATION_MILLIPOINTS).astype(np.int64).tolist())


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


def isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
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
