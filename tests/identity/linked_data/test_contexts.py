"""The contexts on disk: ours says what the nine types say, and none leaves a document more freedom than is reckoned."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identity.credential_types.types import load_credential_types
from identity.linked_data.contexts import CREDENTIALS_V1, CREDENTIALS_V2, CREDIT_HISTORY_V1, load_contexts
from identity.linked_data.structure import _GRAPH_TERMS

CONTEXTS = load_contexts()
OURS = CONTEXTS[CREDIT_HISTORY_V1]["@context"]
FOLDER = Path(__file__).resolve().parents[3] / "identity" / "linked_data" / "contexts"
XSD = "http://www.w3.org/2001/XMLSchema#"


def definitions(context: Any, url: str) -> Iterator[tuple[str, Any, bool]]:
    """Every term that a context defines, in its scoped contexts too, and whether it is protected."""
    if isinstance(context, dict):
        for term, definition in context.items():
            if not term.startswith("@"):
                yield term, definition, context.get("@protected", False)
                if isinstance(definition, dict):
                    yield from definitions(definition.get("@context"), url)


def schema_of(claim: str) -> dict[str, Any]:
    for credential_type in load_credential_types().values():
        if claim in credential_type.schema["properties"]:
            schema = credential_type.schema["properties"][claim]
            name = schema.get("$ref", "").removeprefix("#/$defs/")
            return credential_type.schema["$defs"][name] if name else schema
    raise AssertionError(claim)


def test_our_context_defines_every_claim_of_every_type_and_nothing_else():
    types = load_credential_types().values()
    claims = {claim for each in types for claim in each.claim_names}
    names = {"".join(part.capitalize() for part in each.name.split("-")) + "Credential" for each in types}
    assert {term for term in OURS if not term.startswith("@")} == claims | names
    assert {name: OURS[name] for name in names} == {name: f"urn:credence:terms#{name}" for name in names}
    assert (OURS["@protected"], OURS["@version"]) == (True, 1.1)


@pytest.mark.parametrize("claim", [term for term in OURS if term.islower() and not term.startswith("@")])
def test_a_claim_is_defined_as_its_schema_has_it(claim):
    """An array is one JSON literal: as an RDF set it would lose its order, and as a list it takes seconds."""
    schema = schema_of(claim)
    expected: Any = {"@id": f"urn:credence:terms#{claim}"}
    if schema.get("type") == "array":
        expected["@type"] = "@json"
    elif schema.get("type") == "integer":
        expected["@type"] = f"{XSD}integer"
    elif schema.get("format") == "date":
        expected["@type"] = f"{XSD}date"
    else:
        expected = expected["@id"]
    assert OURS[claim] == expected


def test_no_context_brings_more_than_the_checks_before_canonicalization_reckon_with():
    """No lists (their cells are blank nodes), no maps, no reversed or nested terms, no vocabulary for the undefined."""
    for url, document in CONTEXTS.items():
        assert set(document) == {"@context"}
        text = json.dumps(document)
        for keyword in ("@vocab", "@base", "@language", "@direction", "@import"):
            if keyword == "@vocab":  # as the type of a term it is harmless; as a member it would define everything
                text = text.replace('"@type": "@vocab"', "")
            assert f'"{keyword}"' not in text, (url, keyword)
        for term, definition, _protected in definitions(document["@context"], url):
            assert definition is not None, (url, term)
            if isinstance(definition, dict):
                allowed = {"@id", "@type", "@container", "@context", "@protected"}
                assert set(definition) <= allowed, (url, term)
                assert definition.get("@container") in {None, "@graph", "@set"}, (url, term)
                if definition.get("@container") == "@graph":
                    assert term in _GRAPH_TERMS, (url, term)
                assert isinstance(definition.get("@context", {}), dict | type(None)), (url, term)


def test_no_other_context_has_a_term_of_ours():
    """So that no order of contexts, and none left out or added, gives one of our claims another meaning."""
    ours = {term for term in OURS if not term.startswith("@")}
    for url, document in CONTEXTS.items():
        if url != CREDIT_HISTORY_V1:
            assert ours.isdisjoint(term for term, *_ in definitions(document["@context"], url)), url


def test_the_contexts_that_credentials_begin_with_are_protected():
    for url in (CREDENTIALS_V1, CREDENTIALS_V2, CREDIT_HISTORY_V1):
        assert CONTEXTS[url]["@context"]["@protected"] is True


def test_every_file_is_a_context_on_the_list_and_its_source_is_named():
    files = {path.name for path in FOLDER.glob("*.jsonld")}
    sources = (FOLDER / "SOURCES.md").read_text()
    assert len(files) == len(CONTEXTS)
    for file in files:
        assert f"`{file}`" in sources
    for url in CONTEXTS:
        assert f"`{url}`" in sources
