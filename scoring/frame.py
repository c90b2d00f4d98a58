"""Rows of data read a column at a time: the values and cells that `features_from_row` gives each, to the bit, sooner.

A rule over single values is applied once to each that occurs, so that there is one definition of it; what is computed
from several columns goes through the columnar reading that stands beside the single one in expression.py and cells.py.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Quantity
from scoring.errors import ColumnMissing, RowInvalid
from scoring.expression import Value, ValueColumn, parse_number
from scoring.features import value_from_text
from scoring.progress import Progress, no_progress
from scoring.rows import Row
from scoring.schema import Column, Cross, Derived, Feature, Schema

_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Labelled rows: (rows, columns) public cells, (rows,) labels of 0 and 1, and the person of each.

    `values` are of all columns of the schema that have a value of their own, by name.
    """

    columns: tuple[Column, ...]
    values: Mapping[str, ValueColumn]
    cells: NDArray[np.int64]
    labels: NDArray[np.int64]
    persons: tuple[str, ...]

    @property
    def graded(self) -> list[tuple[int, Feature | Derived]]:
        """The columns that have a value of their own, each with its place among all."""
        return [(place, column) for place, column in enumerate(self.columns) if not isinstance(column, Cross)]


def read_frame(
    schema: Schema, rows: Sequence[Row], columns: Sequence[Column], *, progress: Progress = no_progress
) -> Frame:
    """Read columns of the schema; of a person's rows the first `rows_per_person`, in the file's order.

    Without a person column every row is a person. Every feature of the schema must be sound in the rows that are kept,
    whether or not a column rests on it. Raises RowInvalid, ColumnMissing and ValueInvalid.
    """
    kept, labels, persons = _keep_rows(schema, rows)
    values: list[ValueColumn] = []
    cells: dict[str, NDArray[np.int64]] = {}
    for number, feature in enumerate(schema.features):
        progress("reading", number, len(schema.features))
        column, cells[feature.name] = _read_feature(feature, kept)
        values.append(column)
    for derived in schema.derived:
        numbers = derived.cells.clip_all(derived.expression.evaluate_columns(values))
        values.append(ValueColumn(numbers=numbers))
        cells[derived.name] = derived.cells.cells_of_all(numbers)
    for cross in columns:
        if isinstance(cross, Cross):
            left, right = (schema.graded[place] for place in cross.of)
            of_pair = [
                [cross.cells.cell_of_cells(i, j) for j in range(right.cells.count)] for i in range(left.cells.count)
            ]
            cells[cross.name] = np.array(of_pair, dtype=np.int64)[cells[left.name], cells[right.name]]
    laid_out = np.empty((len(kept), len(columns)), dtype=np.int64)
    for place, one in enumerate(columns):
        laid_out[:, place] = cells[one.name]
    return Frame(
        columns=tuple(columns),
        values={one.name: column for one, column in zip(schema.graded, values, strict=True)},
        cells=laid_out,
        labels=np.array(labels, dtype=np.int64),
        persons=tuple(persons),
    )


def _keep_rows(schema: Schema, rows: Sequence[Row]) -> tuple[Sequence[Row], list[int], Sequence[str]]:
    """The rows, labels and persons to read."""
    texts = [row.get(schema.label) for row in rows]
    label_of = {text: _LABELS.get((text or "").strip()) for text in set(texts)}
    labels = [label for label in map(label_of.__getitem__, texts) if label is not None]
    if len(labels) < len(rows):
        raise RowInvalid
    if schema.person is None:
        return rows, labels, [str(number) for number in range(len(rows))]
    persons = [(row.get(schema.person) or "").strip() for row in rows]
    if not all(persons):
        raise RowInvalid
    seen: Counter[str] = Counter()
    kept = []
    for place, person in enumerate(persons):
        seen[person] += 1
        if seen[person] <= schema.rows_per_person:
            kept.append(place)
    return [rows[place] for place in kept], [labels[place] for place in kept], [persons[place] for place in kept]


def _read_feature(feature: Feature, rows: Sequence[Row]) -> tuple[ValueColumn, NDArray[np.int64]]:
    texts = [row.get(feature.name) for row in rows]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    if None in distinct:
        raise ColumnMissing(feature.name)
    values = [value_from_text(feature, text) for text in distinct if text is not None]
    which = np.fromiter(map(distinct.__getitem__, texts), dtype=np.int64, count=len(texts))
    numbers = np.array([_number(value) for value in values], dtype=np.float64)[which]
    cells = np.array([feature.cells.cell_of(value) for value in values], dtype=np.int64)[which]
    if isinstance(feature.cells, Quantity):
        return ValueColumn(numbers=numbers), cells
    categories = tuple(value if isinstance(value, str) else None for value in values)
    return ValueColumn(numbers=numbers, codes=which, texts=categories), cells


def _number(value: Value) -> float:
    number = parse_number(value) if isinstance(value, str) else value
    return np.nan if number is None else number
