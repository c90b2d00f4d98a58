"""The public registry of reason codes: reason_codes.json, read once, whose codes are never reused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from scoring.errors import ReasonUnknown
from scoring.schema import Column, Schema

GENERIC = "R00"
MISSING = "R90"
NOTHING_PRESENTED = "U01"
ONLY_STALE = "U02"
TOO_LITTLE = "U03"
REFER_COVERAGE, REFER_WIDTH = "V01", "V02"


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A reason as it is shown. `feature` costs the most of those behind the code, None for a reason about coverage.

    `points_lost` are the points that the features behind the code are short of their best bins.
    """

    code: str
    text: str
    feature: str | None = None
    points_lost: int = 0


@dataclass(frozen=True, kw_only=True)
class Registry:
    """`texts` of every code; which code a feature of a shipped schema has, or else its credential type."""

    texts: Mapping[str, str]
    features: Mapping[str, Mapping[str, str]]
    credential_types: Mapping[str, str]


@cache
def load_registry() -> Registry:
    """The registry that ships with the package."""
    document = json.loads(files("scoring").joinpath("reason_codes.json").read_text("utf-8"))
    return Registry(
        texts=document["texts"], features=document["features"], credential_types=document["credential_types"]
    )


def reason_text(code: str) -> str:
    """The text of a code; raises ReasonUnknown."""
    text = load_registry().texts.get(code)
    if text is None:
        raise ReasonUnknown
    return text


def reason_code(schema: Schema, column: Column) -> str:
    """The code of a model input: its own, else that of the first credential type it rests on, else the generic one."""
    registry = load_registry()
    own = registry.features.get(schema.name, {}).get(column.name)
    types = (registry.credential_types.get(source.vct) for source in schema.sources_of(column))
    return own or next((code for code in types if code), GENERIC)
