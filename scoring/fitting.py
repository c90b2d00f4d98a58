"""Fit the scorecard under differential privacy: five kinds of noised sums, and arithmetic on them.

0. how many rows there are, so that persons can be dropped at random, each alike, where they exceed the row cap;
A. the rows in every public cell by label: each cell gets a weight of evidence;
B. the rows by their summed evidence and label: one slope and one intercept;
C. input by input, the residuals of the scorecard so far, summed by cell: a correction of each cell;
D. the residuals times every product of two inputs' factors: which pairs of inputs say more together than apart;
E. pair by pair, the residuals summed by the pair's coarse cells: a table each.
What A, C and E say of a cell is read together with what they say of the cells near it, and believed as far as noise
leaves it to be (scoring/smoothing.py). Where D could see no interaction of an ordinary size through its noise it is not
released, and where it sees none there is no E: C has that budget then, before or after. The shares of the budget are
fixed below, before any data is seen, and such a choice rests on what was released. A is the scorecard maker's weight of
evidence; C is close to one cycle of explainable boosting under differential privacy (Nori, Caruana, Bu, Shen, Kulkarni
2021). The scorecard is in integer points throughout, so that residuals are of the very points that serving adds up.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.cells import Product
from scoring.directions import Surface, hold_directions
from scoring.dp.mechanisms import (
    RESIDUAL_SCALE,
    WEIGHT_SCALE,
    Releases,
    count_scores,
    products_sensitivity_squared,
    quantise_residuals,
    quantise_weights,
    sum_products,
    sum_residuals,
)
from scoring.evidence import (
    POINTS_PER_LOG_ODDS,
    Line,
    WeighedInput,
    cell_deviations,
    correct_log_odds,
    estimate_base_rate,
    expect_slope,
    fit_slope,
    weigh_inputs,
)
from scoring.fitted import FittedPoints, FittedTable, pair_cells, pd_ppm_of_totals
from scoring.interactions import build_factors, build_pair, choose_pairs, stand_out
from scoring.progress import Progress, no_progress
from scoring.records import Records, release_counts
from scoring.schema import Column, Cross, Schema, cross_name
from scoring.scorecard import (
    Scorecard,
    learned_cross,
    points_of_log_odds,
    points_table,
)
from scoring.smoothing import Estimate, cell_kernels

ALGORITHM = "additive-4"
"""Names everything that turns rows into points but the parameters; a change of any of it changes the name."""

SHARE_OF_COUNT, SHARE_OF_CELLS, SHARE_OF_SCORES = 0.02, 0.32, 0.06
SHARE_OF_PRODUCTS, SHARE_OF_PAIRS = 0.08, 0.20
"""Shares of rho; the residuals of single inputs have the rest, in equal parts."""

SCORE_CELLS, SCORE_RANGE, SCORE_STRETCH = 32, 4.0, 3.0
"""Cells of the summed evidence: to 4 deviations if all inputs said the same, and far narrower in the middle, for inputs
of which each says another thing."""


def fit_scorecard(
    schema: Schema,
    records: Records,
    releases: Releases,
    *,
    row_cap: int,
    random_bytes: Callable[[int], bytes],
    progress: Progress = no_progress,
) -> Scorecard:
    """A scorecard over the schema's inputs, whose cells the records have, fitted within one charge."""
    fitted = fit_points(
        schema.inputs,
        records,
        releases,
        row_cap=row_cap,
        rows_per_person=schema.rows_per_person,
        random_bytes=random_bytes,
        progress=progress,
    )
    return make_scorecard(schema, fitted)


def make_scorecard(schema: Schema, fitted: FittedPoints) -> Scorecard:
    """What was fitted as a scorecard over its schema; raises what `Scorecard` does."""
    crosses = tuple(_make_cross(schema, fitted, table) for table in fitted.tables if table.pair is not None)
    names = [*(column.name for column in fitted.columns), *(cross.name for cross in crosses)]
    return Scorecard(
        schema=schema,
        offset=fitted.offset,
        tables=tuple(
            points_table(
                schema,
                name,
                bins=tuple(range(len(table.points))),
                points=table.points,
                deviations=table.deviations,
                crosses=crosses,
            )
            for name, table in zip(names, fitted.tables, strict=True)
        ),
        crosses=crosses,
    )


def _make_cross(schema: Schema, fitted: FittedPoints, table: FittedTable) -> Cross:
    left, right = (fitted.columns[place].name for place in table.of)
    assert table.pair is not None
    return learned_cross(schema, left, right, table.pair)


def fit_points(
    columns: Sequence[Column],
    records: Records,
    releases: Releases,
    *,
    row_cap: int,
    rows_per_person: int = 1,
    random_bytes: Callable[[int], bytes],
    progress: Progress = no_progress,
) -> FittedPoints:
    """Fit any columns within one charge; everything that depends on the data passes through `releases`."""
    total_rho = releases.charged_rho_e12
    rho_of_count, rho_of_cells, rho_of_scores, rho_of_products, rho_of_pairs = (
        int(total_rho * share)
        for share in (SHARE_OF_COUNT, SHARE_OF_CELLS, SHARE_OF_SCORES, SHARE_OF_PRODUCTS, SHARE_OF_PAIRS)
    )
    rho_of_residuals = total_rho - rho_of_count - rho_of_cells - rho_of_scores - rho_of_products - rho_of_pairs

    counted = release_counts(
        columns,
        records,
        releases,
        rho_of_count=rho_of_count,
        rho_of_cells=rho_of_cells,
        row_cap=row_cap,
        rows_per_person=rows_per_person,
        random_bytes=random_bytes,
    )
    records, tables = counted.records, counted.cells
    base_rate = estimate_base_rate(tables)
    weighed = weigh_inputs(columns, tables, sigma=counted.sigma, base_rate=base_rate, rows=counted.rows)
    # Each input's counts are of the same rows: their mean number of the bad is known better than any one's.
    base_rate_noise = counted.sigma * math.sqrt(sum(map(len, tables))) / len(columns)
    line = _fit_slope(
        weighed,
        records,
        releases,
        rho_e12=rho_of_scores,
        base_rate=base_rate,
        base_rate_noise=base_rate_noise,
    )
    fit = _Fit(
        columns=tuple(columns),
        records=records,
        releases=releases,
        base_rate=base_rate,
        weighed=weighed,
        offset=round(points_of_log_odds(-line.intercept)),
        log_odds=[one.evidence * line.slope for one in weighed],
        known=[one.found.scale(line.slope, known_to=line.slope_deviation) for one in weighed],
    )

    factors = build_factors(columns, tables)
    sensitivity_squared = products_sensitivity_squared(factors.bound)
    expected_sigma = releases.sigma_of(sensitivity_squared=sensitivity_squared, rho_e12=max(rho_of_products, 1))
    weight = counted.rows * base_rate * (1 - base_rate)
    if not stand_out(factors, sigma=expected_sigma / RESIDUAL_SCALE, weight=weight):
        fit.correct_inputs(rho_of_residuals + rho_of_products + rho_of_pairs, progress)
        return fit.finish()

    weight = fit.correct_inputs(rho_of_residuals, progress)
    products = releases.release(
        "residual_products",
        sum_products(factors.tables, records.cells, fit.residuals(), bound=factors.bound)[factors.crossing],
        sensitivity_squared=sensitivity_squared,
        rho_e12=rho_of_products,
        scale=RESIDUAL_SCALE,
    )
    pairs = choose_pairs(
        columns,
        factors,
        products.values / RESIDUAL_SCALE,
        sigma=products.sigma / RESIDUAL_SCALE,
        weight=weight,
    )
    for left, right in pairs:
        pair = build_pair(columns[left], tables[left], columns[right], tables[right])
        fit.add_pair(left, right, pair, rho_of_pairs // len(pairs))
    if not pairs:
        fit.correct_inputs(rho_of_pairs, progress)
    return fit.finish()


@dataclass(kw_only=True)
class _Fit:
    """A scorecard in the making: the log odds of each input's cells, what is known of them, pairs, and rows' points."""

    columns: tuple[Column, ...]
    records: Records
    releases: Releases
    base_rate: float
    weighed: list[WeighedInput]
    offset: int
    log_odds: list[NDArray[np.float64]]
    known: list[Estimate]
    pairs: list[Surface] = field(default_factory=list)
    known_of_pairs: list[Estimate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._points = [_points(one) for one in self.log_odds]
        self._totals = self.offset + _sum_points(self._points, self.records)

    def residuals(self) -> torch.Tensor:
        return quantise_residuals(self.records.labels, pd_ppm_of_totals(self._totals))

    def correct_inputs(self, rho_e12: int, progress: Progress) -> float:
        """One step for each cell of each input, in turn; returns the sum of pd (1 - pd) over rows, as released."""
        sums = []
        for index, one in enumerate(self.weighed):
            progress("fitting", index, len(self.weighed))
            cells = self.records.cells[:, index]
            released, sigma = self._release_residuals(cells, len(one.rows), rho_e12 // len(self.weighed))
            sums.append(released[:, 1].sum())
            self.known[index] = correct_log_odds(
                self.log_odds[index],
                released,
                one.kernels,
                sigma=sigma,
                least_weights=np.maximum(one.rows * self.base_rate * (1 - self.base_rate) / 4, 1.0),
                before=self.known[index],
            )
            self.log_odds[index] = one.project(self.known[index].mean)
            self._set_points(index, _points(self.log_odds[index]))
        self._hold_directions()
        return max(float(np.mean(sums)), 1.0)

    def add_pair(self, left: int, right: int, pair: Product, rho_e12: int) -> None:
        """A table of what two inputs say beyond what each says."""
        cells = pair_cells(pair, self.records.cells[:, left], self.records.cells[:, right])
        released, sigma = self._release_residuals(cells, pair.count, rho_e12)
        # How many rows a cell has is not known but from its weights, which are kept from being noise alone.
        least = np.full(pair.count, max(released[:, 1].sum() / 20, 1.0) / pair.count)
        mass = np.maximum(released[:, 1], least)
        kernels = cell_kernels(pair, mass / mass.sum(), centred=False)
        found = correct_log_odds(np.zeros(pair.count), released, kernels, sigma=sigma, least_weights=least)
        points = _points(found.mean)
        self._totals += points.to(self._totals.device)[cells]
        self.pairs.append(Surface(of=(left, right), cells=pair, points=points.numpy(), weights=mass))
        self.known_of_pairs.append(found)

    def finish(self) -> FittedPoints:
        """What was found, once tables of two columns hold the directions that are declared of either."""
        of_pairs = self._hold_directions()
        singles = [
            _make_table((index,), None, points.numpy(), np.hypot(known.deviations, one.within(known.mean)), one.rows)
            for index, (points, known, one) in enumerate(zip(self._points, self.known, self.weighed, strict=True))
        ]
        pairs = [
            _make_table(pair.of, pair.cells, points, known.deviations, pair.weights)
            for pair, points, known in zip(self.pairs, of_pairs, self.known_of_pairs, strict=True)
        ]
        return FittedPoints(columns=self.columns, offset=self.offset, tables=(*singles, *pairs))

    def _hold_directions(self) -> list[NDArray[np.int64]]:
        """Let declared crosses give way where they must; returns the points of pairs that would have to."""
        crosses = _find_crosses(self.columns)
        surfaces = [
            Surface(of=of, cells=cells, points=self._points[place].numpy(), weights=self.weighed[place].rows)
            for place, (of, cells) in crosses.items()
        ]
        own = [points.numpy() for points in self._points]
        held = hold_directions(self.columns, own, [*surfaces, *self.pairs])
        for place, points in zip(crosses, held, strict=False):
            if (points != self._points[place].numpy()).any():
                self.log_odds[place] = points / -POINTS_PER_LOG_ODDS
                self._set_points(place, torch.from_numpy(points))
        return held[len(crosses) :]

    def _set_points(self, index: int, points: torch.Tensor) -> None:
        before, self._points[index] = self._points[index], points
        self._totals += (points - before).to(self._totals.device)[self.records.cells[:, index]]

    def _release_residuals(self, cells: torch.Tensor, size: int, rho_e12: int) -> tuple[NDArray[np.float64], float]:
        """Noised (cells, 2) sums of residuals and weights by cell, and the deviation of the residuals' noise."""
        pd_ppm = pd_ppm_of_totals(self._totals)
        residuals = quantise_residuals(self.records.labels, pd_ppm)
        noised = self.releases.release(
            "residual_sums",
            sum_residuals(cells, residuals, quantise_weights(residuals, pd_ppm), size),
            sensitivity_squared=RESIDUAL_SCALE**2,
            rho_e12=rho_e12,
            scale=RESIDUAL_SCALE,
        )
        sums = noised.values.reshape(-1, 2) / [RESIDUAL_SCALE, WEIGHT_SCALE]
        return sums, noised.sigma / RESIDUAL_SCALE


def _make_table(
    of: tuple[int, ...],
    pair: Product | None,
    points: NDArray[np.int64],
    deviations: NDArray[np.float64],
    masses: NDArray[np.float64],
) -> FittedTable:
    """Of every column and every pair the absent cell is the last."""
    return FittedTable(
        of=of,
        pair=pair,
        points=tuple(points.tolist()),
        deviations=cell_deviations(points, deviations, masses, absent=len(points) - 1),
    )


def _fit_slope(
    weighed: list[WeighedInput],
    records: Records,
    releases: Releases,
    *,
    rho_e12: int,
    base_rate: float,
    base_rate_noise: float,
) -> Line:
    """The line of log odds along the inputs' summed evidence.

    Released are the rows by cell of the sum and label. How widely the sum spreads is between the deviation of inputs
    that are independent and of inputs that say the same, both known from what was released of each.
    """
    centre = sum(float(one.rows @ one.evidence / one.rows.sum()) for one in weighed)
    deviation = sum(one.deviation for one in weighed)
    steps = np.linspace(-1, 1, SCORE_CELLS + 1)[1:-1]
    edges = np.sinh(SCORE_STRETCH * steps) / math.sinh(SCORE_STRETCH) * SCORE_RANGE * deviation
    middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    scores = _sum_points([-_points(one.evidence) for one in weighed], records)
    in_points = torch.tensor(np.rint((centre + edges) * POINTS_PER_LOG_ODDS).astype(np.int64), device=scores.device)
    counted = releases.release(
        "score_counts",
        count_scores(torch.bucketize(scores, in_points, right=True), records.labels, SCORE_CELLS),
        sensitivity_squared=1,
        rho_e12=rho_e12,
    )
    line = fit_slope(
        counted.values.astype(np.float64).reshape(-1, 2),
        middles,
        sigma=counted.sigma,
        expected=expect_slope(weighed),
        base_rate=base_rate,
        base_rate_noise=base_rate_noise,
    )
    return replace(line, intercept=line.intercept - line.slope * centre)


def _find_crosses(columns: Sequence[Column]) -> dict[int, tuple[tuple[int, int], Product]]:
    """Of each declared cross, by its place, the places of its operands and its cells."""
    places = {
        cross_name(left, right): (one, other)
        for one, left in enumerate(columns)
        for other, right in enumerate(columns)
        if one != other
    }
    return {
        place: (places[column.name], column.cells)
        for place, column in enumerate(columns)
        if isinstance(column, Cross) and column.name in places
    }


def _points(log_odds: NDArray[np.float64]) -> torch.Tensor:
    """Points of a cell's log odds of bad to good: fewer, the worse."""
    return torch.tensor(np.rint(-log_odds * POINTS_PER_LOG_ODDS).astype(np.int64))


def _sum_points(points: list[torch.Tensor], records: Records) -> torch.Tensor:
    total = torch.zeros_like(records.labels, dtype=torch.int64)
    for place, of_cell in enumerate(points):
        total += of_cell.to(total.device)[records.cells[:, place]]
    return total
