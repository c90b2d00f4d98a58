"""Fit the scorecard under differential privacy: five kinds of noised sums, and arithmetic on them.

0. how many rows there are, so that persons can be dropped at random, each alike, where they exceed the row cap;
A. the rows in every public cell by label: cells merge to bins, and bins get a weight of evidence;
B. the rows by their summed evidence and label: one slope and one intercept;
C. input by input, the residuals of the scorecard so far, summed by bin: a shrunk correction of each bin;
D. the residuals times every product of two inputs' factors: which pairs of inputs say more together than apart;
E. pair by pair, the residuals summed by the pair's coarse cells: a shrunk table each.
Where D could see no interaction of an ordinary size through its noise it is not released, and where it sees none there
is no E: C has that budget then, before or after. The shares of the budget are fixed below, before any data is seen, and
such a choice rests on what was released. A is the scorecard maker's weight of evidence; C is close to one cycle of
explainable boosting under differential privacy (Nori, Caruana, Bu, Shen, Kulkarni 2021). The scorecard is in integer
points throughout, so that residuals are those of the very points that serving adds up.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
    CORRECTION_DEVIATION,
    PAIR_DEVIATION,
    POINTS_PER_LOG_ODDS,
    BinnedInput,
    bin_input,
    cell_deviations,
    correct_log_odds,
    estimate_base_rate,
    fit_slope,
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
                schema, name, bins=table.bins, points=table.points, deviations=table.deviations, crosses=crosses
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
    binned = [
        bin_input(column, table, sigma=counted.sigma, base_rate=base_rate)
        for column, table in zip(columns, tables, strict=True)
    ]
    bins = [
        torch.tensor(one.bins, device=records.cells.device)[records.cells[:, index]] for index, one in enumerate(binned)
    ]
    # Each input's counts are of the same rows: their mean number of the bad is known better than any one's.
    base_rate_noise = counted.sigma * math.sqrt(sum(map(len, tables))) / len(columns)
    slope, intercept = _fit_slope(
        binned,
        bins,
        records.labels,
        releases,
        rho_e12=rho_of_scores,
        base_rate=base_rate,
        base_rate_noise=base_rate_noise,
    )
    # Where noise has flattened the slope, the inputs tell no less of a person for that: it is only not known what.
    usual = 1 / math.sqrt(len(binned))
    fit = _Fit(
        columns=tuple(columns),
        records=records,
        releases=releases,
        base_rate=base_rate,
        binned=binned,
        bins=bins,
        offset=round(points_of_log_odds(-intercept)),
        log_odds=[one.evidence * slope for one in binned],
        known_to=[one.known_to * max(slope, usual) for one in binned],
        within=[one.within * usual for one in binned],
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
    """A scorecard in the making: the log odds of each input's bins, what they are known to, pairs, and rows' points."""

    columns: tuple[Column, ...]
    records: Records
    releases: Releases
    base_rate: float
    binned: list[BinnedInput]
    bins: list[torch.Tensor]
    offset: int
    log_odds: list[NDArray[np.float64]]
    known_to: list[NDArray[np.float64]]
    within: list[NDArray[np.float64]]
    pairs: list[Surface] = field(default_factory=list)
    pairs_known_to: list[NDArray[np.float64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._points = [_points(one) for one in self.log_odds]
        self._totals = self.offset + _sum_points(self._points, self.bins, self.records.labels)

    def residuals(self) -> torch.Tensor:
        return quantise_residuals(self.records.labels, pd_ppm_of_totals(self._totals))

    def correct_inputs(self, rho_e12: int, progress: Progress) -> float:
        """One step for each bin of each input, in turn; returns the sum of pd (1 - pd) over rows, as released."""
        weights = []
        for index, one in enumerate(self.binned):
            progress("fitting", index, len(self.binned))
            released, sigma = self._release_residuals(self.bins[index], len(one.rows), rho_e12 // len(self.binned))
            weights.append(released[:, 1].sum())
            corrected, self.known_to[index] = correct_log_odds(
                self.log_odds[index],
                released,
                known_to=self.known_to[index],
                rows=one.rows,
                base_rate=self.base_rate,
                sigma=sigma,
                prior=CORRECTION_DEVIATION,
            )
            self.log_odds[index] = one.project(corrected)
            self._set_points(index, _points(self.log_odds[index]))
        self._hold_directions()
        return max(float(np.mean(weights)), 1.0)

    def add_pair(self, left: int, right: int, pair: Product, rho_e12: int) -> None:
        """A table of what two inputs say beyond what each says."""
        cells = pair_cells(pair, self.records.cells[:, left], self.records.cells[:, right])
        released, sigma = self._release_residuals(cells, pair.count, rho_e12)
        # How many rows a cell has is not known but from its weights, which are kept from being noise alone.
        least = np.full(pair.count, max(released[:, 1].sum(), 1.0) / pair.count / 5)
        log_odds, deviations = correct_log_odds(
            np.zeros(pair.count),
            released,
            rows=least / (self.base_rate * (1 - self.base_rate)),
            base_rate=self.base_rate,
            sigma=sigma,
            prior=PAIR_DEVIATION,
        )
        points = _points(log_odds)
        self._totals += points.to(self._totals.device)[cells]
        weights = np.maximum(released[:, 1], least)
        self.pairs.append(Surface(of=(left, right), cells=pair, points=points.numpy(), weights=weights))
        self.pairs_known_to.append(deviations)

    def finish(self) -> FittedPoints:
        """What was found, once tables of two columns hold the directions that are declared of either."""
        pairs = self._hold_directions()
        tables = []
        for index, (one, points) in enumerate(zip(self.binned, self._points, strict=True)):
            of_bin, bins = points.numpy(), list(one.bins)
            deviations = np.hypot(self.known_to[index], self.within[index])
            deviations_of_bin = cell_deviations(of_bin, deviations, one.rows, absent=bins[-1])
            tables.append(
                FittedTable(
                    of=(index,),
                    pair=None,
                    bins=one.bins,
                    points=tuple(of_bin[bins].tolist()),
                    deviations=tuple(deviations_of_bin[bin_] for bin_ in bins),
                )
            )
        for pair, of_cell, known_to in zip(self.pairs, pairs, self.pairs_known_to, strict=True):
            tables.append(
                FittedTable(
                    of=pair.of,
                    pair=pair.cells,
                    bins=tuple(range(len(of_cell))),
                    points=tuple(of_cell.tolist()),
                    deviations=cell_deviations(of_cell, known_to, pair.weights, absent=pair.cells.absent),
                )
            )
        return FittedPoints(columns=self.columns, offset=self.offset, tables=tuple(tables))

    def _hold_directions(self) -> list[NDArray[np.int64]]:
        """Let declared crosses give way where they must; returns the points of pairs that would have to."""
        crosses = _find_crosses(self.columns)
        surfaces = [
            Surface(of=of, cells=cells, points=self._points[place].numpy(), weights=self.binned[place].rows)
            for place, (of, cells) in crosses.items()
        ]
        own = [points.numpy()[list(one.bins)] for points, one in zip(self._points, self.binned, strict=True)]
        held = hold_directions(self.columns, own, [*surfaces, *self.pairs])
        for place, points in zip(crosses, held, strict=False):
            if (points != self._points[place].numpy()).any():
                self.log_odds[place] = points / -POINTS_PER_LOG_ODDS
                self._set_points(place, torch.from_numpy(points))
        return held[len(crosses) :]

    def _set_points(self, index: int, points: torch.Tensor) -> None:
        before, self._points[index] = self._points[index], points
        self._totals += (points - before).to(self._totals.device)[self.bins[index]]

    def _release_residuals(self, bins: torch.Tensor, size: int, rho_e12: int) -> tuple[NDArray[np.float64], float]:
        """Noised (bins, 2) sums of residuals and weights by bin, and the deviation of the residuals' noise."""
        pd_ppm = pd_ppm_of_totals(self._totals)
        residuals = quantise_residuals(self.records.labels, pd_ppm)
        noised = self.releases.release(
            "residual_sums",
            sum_residuals(bins, residuals, quantise_weights(residuals, pd_ppm), size),
            sensitivity_squared=RESIDUAL_SCALE**2,
            rho_e12=rho_e12,
            scale=RESIDUAL_SCALE,
        )
        sums = noised.values.reshape(-1, 2) / [RESIDUAL_SCALE, WEIGHT_SCALE]
        return sums, noised.sigma / RESIDUAL_SCALE


def _fit_slope(
    binned: list[BinnedInput],
    bins: list[torch.Tensor],
    labels: torch.Tensor,
    releases: Releases,
    *,
    rho_e12: int,
    base_rate: float,
    base_rate_noise: float,
) -> tuple[float, float]:
    """Slope and intercept of log odds along the inputs' summed evidence.

    Released are the rows by cell of the sum and label. How widely the sum spreads is between the deviation of inputs
    that are independent and of inputs that say the same, both known from what was released of each.
    """
    means = [float(one.rows @ one.evidence / one.rows.sum()) for one in binned]
    deviations = [
        math.sqrt(max(float(one.rows @ (one.evidence - mean) ** 2 / one.rows.sum()), 1e-9))
        for one, mean in zip(binned, means, strict=True)
    ]
    steps = np.linspace(-1, 1, SCORE_CELLS + 1)[1:-1]
    centre = sum(means)
    edges = np.sinh(SCORE_STRETCH * steps) / math.sinh(SCORE_STRETCH) * SCORE_RANGE * sum(deviations)
    middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    scores = _sum_points([-_points(one.evidence) for one in binned], bins, labels)
    in_points = torch.tensor(np.rint((centre + edges) * POINTS_PER_LOG_ODDS).astype(np.int64), device=scores.device)
    counted = releases.release(
        "score_counts",
        count_scores(torch.bucketize(scores, in_points, right=True), labels, SCORE_CELLS),
        sensitivity_squared=1,
        rho_e12=rho_e12,
    )
    slope, intercept = fit_slope(
        counted.values.astype(np.float64).reshape(-1, 2),
        middles,
        sigma=counted.sigma,
        expected=1 / math.sqrt(len(binned)),
        base_rate=base_rate,
        base_rate_noise=base_rate_noise,
    )
    return slope, intercept - slope * centre


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
    """Points of a bin's log odds of bad to good: fewer, the worse."""
    return torch.tensor(np.rint(-log_odds * POINTS_PER_LOG_ODDS).astype(np.int64))


def _sum_points(points: list[torch.Tensor], bins: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    total = torch.zeros_like(like, dtype=torch.int64)
    for of_bin, bin_of_row in zip(points, bins, strict=True):
        total += of_bin.to(total.device)[bin_of_row]
    return total
