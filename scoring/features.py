"""From claims or from a row of training data to the same features: one path, so that both see the same bits."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scoring.cells import Categories, Quantity
from scoring.errors import ColumnMissing, SeveralCredentials, ValueInvalid
from scoring.expression import Value, parse_number
from scoring.schema import MAX_AGE_DAYS, CredentialPolicy, Feature, Schema, Source

Json = object
"""A JSON value: claims come from outside and are trusted in nothing but their signature."""

DAY_MS = 86_400_000
MAX_CODE = 10**15
_INDEX = re.compile("0|[1-9][0-9]{0,5}")
ABSENT_TEXT = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})


@dataclass(frozen=True, kw_only=True)
class ClaimSet:
    """The claims of one verified credential and when it was issued (UTC milliseconds)."""

    issued_at_ms: int
    claims: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the schema sees of one person, in the order of `Schema.columns`.

    `values` are quantities clipped to their bounds, categories as written, and None for absent; crosses have
    cells only. `credential_types` were read, `stale_types` were presented but too old, both in schema order.
    """

    values: tuple[Value, ...]
    cells: tuple[int, ...]
    credential_types: tuple[str, ...] = ()
    stale_types: tuple[str, ...] = ()


def extract_features(schema: Schema, claims: Mapping[str, Sequence[ClaimSet]], now_ms: int) -> Features:
    """Read a person's features from verified claims (credential type -> its credentials).

    Credentials older than their type's limit are dropped, then the type's rule for several applies. A missing
    claim, or null, is absent. Raises SeveralCredentials and ValueInvalid.
    """
    used: dict[str, Sequence[ClaimSet]] = {}
    stale = []
    for vct in dict.fromkeys(feature.source.vct for feature in schema.features if feature.source):
        policy = schema.credentials.get(vct) or CredentialPolicy(vct=vct, max_age_days=MAX_AGE_DAYS, many="refuse")
        presented = claims.get(vct, ())
        fresh = [one for one in presented if now_ms - one.issued_at_ms <= policy.max_age_days * DAY_MS]
        if len(fresh) > 1 and policy.many == "refuse":
            raise SeveralCredentials(vct)
        if len(fresh) > 1 and policy.many == "newest":
            fresh = [max(fresh, key=lambda one: one.issued_at_ms)]
        if fresh:
            used[vct] = fresh
        elif presented:
            stale.append(vct)

    def read(feature: Feature) -> Value:
        if feature.source is None:
            return None
        found = [_at(one.claims, feature.source) for one in used.get(feature.source.vct, ())]
        return _claimed_value(feature, feature.source, [claim for claim in found if claim is not None])

    values, cells = _complete(schema, read)
    return Features(values=values, cells=cells, credential_types=tuple(used), stale_types=tuple(stale))


def features_from_row(schema: Schema, row: Mapping[str, str]) -> Features:
    """Read the features of one row of data, a text a column; raises ColumnMissing and ValueInvalid.

    An empty text, or one of the usual words for it, is absent.
    """

    def read(feature: Feature) -> Value:
        text = row.get(feature.name)
        if text is None:
            raise ColumnMissing(feature.name)
        return value_from_text(feature, text)

    values, cells = _complete(schema, read)
    return Features(values=values, cells=cells)


def cells_of(schema: Schema, values: Sequence[Value]) -> tuple[int, ...]:
    """The public cell of every column, crosses included, from the values of the features and derived features."""
    cells = [column.cells.cell_of(value) for column, value in zip(schema.graded, values, strict=True)]
    cells += [cross.cells.cell_of_cells(cells[cross.of[0]], cells[cross.of[1]]) for cross in schema.crosses]
    return tuple(cells)


def _complete(schema: Schema, read: Callable[[Feature], Value]) -> tuple[tuple[Value, ...], tuple[int, ...]]:
    values: list[Value] = [read(feature) for feature in schema.features]
    for derived in schema.derived:
        value = derived.expression.evaluate(values)
        values.append(None if value is None else derived.cells.clip(value))
    return tuple(values), cells_of(schema, values)


def value_from_text(feature: Feature, text: str) -> Value:
    """The value that a cell of a CSV file writes; raises ValueInvalid."""
    text = text.strip()
    if not isinstance(feature.cells, Quantity):
        return _category(feature.cells, text)
    if text in ABSENT_TEXT:
        return None
    number = parse_number(text)
    if number is None or not math.isfinite(number):
        raise ValueInvalid(feature.name)
    return feature.cells.clip(number)


def _claimed_value(feature: Feature, source: Source, claims: Sequence[Json]) -> Value:
    if not claims:
        return None
    if isinstance(feature.cells, Quantity):
        return feature.cells.clip(_quotient(feature, [_finite(feature, claim) for claim in claims], source.divisor))
    claim = claims[0]
    if not isinstance(claim, str):
        number = _finite(feature, claim)
        if not abs(number) < MAX_CODE:
            raise ValueInvalid(feature.name)
        claim = str(number)
    return _category(feature.cells, claim)


def _category(cells: Categories, text: str) -> str | None:
    """A category as the schema writes it; a code that is a number is one code as 2, "2" and "2.0"."""
    if text in cells.categories:
        return text
    if text in ABSENT_TEXT:
        return None
    number = parse_number(text)
    return str(int(number)) if number is not None and abs(number) < MAX_CODE and number.is_integer() else text


def _finite(feature: Feature, claim: Json) -> int | float:
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not math.isfinite(_as_float(claim)):
        raise ValueInvalid(feature.name)
    return claim


def _quotient(feature: Feature, claims: Sequence[int | float], divisor: int) -> float:
    """One true division, correctly rounded, so that the minor units 391350 give the double that "3913.5" does."""
    try:
        quotient = sum(claims) / divisor
    except OverflowError:
        quotient = math.inf
    if not math.isfinite(quotient):
        raise ValueInvalid(feature.name)
    return quotient


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _at(claims: Mapping[str, Json], source: Source) -> Json | None:
    """What a JSON pointer (RFC 6901) finds, or None."""
    found: Json = claims
    for token in source.pointer:
        if isinstance(found, Mapping):
            found = found.get(token)
        elif isinstance(found, list | tuple):
            found = found[int(token)] if _INDEX.fullmatch(token) and int(token) < len(found) else None
        else:
            return None
    return found
