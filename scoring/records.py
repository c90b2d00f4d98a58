"""Rows as training sees them: read, kept within the row cap by a coin for each person, and counted."""

import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.dp.mechanisms import NoisedSum, Releases, count_cells, count_rows
from scoring.frame import read_frame
from scoring.progress import Progress, no_progress
from scoring.rows import Row
from scoring.schema import Column, Schema

CAP_DEVIATIONS, CAP_EXPONENT = 6.0, math.log(10**9)
"""By how much the row count's noise and the persons' coins are allowed for, so that the row cap holds."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """Rows as training sees them: (rows, columns) public cells, (rows,) labels of 0 and 1, a person a row."""

    cells: torch.Tensor
    labels: torch.Tensor
    persons: tuple[str, ...]


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


@dataclass(frozen=True, kw_only=True)
class CountedRecords:
    """The records that are within the row cap, and what was released of them before anything else.

    `rows` is how many there are, noised, at least 1; `cells` are (cells, label) counts of each column, noised with
    deviation `sigma`.
    """

    records: Records
    rows: float
    cells: list[NDArray[np.float64]]
    sigma: float


def release_counts(
    columns: Sequence[Column],
    records: Records,
    releases: Releases,
    *,
    rho_of_count: int,
    rho_of_cells: int,
    row_cap: int,
    rows_per_person: int,
    random_bytes: Callable[[int], bytes],
) -> CountedRecords:
    """Count the rows, let coins keep persons where these pass the cap, and count who is left by cell and label."""
    counted = releases.release("row_count", count_rows(records.labels), sensitivity_squared=1, rho_e12=rho_of_count)
    rate = keeping_rate(counted, row_cap=row_cap, rows_per_person=rows_per_person)
    records = keep_persons(records, rate, key=random_bytes(32))
    sizes = [column.cells.count for column in columns]
    released = releases.release(
        "cell_counts",
        count_cells(records.cells, records.labels, sizes),
        sensitivity_squared=len(columns),
        rho_e12=rho_of_cells,
    )
    return CountedRecords(
        records=records,
        rows=max(float(counted.values[0]) * rate, 1.0),
        cells=np.split(released.values.astype(np.float64).reshape(-1, 2), np.cumsum(sizes)[:-1]),
        sigma=released.sigma,
    )


def keeping_rate(counted: NoisedSum, *, row_cap: int, rows_per_person: int) -> float:
    """The chance with which each person is kept, from the noised row count: 1, or less where the cap would be passed.

    Cutting the file at the cap would let one person's row push another's out, which doubles what a person can
    move; a coin for each person does not. The rows kept pass the cap with a chance below 1 in 10^8.
    """
    most_rows = float(counted.values[0]) + CAP_DEVIATIONS * counted.sigma
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
