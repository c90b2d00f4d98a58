"""Fit the additive scorecard under differential privacy: four kinds of noised sums, and arithmetic on them.

0. how many rows there are, so that persons can be dropped at random, each alike, where they exceed the row cap;
A. the rows in every public cell by label: cells merge to bins, and bins get a weight of evidence;
B. the rows by their summed evidence and label: one slope and one intercept;
C. input by input, the residuals of the scorecard so far, summed by bin: a shrunk correction of each bin.
The shares of the budget are fixed below, before any data is seen. A is the scorecard maker's weight of evidence; C is
close to one cycle of explainable boosting under differential privacy (Nori, Caruana, Bu, Shen, Kulkarni 2021). The
scorecard is in integer points throughout, so that residuals are those of the very points that serving adds up.
"""

import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.cells import Product
from scoring.dp.mechanisms import (
    RESIDUAL_SCALE,
    NoisedSum,
    Releases,
    count_cells,
    count_rows,
    count_scores,
    quantise_residuals,
    sum_residuals,
)
from scoring.evidence import (
    POINTS_PER_LOG_ODDS,
    BinnedInput,
    bin_input,
    correct_log_odds,
    estimate_base_rate,
    fit_slope,
    mean_weight,
)
from scoring.frame import read_frame
from scoring.progress import Progress, no_progress
from scoring.rows import Row
from scoring.schema import Column, Schema
from scoring.scorecard import (
    BASE_POINTS,
    PDO,
    Scorecard,
    pd_ppm_of_points,
    points_of_log_odds,
    points_table,
)

ALGORITHM = "additive-2"
"""Names everything that turns rows into points but the parameters; a change of any of it changes the name."""

SHARE_OF_COUNT, SHARE_OF_CELLS, SHARE_OF_SCORES = 0.02, 0.38, 0.10
"""Shares of rho; the residuals have the rest, in equal parts."""
CAP_DEVIATIONS, CAP_EXPONENT = 6.0, math.log(10**9)
"""By how much the row count's noise and the persons' coins are allowed for, so that the row cap holds."""

SCORE_CELLS, SCORE_RANGE = 16, 4.0
_FARTHEST = 60 * PDO


@dataclass(frozen=True, kw_only=True)
class Records:
    """Rows as training sees them: (rows, columns) public cells, (rows,) labels of 0 and 1, a person a row."""

    cells: torch.Tensor
    labels: torch.Tensor
    persons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FittedTable:
    """The bin and the points of each cell of one column, or of a pair of columns whose cells `pair` gives.

    `of` are positions among the fitted columns, one or two.
    """

    of: tuple[int, ...]
    pair: Product | None
    bins: tuple[int, ...]
    points: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FittedPoints:
    """What a fit found: an offset and tables over the columns it was given. No artifact: nothing says what it cost."""

    columns: tuple[Column, ...]
    offset: int
    tables: tuple[FittedTable, ...]


def read_records(
    schema: Schema,
    rows: Sequence[Row],
    *,
    columns: Sequence[Column] | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> Records:
    """Rows to public cells of columns, the model's inputs if not told; of a person's rows the first `rows_per_person`.

    First is in the file's order. Without a person column every row is a person. Raises RowInvalid, ColumnMissing and
    ValueInvalid.
    """
    frame = read_frame(schema, rows, columns or schema.inputs, progress=progress)
    return Records(
        cells=torch.tensor(frame.cells, device=device),
        labels=torch.tensor(frame.labels, device=device),
        persons=frame.persons,
    )


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
    tables = [
        points_table(schema, fitted.columns[table.of[0]].name, bins=table.bins, points=table.points)
        for table in fitted.tables
    ]
    return Scorecard(schema=schema, offset=fitted.offset, tables=tuple(tables))


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
    rho_of_count, rho_of_cells, rho_of_scores = (
        int(total_rho * share) for share in (SHARE_OF_COUNT, SHARE_OF_CELLS, SHARE_OF_SCORES)
    )
    rho_of_residuals = (total_rho - rho_of_count - rho_of_cells - rho_of_scores) // len(columns)

    counted = releases.release("row_count", count_rows(records.labels), sensitivity_squared=1, rho_e12=rho_of_count)
    rate = keeping_rate(counted, row_cap=row_cap, rows_per_person=rows_per_person)
    records = keep_persons(records, rate, key=random_bytes(32))

    sizes = [column.cells.count for column in columns]
    counts = releases.release(
        "cell_counts",
        count_cells(records.cells, records.labels, sizes),
        sensitivity_squared=len(columns),
        rho_e12=rho_of_cells,
    )
    tables = np.split(np.array(counts.values, dtype=np.float64).reshape(-1, 2), np.cumsum(sizes)[:-1])
    base_rate = estimate_base_rate(tables)
    binned = [
        bin_input(column, table, sigma=counts.sigma, base_rate=base_rate)
        for column, table in zip(columns, tables, strict=True)
    ]
    bins = [
        torch.tensor(one.bins, device=records.cells.device)[records.cells[:, index]] for index, one in enumerate(binned)
    ]

    scores, edges, middles = _score_cells(binned, bins)
    by_score = releases.release(
        "score_counts",
        count_scores(torch.bucketize(scores, edges, right=True), records.labels, SCORE_CELLS),
        sensitivity_squared=1,
        rho_e12=rho_of_scores,
    )
    score_table = np.array(by_score.values, dtype=np.float64).reshape(-1, 2)
    slope, intercept = fit_slope(score_table, middles, sigma=by_score.sigma)
    weight = mean_weight(score_table, middles, slope, intercept)

    offset = round(points_of_log_odds(-intercept))
    log_odds = [one.evidence * slope / math.sqrt(len(columns)) for one in binned]
    points = [_points(one) for one in log_odds]
    totals = offset + _sum_points(points, bins, records.labels)
    for index, one in enumerate(binned):
        progress("fitting", index, len(columns))
        residuals = quantise_residuals(records.labels, pd_ppm_of_totals(totals))
        noised = releases.release(
            "residual_sums",
            sum_residuals(bins[index], residuals, len(one.rows)),
            sensitivity_squared=RESIDUAL_SCALE**2,
            rho_e12=rho_of_residuals,
            scale=RESIDUAL_SCALE,
        )
        corrected = correct_log_odds(
            one,
            log_odds[index],
            np.array(noised.values, dtype=np.float64) / RESIDUAL_SCALE,
            sigma=noised.sigma / RESIDUAL_SCALE,
            base_rate=base_rate,
            weight=weight,
        )
        before, points[index] = points[index], _points(corrected)
        totals += (points[index] - before).to(totals.device)[bins[index]]
    return FittedPoints(
        columns=tuple(columns),
        offset=offset,
        tables=tuple(
            FittedTable(of=(index,), pair=None, bins=one.bins, points=tuple(of_bin[list(one.bins)].tolist()))
            for index, (one, of_bin) in enumerate(zip(binned, points, strict=True))
        ),
    )


def keeping_rate(counted: NoisedSum, *, row_cap: int, rows_per_person: int) -> float:
    """The chance with which each person is kept, from the noised row count: 1, or less where the cap would be passed.

    Cutting the file at the cap would let one person's row push another's out, which doubles what a person can
    move; a coin for each person does not. The rows kept pass the cap with a chance below 1 in 10^8.
    """
    most_rows = counted.values[0] + CAP_DEVIATIONS * counted.sigma
    if most_rows <= row_cap:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        kept_rows = most_rows * rate + _excess(rows_per_person * most_rows * rate * (1 - rate), rows_per_person)
        low, high = (rate, high) if kept_rows <= row_cap else (low, rate)
    return low


def _excess(variance: float, rows_per_person: int) -> float:
    """How far above its mean the number of rows kept comes with a chance of exp(-CAP_EXPONENT) at most (Bernstein)."""
    third = CAP_EXPONENT * rows_per_person / 3
    return third + math.sqrt(third**2 + 2 * CAP_EXPONENT * variance)


def keep_persons(records: Records, rate: float, *, key: bytes) -> Records:
    """Each person with the same chance, all rows or none, by a keyed hash of who it is."""
    if rate >= 1.0:
        return records
    below = int(rate * 2**64)
    kept = [
        int.from_bytes(hmac.digest(key, person.encode("utf-8", "surrogatepass"), "sha256")[:8], "big") < below
        for person in records.persons
    ]
    mask = torch.tensor(kept, dtype=torch.bool, device=records.cells.device)
    return Records(
        cells=records.cells[mask],
        labels=records.labels[mask],
        persons=tuple(person for person, keep in zip(records.persons, kept, strict=True) if keep),
    )


def total_points(fitted: FittedPoints, cells: torch.Tensor) -> torch.Tensor:
    """Unclamped points (rows,) of (rows, columns) public cells of the fitted columns, in torch."""
    totals = torch.full((len(cells),), fitted.offset, dtype=torch.int64, device=cells.device)
    for table in fitted.tables:
        points = torch.tensor(table.points, dtype=torch.int64, device=cells.device)
        totals += points[cells[:, table.of[0]]]
    return totals


def pd_ppm_of_totals(totals: torch.Tensor) -> torch.Tensor:
    """Probability of default in millionths of unclamped points: serving's own integers, looked up.

    Beyond 60 doublings of the odds `pd_ppm_of_points` no longer changes.
    """
    return _pd_ppm_table(totals.device)[(totals - (BASE_POINTS - _FARTHEST)).clamp(0, 2 * _FARTHEST)]


@cache
def _pd_ppm_table(device: torch.device) -> torch.Tensor:
    points = range(BASE_POINTS - _FARTHEST, BASE_POINTS + _FARTHEST + 1)
    return torch.tensor([pd_ppm_of_points(one) for one in points], dtype=torch.int64, device=device)


def _score_cells(
    binned: list[BinnedInput], bins: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.float64]]:
    """Each row's summed evidence in points, the public edges of its cells, and their middles.

    Middles are log odds divided by the root of the number of inputs, so that a slope near 1 is a fair guess for
    inputs that say partly the same.
    """
    evidence = [-_points(one.evidence) for one in binned]
    scores = _sum_points(evidence, bins, bins[0])
    width = 2 * SCORE_RANGE / SCORE_CELLS
    per_point = POINTS_PER_LOG_ODDS * math.sqrt(len(binned))
    edges = [round((-SCORE_RANGE + width * step) * per_point) for step in range(1, SCORE_CELLS)]
    middles = -SCORE_RANGE + width * (np.arange(SCORE_CELLS, dtype=np.float64) + 0.5)
    return scores, torch.tensor(edges, device=scores.device), middles


def _points(log_odds: NDArray[np.float64]) -> torch.Tensor:
    """Points of a bin's log odds of bad to good: fewer, the worse."""
    return torch.tensor(np.rint(-log_odds * POINTS_PER_LOG_ODDS).astype(np.int64))


def _sum_points(points: list[torch.Tensor], bins: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    total = torch.zeros_like(like, dtype=torch.int64)
    for of_bin, bin_of_row in zip(points, bins, strict=True):
        total += of_bin.to(total.device)[bin_of_row]
    return total
