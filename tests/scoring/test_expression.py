"""Safe arithmetic: IEEE values as Python computes them, absence, and nothing but the grammar."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import ExpressionInvalid
from scoring.expression import parse_expression, parse_number

COLUMNS = {"a": 0, "b": 1, "c": 2, "late 30-59": 3, "trade": 4}
VALUES = [6.0, 0.0, None, 2.0, "farm"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", 6.0),
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("8 - 2 - 1", 5.0),
        ("8 / 2 / 2", 2.0),
        ("-a", -6.0),
        ("--a", 6.0),
        ("2 - -a", 8.0),
        ("1.5e1", 15.0),
        (".5 + 1.", 1.5),
        ("a > 5", 1.0),
        ("a <= 5", 0.0),
        ("a + 1 >= 7", 1.0),
        ("a == 6", 1.0),
        ("a != 6", 0.0),
        ("(a > 5) + (b > 5) + (`late 30-59` > 1)", 2.0),
        ("min(a, 4, 5)", 4.0),
        ("max(a, 4)", 6.0),
        ("abs(4 - a)", 2.0),
        ("clip(a, 0, 5)", 5.0),
        ("clip(-a, 0, 5)", 0.0),
        ("where(b > 0, a / b, -1)", -1.0),
        ("where(a > 0, 1, c)", 1.0),
        ("where(trade == 'farm', 1, 0)", 1.0),
        ('where(trade != "farm", 1, 0)', 0.0),
        ("a * `late 30-59`", 12.0),
        ("a\n  + 1", 7.0),
    ],
)
def test_values(text: str, value: float) -> None:
    assert parse_expression(text, COLUMNS).evaluate(VALUES) == value


@pytest.mark.parametrize(
    "text", ["c", "a + c", "max(a, c)", "a / b", "a / (a - 6)", "c == 0", "trade + 1", "1e15*1e15/b"]
)
def test_a_missing_operand_or_a_zero_divisor_is_absent(text: str) -> None:
    assert parse_expression(text, COLUMNS).evaluate(VALUES) is None


def test_an_infinite_result_is_absent() -> None:
    assert parse_expression("*".join(["1e15"] * 25), COLUMNS).evaluate(VALUES) is None


def test_a_numeric_category_is_its_number() -> None:
    assert parse_expression("trade * 2", COLUMNS).evaluate([*VALUES[:4], "3"]) == 6.0


def test_operands_are_in_order_of_use() -> None:
    assert parse_expression("b + a * b", COLUMNS).operands == ("b", "a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "unknown",
        "a b",
        "a +",
        "(a",
        "a)",
        "a ** 2",
        "a // 2",
        "a % 2",
        "a and b",
        "a if b else c",
        "a < b < 1",
        "a.real",
        "a[0]",
        "a = 1",
        "__import__('os')",
        "exp(a)",
        "min(a)",
        "abs(a, b)",
        "where(a, b)",
        "clip(a)",
        "max()",
        "'farm'",
        "'farm' + 1",
        "trade < 'farm'",
        "a, b",
        "1_000",
        "0x10",
        "1e999",
        "nan",
        "`unknown`",
        "``",
        "١",
        "+a",
        "(" * 5_000,
        "(" * 900 + "a" + ")" * 900,
        "-" * 900 + "a",
        "a" + "+a" * 900,
        "abs(" * 200 + "a" + ")" * 200,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ExpressionInvalid):
        parse_expression(text, COLUMNS)


@given(st.text(alphabet="ab c1.e+-*/<>=!(),'`\"minaxwhere", max_size=60) | st.text(max_size=60))
def test_any_text_is_refused_or_has_a_finite_value(text: str) -> None:
    try:
        value = parse_expression(text, COLUMNS).evaluate(VALUES)
    except ExpressionInvalid:
        return
    assert value is None or math.isfinite(value)


def arithmetic() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["a", "b", "x", "y"]) | st.floats(0, 1e6).map(lambda number: f"{number:.6f}")
    return st.recursive(
        leaves,
        lambda parts: (
            st.tuples(parts, st.sampled_from(["+", "-", "*", "/"]), parts).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
            | st.tuples(parts, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), parts).map(
                lambda p: f"({p[0]} {p[1]} {p[2]})"
            )
            | st.tuples(st.sampled_from(["min", "max"]), parts, parts).map(lambda p: f"{p[0]}({p[1]}, {p[2]})")
            | parts.map(lambda part: f"abs({part})")
        ),
        max_leaves=12,
    )


@given(arithmetic(), st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4))
def test_values_are_the_bits_that_python_computes(text: str, values: list[float]) -> None:
    names = dict(zip("abxy", values, strict=True))
    try:
        expected: float | None = float(eval(text, {"min": min, "max": max, "abs": abs}, names))
    except ZeroDivisionError:
        expected = None
    if expected is not None and not math.isfinite(expected):
        expected = None
    assert parse_expression(text, {"a": 0, "b": 1, "x": 2, "y": 3}).evaluate(values) == expected


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", "0x1", "", " 1", "１", "1e", "--1", "1.2.3"])
def test_only_plain_decimals_are_numbers(text: str) -> None:
    assert parse_number(text) is None
