"""The schema file: what a model may see, public by construction. The grammar is docs/schema.md."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar
from urllib.parse import unquote

from scoring.cells import Categories, Product, Quantity, build_product, build_quantity
from scoring.errors import SchemaInvalid
from scoring.expression import Expression, parse_expression

Direction = Literal["increasing", "decreasing"]
Move = Literal["increase", "decrease"]
Many = Literal["refuse", "newest", "sum"]
T = TypeVar("T", bound=str)

MAX_BYTES = 262_144
MAX_COLUMNS = 512
MAX_CATEGORIES = 256
MAX_AGE_DAYS = 180

_FEATURE = frozenset(
    {
        "name",
        "kind",
        "low",
        "high",
        "cells",
        "log",
        "special",
        "monotone",
        "actionable",
        "categories",
        "source",
        "source_divisor",
        "protected",
    }
)
_DERIVED = frozenset(
    {"name", "expr", "kind", "low", "high", "cells", "log", "special", "monotone", "actionable", "protected"}
)
_TOP = frozenset({"name", "label", "person", "rows_per_person", "feature", "derived", "cross", "credential"})
_BOUND = 1e15
_LONE_TILDE = re.compile("~(?![01])")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a credential carries a feature: a type, a JSON pointer into its claims, and claim / divisor = value."""

    vct: str
    pointer: tuple[str, ...]
    divisor: int


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A column of the data."""

    name: str
    cells: Quantity | Categories
    monotone: Direction | None
    actionable: Move | None
    source: Source | None
    protected: bool

    @property
    def sourced(self) -> bool:
        return self.source is not None


@dataclass(frozen=True, kw_only=True)
class Derived:
    """Arithmetic over columns, and over derived features declared before it."""

    name: str
    expression: Expression
    cells: Quantity
    monotone: Direction | None
    actionable: Move | None
    sourced: bool
    protected: bool


@dataclass(frozen=True, kw_only=True)
class Cross:
    """Two features in one, named "A x B"; `of` are their positions among the schema's columns."""

    name: str
    of: tuple[int, int]
    cells: Product
    sourced: bool
    protected: bool
    monotone: None = None
    actionable: None = None


Column = Feature | Derived | Cross


def cross_name(left: Column, right: Column) -> str:
    """What a cross of two columns is called."""
    return f"{left.name} x {right.name}"


@dataclass(frozen=True, kw_only=True)
class CredentialPolicy:
    """How old a credential of a type may be, and what two of them mean."""

    vct: str
    max_age_days: int
    many: Many


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A parsed schema file. `columns` is the fixed order of everything: features, derived, crosses."""

    name: str
    label: str
    person: str | None
    rows_per_person: int
    features: tuple[Feature, ...]
    derived: tuple[Derived, ...]
    crosses: tuple[Cross, ...]
    credentials: Mapping[str, CredentialPolicy]
    toml: bytes

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return (*self.features, *self.derived, *self.crosses)

    @cached_property
    def graded(self) -> tuple[Feature | Derived, ...]:
        """The columns that have a value of their own; crosses have cells only."""
        return (*self.features, *self.derived)

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Of each column by name, its index in `columns`."""
        return {column.name: index for index, column in enumerate(self.columns)}

    @cached_property
    def unprotected(self) -> tuple[Column, ...]:
        """The columns that a model which is only evaluated may use, wherever they come from."""
        return tuple(column for column in self.columns if not column.protected)

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """The columns that a loadable model may use: sourced, and protected nowhere."""
        return tuple(column for column in self.unprotected if column.sourced)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the file's bytes, 32 bytes."""
        return hashlib.sha256(b"credence/schema/v1\0" + self.toml).digest()

    @cached_property
    def vcts(self) -> tuple[str, ...]:
        """The credential types that carry unprotected features, in order of first use."""
        return tuple(dict.fromkeys(f.source.vct for f in self.features if f.source and not f.protected))

    def features_of(self, column: Column) -> tuple[Feature, ...]:
        """The features a column rests on, through its operands, in their order and without repetition."""
        return tuple(dict.fromkeys(self._walk_features(column)))

    def sources_of(self, column: Column) -> tuple[Source, ...]:
        """Where those features come from, in their order and without repetition."""
        return tuple(dict.fromkeys(one.source for one in self.features_of(column) if one.source is not None))

    def _walk_features(self, column: Column) -> Iterator[Feature]:
        if isinstance(column, Feature):
            yield column
        elif isinstance(column, Derived):
            for name in column.expression.operands:
                yield from self._walk_features(self.columns[self.position[name]])
        else:
            for index in column.of:
                yield from self._walk_features(self.columns[index])


def parse_schema(toml: bytes) -> Schema:
    """Parse a schema file; raises SchemaInvalid on anything that the grammar does not name."""
    if len(toml) > MAX_BYTES:
        raise SchemaInvalid("The schema file is too large.")
    try:
        document = tomllib.loads(toml.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise SchemaInvalid("The schema file is not TOML.") from error
    top = _Table("the top", document, _TOP)
    features = tuple(_parse_feature(table) for table in top.tables("feature", _FEATURE))
    by_name: dict[str, Feature | Derived] = {feature.name: feature for feature in features}
    derived = []
    for table in top.tables("derived", _DERIVED):
        one = _parse_derived(table, by_name)
        by_name.setdefault(one.name, one)
        derived.append(one)
    schema = Schema(
        name=top.text("name"),
        label=top.text("label"),
        person=top.text("person") if "person" in document else None,
        rows_per_person=top.whole("rows_per_person", default=1, lowest=1, highest=1_000),
        features=features,
        derived=tuple(derived),
        crosses=tuple(_parse_cross(table, by_name) for table in top.tables("cross", frozenset({"of"}))),
        credentials=_parse_credentials(top),
        toml=toml,
    )
    _check_whole(schema)
    return schema


def _parse_feature(table: "_Table") -> Feature:
    kind = table.choice("kind", ("numeric", "integer", "categorical"))
    source = None
    if "source" in table.members:
        vct, _, pointer = table.text("source").partition("#")
        pointer = unquote(pointer)
        tokens = pointer.split("/")[1:]
        if not vct or not pointer.startswith("/") or _LONE_TILDE.search(pointer):
            raise table.invalid("source is not a credential type and a JSON pointer")
        source = Source(
            vct=vct,
            pointer=tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens),
            divisor=table.whole("source_divisor", default=1, lowest=1, highest=10**12),
        )
    elif "source_divisor" in table.members:
        raise table.invalid("source_divisor stands without a source")
    return Feature(
        name=table.text("name"),
        cells=_parse_categories(table) if kind == "categorical" else _parse_quantity(table, integer=kind == "integer"),
        monotone=table.optional_choice("monotone", ("increasing", "decreasing")),
        actionable=table.optional_choice("actionable", ("increase", "decrease")),
        source=source,
        protected=table.flag("protected"),
    )


def _parse_derived(table: "_Table", operands: Mapping[str, Feature | Derived]) -> Derived:
    """The operands' order of declaration is the order of evaluation, so no expression can read a later one."""
    kind = table.choice("kind", ("numeric", "integer"))
    expression = parse_expression(table.expression(), {name: i for i, name in enumerate(operands)})
    columns = [operands[name] for name in expression.operands]
    if not columns:
        raise table.invalid("expr reads no column")
    return Derived(
        name=table.text("name"),
        expression=expression,
        cells=_parse_quantity(table, integer=kind == "integer"),
        monotone=table.optional_choice("monotone", ("increasing", "decreasing")),
        actionable=table.optional_choice("actionable", ("increase", "decrease")),
        sourced=all(column.sourced for column in columns),
        protected=table.flag("protected") or any(column.protected for column in columns),
    )


def _parse_cross(table: "_Table", operands: Mapping[str, Feature | Derived]) -> Cross:
    names = table.members.get("of")
    if not isinstance(names, list) or len(names) != 2 or names[0] == names[1]:
        raise table.invalid("of is not two names")
    positions = {name: index for index, name in enumerate(operands)}
    if any(not isinstance(name, str) or name not in positions for name in names):
        raise table.invalid("of names no declared column")
    left, right = (operands[name] for name in names)
    return Cross(
        name=cross_name(left, right),
        of=(positions[left.name], positions[right.name]),
        cells=build_product(left.cells, right.cells),
        sourced=left.sourced and right.sourced,
        protected=left.protected or right.protected,
    )


def _parse_quantity(table: "_Table", *, integer: bool) -> Quantity:
    if "categories" in table.members:
        raise table.invalid("a quantity has no categories")
    low, high = table.number("low"), table.number("high")
    if not low < high or (integer and not (low.is_integer() and high.is_integer())):
        raise table.invalid("low and high are not bounds")
    special = table.members.get("special", [])
    if not isinstance(special, list) or len(special) > 16:
        raise table.invalid("special is not a short list of numbers")
    codes = tuple(_number(table, code) for code in special)
    if len(set(codes)) != len(codes):
        raise table.invalid("a special code stands twice")
    return build_quantity(
        low=low,
        high=high,
        cells=table.whole("cells", default=32, lowest=2, highest=32),
        log=table.flag("log"),
        integer=integer,
        special=codes,
    )


def _parse_categories(table: "_Table") -> Categories:
    if not {"low", "high", "cells", "log", "special", "monotone", "source_divisor"}.isdisjoint(table.members):
        raise table.invalid("a category has no bounds, cells, codes, order or divisor")
    names = table.members.get("categories")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_CATEGORIES or len(set(map(str, names))) != len(names):
        raise table.invalid("categories is not a list of distinct names")
    if any(not isinstance(name, str) or not name for name in names):
        raise table.invalid("categories is not a list of distinct names")
    return Categories(categories=tuple(names))


def _parse_credentials(top: "_Table") -> Mapping[str, CredentialPolicy]:
    policies: dict[str, CredentialPolicy] = {}
    for table in top.tables("credential", frozenset({"vct", "max_age_days", "many"})):
        vct = table.text("vct")
        if vct in policies:
            raise table.invalid("a credential type stands twice")
        policies[vct] = CredentialPolicy(
            vct=vct,
            max_age_days=table.whole("max_age_days", default=MAX_AGE_DAYS, lowest=1, highest=36_500),
            many=table.optional_choice("many", ("refuse", "newest", "sum")) or "refuse",
        )
    return policies


def _check_whole(schema: Schema) -> None:
    """What no single entry shows: names are distinct, the label is no feature, categories are never summed."""
    names = [column.name for column in schema.columns]
    outside = {schema.label, schema.person} - {None}
    if not schema.features or len(names) > MAX_COLUMNS:
        raise SchemaInvalid("The schema has no features, or too many.")
    if len(set(names)) != len(names) or not outside.isdisjoint(names) or schema.label == schema.person:
        raise SchemaInvalid("Two columns of the schema have one name.")
    for feature in schema.features:
        if feature.source and isinstance(feature.cells, Categories):
            policy = schema.credentials.get(feature.source.vct)
            if policy is not None and policy.many == "sum":
                raise SchemaInvalid(f"{feature.name}: a category cannot be summed over credentials.")


def _number(table: "_Table", value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _BOUND:
        raise table.invalid("a number is missing, not a number or out of range")
    return float(value)


class _Table:
    """One table of the file with the members it may have; every reader refuses the wrong type."""

    def __init__(self, where: str, members: object, allowed: frozenset[str]) -> None:
        self.where = where
        if not isinstance(members, dict):
            raise self.invalid("is not a table")
        if not allowed.issuperset(members):
            raise self.invalid("has an unknown member")
        self.members: Mapping[str, object] = members

    def invalid(self, what: str) -> SchemaInvalid:
        return SchemaInvalid(f"The schema file, {self.where}: {what}.")

    def tables(self, name: str, allowed: frozenset[str]) -> list["_Table"]:
        value = self.members.get(name, [])
        if not isinstance(value, list):
            raise self.invalid(f"{name} is not a list of tables")
        return [_Table(f"{name} {number}", one, allowed) for number, one in enumerate(value, start=1)]

    def text(self, name: str, *, longest: int = 200) -> str:
        value = self.members.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable() or "`" in value:
            raise self.invalid(f"{name} is not a short text")
        return value

    def expression(self) -> str:
        value = self.members.get("expr")
        if not isinstance(value, str):
            raise self.invalid("expr is not a text")
        return value

    def choice(self, name: str, choices: tuple[T, ...]) -> T:
        value = self.optional_choice(name, choices)
        if value is None:
            raise self.invalid(f"{name} is not one of {', '.join(choices)}")
        return value

    def optional_choice(self, name: str, choices: tuple[T, ...]) -> T | None:
        if name not in self.members:
            return None
        for choice in choices:
            if self.members[name] == choice:
                return choice
        raise self.invalid(f"{name} is not one of {', '.join(choices)}")

    def flag(self, name: str) -> bool:
        value = self.members.get(name, False)
        if not isinstance(value, bool):
            raise self.invalid(f"{name} is not true or false")
        return value

    def number(self, name: str) -> float:
        return _number(self, self.members.get(name))

    def whole(self, name: str, *, default: int, lowest: int, highest: int) -> int:
        value = self.members.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise self.invalid(f"{name} is not a whole number from {lowest} to {highest}")
        return value
