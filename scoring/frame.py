"""Rows of data read a column at a time: the values and cells that `features_from_row` gives each, to the bit, sooner.

A rule over single values is applied once to each that occurs, so that there is one definition of it; what is computed
from several columns goes through the columnar reading that stands beside the single one in expression.py and cells.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Quantity
from scoring.errors import ColumnMissing
from scoring.expression import Value, ValueColumn, parse_number
from scoring.features import value_from_text
from scoring.rows import Row
from scoring.schema import Column, Cross, Feature, Schema


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Columns of rows: `values` of those that have a value of their own, by name, and (rows, columns) public cells."""

    columns: tuple[Column, ...]
    values: dict[str, ValueColumn]
    cells: NDArray[np.int64]


def read_frame(schema: Schema, rows: Sequence[Row], columns: Sequence[Column]) -> Frame:
    """Read columns of the schema; raises ColumnMissing and ValueInvalid.

    Every feature of the schema is read and must be sound, whether or not a column rests on it.
    """
    values: list[ValueColumn] = []
    cells: dict[str, NDArray[np.int64]] = {}
    for feature in schema.features:
        values_of_feature, cells[feature.name] = _read_feature(feature, rows)
        values.append(values_of_feature)
    for derived in schema.derived:
        numbers = derived.cells.clip_all(derived.expression.evaluate_columns(values))
        values.append(ValueColumn(numbers=numbers))
        cells[derived.name] = derived.cells.cells_of_all(numbers)
    for column in columns:
        if isinstance(column, Cross):
            left, right = (schema.graded[place] for place in column.of)
            of_pair = [
                [column.cells.cell_of_cells(i, j) for j in range(right.cells.count)] for i in range(left.cells.count)
            ]
            cells[column.name] = np.array(of_pair, dtype=np.int64)[cells[left.name], cells[right.name]]
    return Frame(
        columns=tuple(columns),
        values={column.name: value for column, value in zip(schema.graded, values, strict=True)},
        cells=np.column_stack([cells[column.name] for column in columns])
        if columns
        else np.empty((len(rows), 0), dtype=np.int64),
    )


def _read_feature(feature: Feature, rows: Sequence[Row]) -> tuple[ValueColumn, NDArray[np.int64]]:
    texts = [row.get(feature.name) for row in rows]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    if None in distinct:
        raise ColumnMissing(feature.name)
    values = [value_from_text(feature, text) for text in distinct if text is not None]
    which = np.fromiter((distinct[text] for text in texts), dtype=np.int64, count=len(texts))
    numbers = np.array([_number(value) for value in values], dtype=np.float64)
    cells = np.array([feature.cells.cell_of(value) for value in values], dtype=np.int64)
    if isinstance(feature.cells, Quantity):
        column = ValueColumn(numbers=numbers[which])
    else:
        categories = tuple(value if isinstance(value, str) else None for value in values)
        column = ValueColumn(numbers=numbers[which], codes=which, texts=categories)
    return column, cells[which]


def _number(value: Value) -> float:
    number = parse_number(value) if isinstance(value, str) else value
    return np.nan if number is None else number
