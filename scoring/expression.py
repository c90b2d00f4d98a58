"""The safe arithmetic of derived features: + - * / min max abs clip where and comparisons over columns.

No names but declared columns, no attributes, no calls but the five. A column whose name is not an identifier
is written in backquotes. Everything is IEEE double arithmetic in the order written, so that a served value and
a training value are the same bits: a served one is computed alone, those of training a column at a time, and each
part of an expression has both readings side by side.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.errors import ExpressionInvalid

Value = float | str | None
"""A quantity, a category, or absent."""

MAX_LENGTH = 2_000
MAX_DEPTH = 32
MAX_TOKENS = 500

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|`(?P<quoted>[^`]+)`"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<symbol><=|>=|==|!=|[-+*/<>(),]))"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_ARGUMENTS = {"min": (2, 16), "max": (2, 16), "abs": (1, 1), "clip": (3, 3), "where": (3, 3)}


def parse_number(text: str) -> float | None:
    """The number that plain decimal text writes, else None: no underscores, no "nan", no other alphabets."""
    return float(text) if _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, kw_only=True)
class ValueColumn:
    """The values of a column, a row each: `numbers` are what arithmetic reads, NaN where there is none.

    A categorical one has `codes` too, each row's index into `texts`, where None stands for absent.
    """

    numbers: NDArray[np.float64]
    codes: NDArray[np.int64] | None = None
    texts: tuple[str | None, ...] = ()


class _AbsentError(Exception):
    """An operand is absent."""


Numbers = Any
"""Doubles and which of them are absent, a row each or one for all: numpy's scalars are what its arrays are."""


@dataclass(frozen=True)
class _Part:
    """A compiled part of an expression, over a row's values and over columns.

    `of_row` raises _AbsentError and ZeroDivisionError where `of_columns` marks a row as absent.
    """

    of_row: Callable[[Sequence[Value]], float]
    of_columns: Callable[[Sequence[ValueColumn]], tuple[Numbers, Numbers]]


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A parsed expression and the columns it reads, in order of first use."""

    text: str
    operands: tuple[str, ...]
    compiled: _Part = field(repr=False, compare=False)

    def evaluate(self, values: Sequence[Value]) -> float | None:
        """The value over a row's values, or None where an operand is absent, a divisor zero or the result infinite."""
        try:
            value = float(self.compiled.of_row(values))
        except (_AbsentError, ZeroDivisionError):
            return None
        return value if math.isfinite(value) else None

    def evaluate_columns(self, columns: Sequence[ValueColumn]) -> NDArray[np.float64]:
        """`evaluate` of every row of the columns, which are at least one; NaN for None."""
        with np.errstate(all="ignore"):
            value, absent = self.compiled.of_columns(columns)
        value, absent = np.broadcast_arrays(value, absent, columns[0].numbers)[:2]
        return np.where(absent | ~np.isfinite(value), np.nan, value)


def parse_expression(text: str, columns: Mapping[str, int]) -> Expression:
    """Parse an expression over columns (name -> index into the values); raises ExpressionInvalid."""
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid
    parser = _Parser(_tokens(text), columns)
    compiled = parser.comparison(0)
    parser.expect("end")
    return Expression(text=text, operands=tuple(parser.operands), compiled=compiled)


def _number(value: float) -> _Part:
    return _Part(lambda _: value, lambda _: (np.float64(value), np.False_))


def _operand(index: int) -> _Part:
    """A column; of a categorical one, the number its code writes."""

    def of_row(values: Sequence[Value]) -> float:
        value = values[index]
        if isinstance(value, str):
            value = parse_number(value)
        if value is None:
            raise _AbsentError
        return value

    def of_columns(columns: Sequence[ValueColumn]) -> tuple[Numbers, Numbers]:
        numbers = columns[index].numbers
        return numbers, np.isnan(numbers)

    return _Part(of_row, of_columns)


def _category(index: int, text: str, *, equal: bool) -> _Part:
    """A column compared with a category."""

    def of_row(values: Sequence[Value]) -> float:
        value = values[index]
        if value is None:
            raise _AbsentError
        return float((value == text) is equal)

    def of_columns(columns: Sequence[ValueColumn]) -> tuple[Numbers, Numbers]:
        column = columns[index]
        if column.codes is None:
            return np.float64(not equal), np.isnan(column.numbers)
        matches = np.array([float((value == text) is equal) for value in column.texts])
        absent = np.array([value is None for value in column.texts])
        return matches[column.codes], absent[column.codes]

    return _Part(of_row, of_columns)


def _binary(symbol: str, left: _Part, right: _Part) -> _Part:
    operation = _OPERATIONS[symbol]
    one, other = left.of_row, right.of_row

    def of_columns(columns: Sequence[ValueColumn]) -> tuple[Numbers, Numbers]:
        (a, absent_a), (b, absent_b) = left.of_columns(columns), right.of_columns(columns)
        absent = absent_a | absent_b
        return np.float64(operation(a, b)), (absent | (b == 0) if symbol == "/" else absent)

    if symbol in _COMPARISONS:
        return _Part(lambda values: float(operation(one(values), other(values))), of_columns)
    return _Part(lambda values: operation(one(values), other(values)), of_columns)


def _call(function: str, arguments: Sequence[_Part]) -> _Part:
    if function == "where":  # only the chosen branch counts, so that it can guard a division
        return _where(*arguments)
    if function == "clip":
        value, low, high = arguments
        return _choose(min, [_choose(max, [value, low]), high])
    if function == "abs":
        return _absolute(arguments[0])
    return _choose(min if function == "min" else max, arguments)


def _where(condition: _Part, then: _Part, otherwise: _Part) -> _Part:
    def of_columns(columns: Sequence[ValueColumn]) -> tuple[Numbers, Numbers]:
        chosen, unknown = condition.of_columns(columns)
        (a, absent_a), (b, absent_b) = then.of_columns(columns), otherwise.of_columns(columns)
        return np.where(chosen != 0, a, b), unknown | np.where(chosen != 0, absent_a, absent_b)

    return _Part(
        lambda values: then.of_row(values) if condition.of_row(values) != 0 else otherwise.of_row(values), of_columns
    )


def _absolute(argument: _Part) -> _Part:
    def of_columns(columns: Sequence[ValueColumn]) -> tuple[Numbers, Numbers]:
        value, absent = argument.of_columns(columns)
        return abs(value), absent

    return _Part(lambda values: abs(argument.of_row(values)), of_columns)


def _choose(choose: Callable[..., float], arguments: Sequence[_Part]) -> _Part:
    """Python's min or max, which keeps the first of its arguments unless a later one is beyond it."""
    beyond = operator.lt if choose is min else operator.gt
    readings = [argument.of_row for argument in arguments]

    def of_columns(columns: Sequence[ValueColumn]) -> tuple[Numbers, Numbers]:
        chosen, absent = arguments[0].of_columns(columns)
        for argument in arguments[1:]:
            value, unknown = argument.of_columns(columns)
            chosen, absent = np.where(beyond(value, chosen), value, chosen), absent | unknown
        return chosen, absent

    return _Part(lambda values: choose([reading(values) for reading in readings]), of_columns)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ExpressionInvalid
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    if len(tokens) > MAX_TOKENS:
        raise ExpressionInvalid
    return [*tokens, ("end", "end")]


class _Parser:
    """Recursive descent: comparison > sum > product > sign > primary."""

    def __init__(self, tokens: list[tuple[str, str]], columns: Mapping[str, int]) -> None:
        self.tokens = tokens
        self.columns = columns
        self.at = 0
        self.operands: dict[str, None] = {}

    def expect(self, text: str) -> None:
        if not self.took(text):
            raise ExpressionInvalid

    def took(self, *symbols: str) -> str | None:
        kind, text = self.tokens[self.at]
        if kind not in ("symbol", "end") or text not in symbols:
            return None
        self.at += 1
        return text

    def comparison(self, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            raise ExpressionInvalid
        start = self.tokens[self.at : self.at + 3]
        if [kind for kind, _ in start] in (["name", "symbol", "text"], ["quoted", "symbol", "text"]):
            (_, name), (_, symbol), (_, text) = start
            if symbol not in ("==", "!="):
                raise ExpressionInvalid
            self.at += 3
            return _category(self.column(name), text[1:-1], equal=symbol == "==")
        left = self.sum(depth)
        compared = self.took(*_COMPARISONS)
        return _binary(compared, left, self.sum(depth)) if compared else left

    def sum(self, depth: int) -> _Part:
        node = self.product(depth)
        while symbol := self.took("+", "-"):
            node = _binary(symbol, node, self.product(depth))
        return node

    def product(self, depth: int) -> _Part:
        node = self.sign(depth)
        while symbol := self.took("*", "/"):
            node = _binary(symbol, node, self.sign(depth))
        return node

    def sign(self, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            raise ExpressionInvalid
        if self.took("-"):
            return _binary("-", _number(0.0), self.sign(depth + 1))
        return self.primary(depth)

    def primary(self, depth: int) -> _Part:
        if self.took("("):
            node = self.comparison(depth + 1)
            self.expect(")")
            return node
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            value = float(text)
            if value > 1e15:
                raise ExpressionInvalid
            return _number(value)
        if kind == "name" and self.took("("):
            return self.call(text, depth)
        if kind in ("name", "quoted"):
            return _operand(self.column(text))
        raise ExpressionInvalid

    def call(self, function: str, depth: int) -> _Part:
        if function not in _ARGUMENTS:
            raise ExpressionInvalid
        arguments = [self.comparison(depth + 1)]
        while self.took(","):
            arguments.append(self.comparison(depth + 1))
        self.expect(")")
        fewest, most = _ARGUMENTS[function]
        if not fewest <= len(arguments) <= most:
            raise ExpressionInvalid
        return _call(function, arguments)

    def column(self, name: str) -> int:
        if name not in self.columns:
            raise ExpressionInvalid
        self.operands[name] = None
        return self.columns[name]
