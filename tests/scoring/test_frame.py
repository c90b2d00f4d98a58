"""Rows read a column at a time are, to the bit, what they are one by one."""

import csv
import gzip
import os
import struct
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scoring.errors import ColumnMissing, RowInvalid, ScoringError, ValueInvalid
from scoring.expression import ValueColumn, parse_expression, parse_number
from scoring.features import features_from_row
from scoring.frame import Frame, read_frame
from scoring.schema import Schema, parse_schema

Rows = list[dict[str, str]]
SMALL_ROW = {"income": "500", "jobs": "2", "sent": "90", "trade": "1", "age": "40", "late-30": "0"}


def bits(value: float | str | None) -> bytes | str | None:
    return struct.pack("<d", value) if isinstance(value, float) else value


def assert_equal_to_single_rows(schema: Schema, frame: Frame, rows: Rows, places: range | list[int]) -> None:
    for place in places:
        one = features_from_row(schema, rows[place])
        assert tuple(frame.cells[place].tolist()) == one.cells
        for column, expected in zip(schema.graded, one.values, strict=True):
            values = frame.values[column.name]
            if values.codes is not None:
                assert values.texts[values.codes[place]] == expected
            else:
                number = float(values.numbers[place])
                assert bits(None if np.isnan(number) else number) == bits(expected)


@pytest.mark.parametrize("name", ["german", "taiwan", "gmsc"])
def test_the_public_sets_are_the_same_bits(name: str) -> None:
    if "CREDENCE_TEST_DATA" not in os.environ:
        pytest.skip("CREDENCE_TEST_DATA is unset: no public data")
    schema = parse_schema(files("scoring").joinpath(f"schemas/{name}.toml").read_bytes())
    with gzip.open(Path(os.environ["CREDENCE_TEST_DATA"]) / f"data/{name}/{name}.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    frame = read_frame(schema, rows, schema.columns)
    step = max(len(rows) // 500, 1)
    assert_equal_to_single_rows(schema, frame, rows, range(0, len(rows), step))
    rare = [place for place, column in enumerate(schema.columns) if hasattr(column.cells, "special")]
    odd = np.flatnonzero((frame.cells[:, rare] >= [schema.columns[i].cells.ordinary for i in rare]).any(axis=1))
    assert_equal_to_single_rows(schema, frame, rows, odd[:: max(len(odd) // 300, 1)].tolist())


CELL = (
    st.text(max_size=6)
    | st.integers().map(str)
    | st.floats(allow_nan=False).map(repr)
    | st.sampled_from(["", " ", "NA", "1", "1.0", "farm", "-9", "-0", "-0.4", "2.5", "3.5", "1e400", "1e308", "١"])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(SMALL_ROW, CELL)), min_size=1, max_size=5))
@example([{**SMALL_ROW, "income": "-0.0", "late-30": "-0.4", "jobs": "0"}])
def test_hostile_rows_are_the_same_bits_or_refused_alike(small: Schema, rows: Rows) -> None:
    sound = []
    for row in rows:
        with suppress(ValueInvalid):
            features_from_row(small, row)
            sound.append(row)
    labelled = [{**row, "bad": "1", "id": str(number)} for number, row in enumerate(rows)]
    if len(sound) < len(rows):
        with pytest.raises(ValueInvalid):
            read_frame(small, labelled, small.columns)
    labelled = [{**row, "bad": "1", "id": str(number)} for number, row in enumerate(sound)]
    frame = read_frame(small, labelled, small.columns)
    assert_equal_to_single_rows(small, frame, sound, range(len(sound)))


NUMBERS = st.none() | st.sampled_from([0.0, -0.0, 1.0, -1.0, 3.0, 1e308, -1e308, 5e-324]) | st.floats(-1e6, 1e6)
TEXTS = st.sampled_from([None, "farm", "2", "-0", "1e999", "-1e999", "x"])
LEAVES = st.sampled_from(["a", "b", "c", "trade", "0", "1", "2.5", "1e15", "trade == 'farm'", "a != 'x'"])


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!="])
    pair = st.tuples(inner, inner)
    return (
        st.builds(lambda one, symbol, other: f"(({one}) {symbol} ({other}))", inner, operators, inner)
        | pair.map(lambda two: f"min({two[0]}, {two[1]}, 1)")
        | pair.map(lambda two: f"max({two[0]}, {two[1]})")
        | inner.map(lambda one: f"abs(-({one}))")
        | st.builds(lambda one, two, three: f"where({one}, {two}, {three})", inner, inner, inner)
        | st.builds(lambda one, two, three: f"clip({one}, {two}, {three})", inner, inner, inner)
    )


@settings(max_examples=100, deadline=None)
@given(
    text=st.recursive(LEAVES, grow, max_leaves=8),
    rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, TEXTS), min_size=1, max_size=4),
)
@example(text="(a > 5) * (a - a)", rows=[(1.0, None, None, None)])
@example(text="min(a - a * 1e15, 1, b)", rows=[(1e308, 2.0, None, None), (-1e308, 2.0, None, None)])
@example(text="where(trade == 'farm', a / b, c)", rows=[(1.0, 0.0, 2.0, "x"), (1.0, 0.0, 2.0, "farm")])
def test_an_expression_over_columns_is_the_same_bits_as_over_a_row(
    text: str, rows: list[tuple[float | None, float | None, float | None, str | None]]
) -> None:
    try:
        expression = parse_expression(text, {"a": 0, "b": 1, "c": 2, "trade": 3})
    except ScoringError:  # too deep or too long
        return
    columns = [
        ValueColumn(numbers=np.array([np.nan if row[place] is None else row[place] for row in rows], dtype=np.float64))
        for place in range(3)
    ]
    trades = [row[3] for row in rows]
    parsed = [None if trade is None else parse_number(trade) for trade in trades]
    columns.append(
        ValueColumn(
            numbers=np.array([np.nan if number is None else number for number in parsed], dtype=np.float64),
            codes=np.arange(len(rows)),
            texts=tuple(trades),
        )
    )
    together = expression.evaluate_columns(columns)
    assert together.shape == (len(rows),)
    for row, number in zip(rows, together.tolist(), strict=True):
        assert bits(None if np.isnan(number) else number) == bits(expression.evaluate(row))


def test_the_first_rows_of_a_person_are_kept_and_the_others_not_looked_at(small: Schema) -> None:
    row = {**SMALL_ROW, "bad": "0", "id": "one"}
    rows = [row, {**row, "bad": "1"}, {**row, "income": "five"}, {**row, "id": "two", "bad": "1.0"}]
    frame = read_frame(small, rows, small.unprotected)
    assert frame.labels.tolist() == [0, 1, 1]
    assert frame.persons == ("one", "one", "two")
    assert frame.cells.shape == (3, len(small.unprotected))


def test_what_rows_lack_is_refused(small: Schema) -> None:
    row = {**SMALL_ROW, "bad": "0", "id": "one"}
    for change in ({"bad": "2"}, {"bad": ""}, {"id": " "}):
        with pytest.raises(RowInvalid):
            read_frame(small, [{**row, **change}], small.columns)
    for missing in ("bad", "id"):
        with pytest.raises(RowInvalid):
            read_frame(small, [{name: text for name, text in row.items() if name != missing}], small.columns)
    with pytest.raises(ColumnMissing) as refusal:
        read_frame(small, [row, {name: text for name, text in row.items() if name != "age"}], ())
    assert refusal.value.feature == "age"
    assert read_frame(small, [], small.columns).cells.shape == (0, len(small.columns))
