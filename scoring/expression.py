"""The safe arithmetic of derived features: + - * / min max abs clip where and comparisons over columns.

No names but declared columns, no attributes, no calls but the five. A column whose name is not an identifier
is written in backquotes. Everything is IEEE double arithmetic in the order written, so that a served value and
a training value are the same bits.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
_OPERATIONS: dict[str, Callable[[float, float], float]] = {
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


class _AbsentError(Exception):
    """An operand is absent."""


Evaluate = Callable[[Sequence[Value]], float]
"""A compiled part of an expression; raises _AbsentError and ZeroDivisionError."""


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A parsed expression and the columns it reads, in order of first use."""

    text: str
    operands: tuple[str, ...]
    compiled: Evaluate = field(repr=False, compare=False)

    def evaluate(self, values: Sequence[Value]) -> float | None:
        """The value over a row's values, or None where an operand is absent, a divisor zero or the result infinite."""
        try:
            value = float(self.compiled(values))
        except (_AbsentError, ZeroDivisionError):
            return None
        return value if math.isfinite(value) else None


def parse_expression(text: str, columns: Mapping[str, int]) -> Expression:
    """Parse an expression over columns (name -> index into the values); raises ExpressionInvalid."""
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid
    parser = _Parser(_tokens(text), columns)
    compiled = parser.comparison(0)
    parser.expect("end")
    return Expression(text=text, operands=tuple(parser.operands), compiled=compiled)


def _number(value: float) -> Evaluate:
    return lambda _: value


def _operand(index: int) -> Evaluate:
    """A column; of a categorical one, the number its code writes."""

    def evaluate(values: Sequence[Value]) -> float:
        value = values[index]
        if isinstance(value, str):
            value = parse_number(value)
        if value is None:
            raise _AbsentError
        return value

    return evaluate


def _category(index: int, text: str, *, equal: bool) -> Evaluate:
    """A column compared with a category."""

    def evaluate(values: Sequence[Value]) -> float:
        value = values[index]
        if value is None:
            raise _AbsentError
        return (value == text) is equal

    return evaluate


def _binary(symbol: str, left: Evaluate, right: Evaluate) -> Evaluate:
    operation = _OPERATIONS[symbol]
    return lambda values: operation(left(values), right(values))


def _call(function: str, arguments: Sequence[Evaluate]) -> Evaluate:
    if function == "where":  # only the chosen branch counts, so that it can guard a division
        condition, then, otherwise = arguments
        return lambda values: then(values) if condition(values) != 0 else otherwise(values)
    if function == "clip":
        value, low, high = arguments
        return lambda values: min(max(value(values), low(values)), high(values))
    if function == "abs":
        return lambda values: abs(arguments[0](values))
    choose = min if function == "min" else max
    return lambda values: choose([argument(values) for argument in arguments])


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

    def comparison(self, depth: int) -> Evaluate:
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

    def sum(self, depth: int) -> Evaluate:
        node = self.product(depth)
        while symbol := self.took("+", "-"):
            node = _binary(symbol, node, self.product(depth))
        return node

    def product(self, depth: int) -> Evaluate:
        node = self.sign(depth)
        while symbol := self.took("*", "/"):
            node = _binary(symbol, node, self.sign(depth))
        return node

    def sign(self, depth: int) -> Evaluate:
        if depth > MAX_DEPTH:
            raise ExpressionInvalid
        if self.took("-"):
            return _binary("-", _number(0.0), self.sign(depth + 1))
        return self.primary(depth)

    def primary(self, depth: int) -> Evaluate:
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

    def call(self, function: str, depth: int) -> Evaluate:
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
