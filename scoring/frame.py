"""Rows of data read a column at a time: the values and cells that `features_from_row` gives each, to the bit, sooner.

A rule over single values is applied once to each that occurs, so that there is one definition of it; what is computed
from several columns goes through the columnar reading that stands beside the single one in expression.py and cells.py.
"""

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


def _keep_rows(schema: Schema, rows: Sequence[Row]) -> tuple[list[Row], list[int], list[str]]:
    seen: dict[str, int] = {}
    kept, labels, persons = [], [], []
    for number, row in enumerate(rows):
        label = _LABELS.get((row.get(schema.label) or "").strip())
        person = str(number) if schema.person is None else (row.get(schema.person) or "").strip()
        if label is None or not person:
            raise RowInvalid
        seen[person] = seen.get(person, 0) + 1
        if seen[person] <= schema.rows_per_person:
            kept.append(row)
            labels.append(label)
            persons.append(person)
    return kept, labels, persons


def _read_feature(feature: Feature, rows: Sequence[Row]) -> tuple[ValueColumn, NDArray[np.int64]]:
    texts = [row.get(feature.name) for row in rows]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    if None in distinct:
        raise ColumnMissing(feature.name)
    values = [value_from_text(feature, text) for text in distinct if text is not None]
    which = np.fromiter((distinct[text] for text in texts), dtype=np.int64, count=len(texts))
    numbers = np.array([_number(value) for value in values], dtype=np.float64)[which]
    cells = np.array([feature.cells.cell_of(value) for value in values], dtype=np.int64)[which]
    if isinstance(feature.cells, Quantity):
        return ValueColumn(numbers=numbers), cells
    categories = tuple(value if isinstance(value, str) else None for value in values)
    return ValueColumn(numbers=numbers, codes=which, texts=categories), cells


def _number(value: Value) -> float:
    number = parse_number(value) if isinstance(value, str) else value
    return np.nan if number is None else number
