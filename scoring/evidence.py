"""From noised counts to log odds: weight of evidence, slope, corrections, isotonic projection.

Everything here sees released figures only, so none of it costs privacy. Log odds are natural and of bad to good;
a weight of evidence is a cell's log odds less the population's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Quantity
from scoring.interval import MAX_DEVIATION_MILLIPOINTS
from scoring.schema import Column
from scoring.scorecard import PDO
from scoring.smoothing import Estimate, cell_kernels, estimate

POINTS_PER_LOG_ODDS = PDO / math.log(2)

EVIDENCE_DEVIATIONS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.2])
"""Deviations over the population that a column's weight of evidence may have; how likely each is, all columns tell."""
CORRECTION_DEVIATIONS = np.array([0.01, 0.03, 0.06, 0.12, 0.25, 0.5])
CORRECTION_CHANCES = CORRECTION_DEVIATIONS**-0.5 / (CORRECTION_DEVIATIONS**-0.5).sum()
"""Deviations that what residuals add to a cell's log odds may have, of a column and of a pair; and their chances."""
SHARED_EVIDENCE, SHARED_CORRECTION = 0.05, 0.3
"""Deviation of what all cells have in common: of evidence, for the base rate is not known to the last; and of a
correction, as a share of the correction's own."""
STEPS, MOST_STEP, MOST_EVIDENCE = 6, 1.0, 4.0
"""Of the search for the log odds that noised counts make likeliest."""
LEAST_ROWS_SHARE = 0.02
"""Of the rows that a cell would have if all had as many; none is taken to have fewer."""
ROUNDING_DEVIATION = 1 / math.sqrt(12)
"""Of points, for they are whole."""
LEAST_SLOPE = 0.02
"""Of the slope that is expected."""
SLOPE_DEVIATION = 0.4
"""That of the expected slope, at least: between 1, of inputs that are independent, and next to nothing."""


@dataclass(frozen=True, kw_only=True)
class WeighedInput:
    """What the noised counts of an input's public cells say of each.

    The first `ordered` cells follow each other by rising value; `direction` is 1 where log odds must rise along them,
    -1 fall, 0 free. `evidence` is what `found` comes to along it; `rows` (at least 1) are estimates, and `kernels` the
    covariances that corrections of it may have.
    """

    ordered: int
    direction: int
    evidence: NDArray[np.float64]
    found: Estimate
    rows: NDArray[np.float64]
    kernels: NDArray[np.float64]

    def project(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest log odds that follow the declared direction, cells weighed by their rows."""
        if self.direction == 0:
            return log_odds
        rising = isotonic(self.direction * log_odds[: self.ordered], self.rows[: self.ordered])
        return np.concatenate([self.direction * rising, log_odds[self.ordered :]])

    def within(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The deviation, within a cell, of log odds that rise evenly from cell to cell; 0 where there is no order."""
        deviations = np.zeros(len(log_odds))
        if self.ordered > 1:
            deviations[: self.ordered] = np.abs(np.gradient(log_odds[: self.ordered])) / math.sqrt(12)
        return deviations

    @property
    def deviation(self) -> float:
        """Of the evidence over the population."""
        share = self.rows / self.rows.sum()
        return math.sqrt(max(float(share @ (self.evidence - share @ self.evidence) ** 2), 1e-9))


def estimate_base_rate(counts: Sequence[NDArray[np.float64]]) -> float:
    """The population's bad rate from every input's noised (cells, label) counts, each a count of the same rows.

    An input of fewer cells sums less noise and weighs more. Kept within .5% and 99.5%.
    """
    totals = sum(table.sum(axis=0) / len(table) for table in counts)
    good, bad = np.maximum(totals, 0.0)
    return float(min(max(bad / max(good + bad, 1e-9), 0.005), 0.995))


def weigh_inputs(
    columns: Sequence[Column],
    counts: Sequence[NDArray[np.float64]],
    *,
    sigma: float,
    base_rate: float,
    rows: float,
) -> list[WeighedInput]:
    """Weigh the evidence of inputs' cells, from each input's noised (cells, label) counts of the same `rows`.

    Twice: how much an input is likely to say is judged by how much all of them do, so that where most say nothing, the
    little that one seems to say is more likely noise.
    """
    likely = np.full(len(EVIDENCE_DEVIATIONS), 1 / len(EVIDENCE_DEVIATIONS))
    rows_of = [estimate_rows(table.sum(axis=1), noise=2 * sigma**2, rows=rows) for table in counts]
    found = [
        _estimate_evidence(column, table, of_cells, likely, sigma=sigma, base_rate=base_rate)
        for column, table, of_cells in zip(columns, counts, rows_of, strict=True)
    ]
    likely = np.mean([likely, *(one.chances for one in found)], axis=0)
    found = [
        _estimate_evidence(column, table, of_cells, likely, sigma=sigma, base_rate=base_rate)
        for column, table, of_cells in zip(columns, counts, rows_of, strict=True)
    ]
    return [_weigh_input(column, one, of_cells) for column, one, of_cells in zip(columns, found, rows_of, strict=True)]


def _estimate_evidence(
    column: Column,
    counts: NDArray[np.float64],
    rows: NDArray[np.float64],
    likely: NDArray[np.float64],
    *,
    sigma: float,
    base_rate: float,
) -> Estimate:
    """By Fisher scoring, from noised (cells, label) counts.

    Where n rows of a cell are bad by p, (1 - p) bad - p good is the error of its log odds times n p (1 - p); it varies
    by as much, and by the noise.
    """
    kernels = cell_kernels(column.cells, rows / rows.sum(), centred=True)
    base = math.log(base_rate / (1 - base_rate))
    good, bad = counts.T
    evidence = np.zeros(len(counts))
    for _ in range(STEPS):
        pd = 1 / (1 + np.exp(-(base + evidence)))
        weight = np.maximum(rows * pd * (1 - pd), 1e-3)
        noise = sigma**2 * ((1 - pd) ** 2 + pd**2)
        found = estimate(
            evidence + ((1 - pd) * bad - pd * good) / weight,
            (weight + noise) / weight**2,
            kernels,
            EVIDENCE_DEVIATIONS,
            likely,
            shared=SHARED_EVIDENCE,
        )
        step = np.clip(found.mean - evidence, -MOST_STEP, MOST_STEP)
        evidence = np.clip(evidence + step, -MOST_EVIDENCE, MOST_EVIDENCE)
    return replace(found, mean=evidence)


def _weigh_input(column: Column, found: Estimate, rows: NDArray[np.float64]) -> WeighedInput:
    ordered = column.cells.ordinary if isinstance(column.cells, Quantity) else 0
    weighed = WeighedInput(
        ordered=ordered,
        direction={"increasing": 1, "decreasing": -1, None: 0}[column.monotone] if ordered else 0,
        evidence=found.mean,
        found=found,
        rows=np.maximum(rows, 1.0),
        kernels=cell_kernels(column.cells, rows / rows.sum(), centred=False) + SHARED_CORRECTION**2,
    )
    return replace(weighed, evidence=weighed.project(found.mean))


def estimate_rows(counts: NDArray[np.float64], *, noise: float, rows: float) -> NDArray[np.float64]:
    """How many of so many rows each cell has, from counts with noise of a variance.

    Drawn to equal parts, by how far the counts differ no more than their noise would make them.
    """
    usual = rows / len(counts)
    differ = max(float(((counts - usual) ** 2).mean()) - noise, (usual / 5) ** 2)
    of_cells = np.maximum(usual + differ / (differ + noise) * (counts - usual), usual * LEAST_ROWS_SHARE)
    return of_cells * rows / float(of_cells.sum())


def expect_slope(weighed: Sequence[WeighedInput]) -> float:
    """The slope of log odds along the inputs' summed evidence: the geometric mean of what two extremes would make it.

    That is 1 where inputs are independent, and one over their number where all say the same. An input counts by how
    much it says.
    """
    deviations = np.array([one.deviation for one in weighed])
    return float(math.sqrt(deviations @ deviations) / deviations.sum())


@dataclass(frozen=True, kw_only=True)
class Line:
    """Log odds along a score, and the deviation that the slope is known to."""

    slope: float
    intercept: float
    slope_deviation: float


def fit_slope(
    counts: NDArray[np.float64],
    middles: NDArray[np.float64],
    *,
    sigma: float,
    expected: float = 1.0,
    base_rate: float | None = None,
    base_rate_noise: float = math.inf,
) -> Line:
    """The line of log odds along a score, from its noised (cells, label) counts of deviation `sigma`.

    The slope is positive and drawn to what is expected, give or take as much or SLOPE_DEVIATION, by how far it is lost
    in the noise: one slope for all inputs, so that no noise can turn an input against its own evidence. A cell counts
    for what it holds beyond two deviations of its noise. Where a `base_rate` is given, the middles are centred, and the
    intercept is drawn to its log odds as far as the noise in its number of the bad, of deviation `base_rate_noise`, is
    less than that of these counts.
    """
    rows, bad = counts.sum(axis=1), counts[:, 1]
    totals = np.maximum(counts.sum(axis=0), 1.0)
    slope, intercept = expected, math.log(totals[1] / totals[0])
    beyond = np.maximum(rows - 2 * sigma * math.sqrt(2), 0.0)
    trusted = beyond / np.maximum(rows, 1.0)
    share, known, prior = 0.0, 0.0, max(expected, SLOPE_DEVIATION)
    if base_rate is not None:
        share, known = len(counts) * (sigma / base_rate_noise) ** 2, math.log(base_rate / (1 - base_rate))
    for _ in range(100):
        pd = 1 / (1 + np.exp(-np.clip(slope * middles + intercept, -30, 30)))
        residual, weight = trusted * (bad - rows * pd), beyond * pd * (1 - pd)
        seen = max(float(weight @ middles**2), 1e-9)
        lost = (seen + sigma**2 * float(trusted**2 @ middles**2)) / seen
        pull = lost / prior**2
        hold = share * weight.sum() + 1e-3
        gradient = np.array(
            [residual @ middles - pull * (slope - expected), residual.sum() + hold * (known - intercept)]
        )
        cross = weight @ middles
        curvature = np.array([[seen + pull, cross], [cross, weight.sum() + hold]])
        step = np.clip(np.linalg.solve(curvature, gradient), -0.3, 0.3)
        slope, intercept = max(slope + float(step[0]), LEAST_SLOPE * expected), intercept + float(step[1])
    return Line(
        slope=slope,
        intercept=min(max(intercept, -8.0), 8.0),
        slope_deviation=1 / math.sqrt(seen / lost + 1 / prior**2),
    )


def correct_log_odds(
    log_odds: NDArray[np.float64],
    released: NDArray[np.float64],
    kernels: NDArray[np.float64],
    *,
    sigma: float,
    least_weights: NDArray[np.float64],
    before: Estimate | None = None,
) -> Estimate:
    """The log odds of cells, from noised (cells, 2) sums of residuals and of weights pd (1 - pd) at some log odds.

    The residuals' noise has deviation `sigma` and the weights' a third of it, so that these are taken for no less than
    `least_weights`. `before` is what was known already.
    """
    weights = np.maximum(released[:, 1], least_weights)
    variance = (weights + sigma**2) / weights**2
    return estimate(
        log_odds + released[:, 0] / weights,
        variance,
        kernels,
        CORRECTION_DEVIATIONS,
        CORRECTION_CHANCES,
        before=before,
    )


def cell_deviations(
    points: NDArray[np.int64], deviations: NDArray[np.float64], masses: NDArray[np.float64], *, absent: int
) -> tuple[int, ...]:
    """What cells' points are known to, in thousandths of a point, rounded up, from the `deviations` of their log odds.

    Of the cell at `absent`: how far the others' points lie apart, over `masses` (noised rows, or what goes with them),
    and with it the largest that any cell has. So to leave out what could be presented never makes a score look better
    known.
    """
    of_cells = np.hypot(deviations * POINTS_PER_LOG_ODDS, ROUNDING_DEVIATION)
    present = np.arange(len(points)) != absent
    mass = np.maximum(masses[present], 0.0)
    mass = mass / mass.sum() if mass.sum() > 0 else np.full(len(mass), 1 / max(len(mass), 1))
    spread_squared = mass @ (points[present] - mass @ points[present]) ** 2
    of_cells[absent] = math.sqrt(of_cells.max() ** 2 + spread_squared)
    return tuple(np.minimum(np.ceil(1_000 * of_cells), MAX_DEVIATION_MILLIPOINTS).astype(np.int64).tolist())


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
