"""The public registry: every code has a text, every shipped input has a code."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import scoring.schema
from scoring.errors import ReasonUnknown
from scoring.reasons import (
    GENERIC,
    MISSING,
    NOTHING_PRESENTED,
    ONLY_STALE,
    REFER_COVERAGE,
    TOO_LITTLE,
    load_registry,
    reason_code,
    reason_text,
)
from scoring.schema import Schema, parse_schema

SHIPPED = sorted((Path(scoring.schema.__file__).parent / "schemas").glob("*.toml"))


def test_every_code_is_well_formed_and_has_a_text() -> None:
    registry = load_registry()
    used = {GENERIC, MISSING, NOTHING_PRESENTED, ONLY_STALE, REFER_COVERAGE, TOO_LITTLE}
    used |= set(registry.credential_types.values())
    used |= {code for codes in registry.features.values() for code in codes.values()}
    assert used <= set(registry.texts)
    for code, text in registry.texts.items():
        assert re.fullmatch(r"[RUV][0-9]{2}", code)
        assert 20 <= len(text) <= 200
        assert text.endswith(".")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_input_has_a_code_that_says_something(path: Path) -> None:
    schema = parse_schema(path.read_bytes())
    assert GENERIC not in {reason_code(schema, column) for column in schema.inputs}


def test_the_registry_names_no_feature_that_a_shipped_schema_lacks() -> None:
    schemas = {path.stem: parse_schema(path.read_bytes()) for path in SHIPPED}
    for name, codes in load_registry().features.items():
        assert set(codes) <= {column.name for column in schemas[name].inputs}


def test_a_feature_has_its_own_code_before_that_of_its_credential_type(taiwan: Schema) -> None:
    column = taiwan.columns[taiwan.position["utilisation"]]
    assert reason_code(taiwan, column) == "R03"
    assert reason_code(replace(taiwan, name="another"), column) == "R19"


def test_other_types_have_the_generic_code(small: Schema) -> None:
    assert {reason_code(small, column) for column in small.columns} == {GENERIC}


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(ReasonUnknown):
        reason_text("R999")
