"""What a JSON-LD document may look like: each refusal has its own test, and nothing else escapes."""

from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.encoding import JsonObject
from identity.errors import (
    ContextNotAllowed,
    IdentityError,
    KeywordNotAllowed,
    NodeRepeated,
    RdfTooComplex,
    RelativeIri,
    UndefinedTerm,
    ValueNotAllowed,
)
from identity.linked_data.contexts import CREDENTIALS_V2, CREDIT_HISTORY_V1, load_contexts
from identity.linked_data.structure import is_absolute_iri, verify_structure

CONTEXTS = load_contexts()


def credential(**changes: Any) -> JsonObject:
    return cast(
        JsonObject,
        {
            "@context": [CREDENTIALS_V2, CREDIT_HISTORY_V1],
            "id": "urn:uuid:1",
            "type": ["VerifiableCredential", "AirtimeCredential"],
            "issuer": {"id": "did:example:operator", "name": "Operator"},
            "validFrom": "2026-09-01T00:00:00Z",
            "credentialSubject": {"id": "did:example:holder", "currency": "KES", "topup_n": [3, 2, 1]},
            **changes,
        },
    )


def nested(depth: int) -> Any:
    return {"id": f"urn:level:{depth}", "evidence": nested(depth - 1)} if depth else "the end"


def test_a_credential_and_a_presentation_of_several_are_taken():
    proof = {"type": "DataIntegrityProof", "proofValue": "z1"}
    signed = credential(proof=proof)
    presentation: JsonObject = {
        "@context": [CREDENTIALS_V2],
        "type": "VerifiablePresentation",
        "holder": "did:example:holder",
        "verifiableCredential": [signed, credential(proof=[proof, proof])],
        "proof": proof,
    }
    for document in (credential(), signed, presentation):
        verify_structure(document, contexts=CONTEXTS)


@pytest.mark.parametrize(
    "context",
    [
        None,
        [],
        "https://www.w3.org/ns/credentials/v3",
        [CREDENTIALS_V2, "https://evil.example/context"],
        [CREDENTIALS_V2 + "#", CREDIT_HISTORY_V1],
        [CREDENTIALS_V2, CREDIT_HISTORY_V1.upper()],
        # The remap attack: the context changes places of two claims, the JSON does too, the statements stay.
        [CREDENTIALS_V2, {"in_n": "urn:credence:terms#out_n", "out_n": "urn:credence:terms#in_n"}],
        # Inline, and with no term that the document uses.
        [CREDENTIALS_V2, CREDIT_HISTORY_V1, {"unused": "urn:x:unused"}],
        [CREDENTIALS_V2, {}],
        [CREDENTIALS_V2, None],
        [[CREDENTIALS_V2]],
        {"@vocab": "urn:x:"},
        {"@import": CREDENTIALS_V2},
        5,
    ],
)
def test_a_context_is_one_on_the_list_by_its_exact_url(context):
    with pytest.raises(ContextNotAllowed):
        verify_structure(credential(**{"@context": context}), contexts=CONTEXTS)


def test_a_document_without_a_context_is_refused():
    document = credential()
    del document["@context"]
    with pytest.raises(ContextNotAllowed):
        verify_structure(document, contexts=CONTEXTS)


@pytest.mark.parametrize("term", ["credentialSubject", "issuer", "evidence"])
def test_a_context_stands_only_where_a_document_begins(term):
    with pytest.raises(ContextNotAllowed):
        verify_structure(credential(**{term: {"@context": CREDENTIALS_V2, "id": "urn:x:1"}}), contexts=CONTEXTS)


def test_an_inner_credential_brings_no_context_of_its_own_either():
    inner = credential(**{"@context": [CREDENTIALS_V2, {"in_n": "urn:credence:terms#out_n"}]})
    with pytest.raises(ContextNotAllowed):
        verify_structure({"@context": CREDENTIALS_V2, "verifiableCredential": [inner]}, contexts=CONTEXTS)


KEYWORDS = [
    *("@id", "@type", "@value", "@language", "@direction", "@graph", "@included", "@reverse", "@nest", "@index"),
    *("@list", "@set", "@json", "@base", "@vocab", "@import", "@propagate", "@protected", "@container", "@none"),
    *("@version", "@default", "@anything", "@"),
]


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("place", ["root", "subject"])
def test_a_keyword_is_refused_by_name(keyword, place):
    members: dict[str, Any] = {keyword: "urn:x:1"}
    document = credential(**members) if place == "root" else credential(credentialSubject=members)
    with pytest.raises(KeywordNotAllowed):
        verify_structure(document, contexts=CONTEXTS)


@pytest.mark.parametrize("name", ["@id", "@json", "@anything"])
def test_a_type_that_looks_like_a_keyword_is_refused(name):
    with pytest.raises(KeywordNotAllowed):
        verify_structure(credential(type=["VerifiableCredential", name]), contexts=CONTEXTS)


@pytest.mark.parametrize("term", ["urn:credence:terms#currency", "cred:issuer", "_:b0", ":", ""])
def test_a_member_that_is_an_iri_is_refused(term):
    with pytest.raises(UndefinedTerm):
        verify_structure(credential(credentialSubject={term: "UGX"}), contexts=CONTEXTS)


@pytest.mark.parametrize(
    "iri",
    [
        "",
        "holder",
        "/holder",
        "#holder",
        "//host/holder",
        "_:b0",  # a label joins blank nodes to a clique
        "1did:example:holder",
        ":holder",
        "did:",
        "urn:x:holder with a space",
        'urn:x:a> <urn:x:b> "c" .\n<urn:x:d',  # one name that N-Quads would read as two statements
        "urn:x:\u0000",
        "urn:x:{}",
        "urn:x:\ud800",
        None,
        5,
        ["urn:x:1"],
        {"id": "urn:x:1"},
    ],
)
@pytest.mark.parametrize("place", ["root", "subject"])
def test_an_id_is_an_absolute_iri(iri, place):
    document = credential(id=iri) if place == "root" else credential(credentialSubject={"id": iri})
    with pytest.raises(RelativeIri):
        verify_structure(document, contexts=CONTEXTS)


def test_one_thing_is_described_in_one_place():
    """The expiry date is the credential's in both; it is in the credential for whoever reads JSON in one of them."""
    honest = credential(validUntil="2026-10-01T00:00:00Z", relatedResource={"id": "urn:uuid:1"})
    moved = credential(relatedResource={"id": "urn:uuid:1", "validUntil": "2026-10-01T00:00:00Z"})
    verify_structure(honest, contexts=CONTEXTS)
    with pytest.raises(NodeRepeated):
        verify_structure(moved, contexts=CONTEXTS)


def test_a_subject_is_not_cut_in_two():
    halves = [{"id": "did:example:holder", "currency": "KES"}, {"id": "did:example:holder", "topup_n": [3, 2, 1]}]
    with pytest.raises(NodeRepeated):
        verify_structure(credential(credentialSubject=halves), contexts=CONTEXTS)


@pytest.mark.parametrize(
    "value",
    [None, 1.5, 5.0, [], [[1]], [None], [1, None], 2**53, -(2**53), [[]], [1.0], float("nan"), "a\0", "a\x7f"],
)
@pytest.mark.parametrize("term", ["validFrom", "issuer"])
def test_a_value_that_rdf_drops_or_alters_is_refused(term, value):
    with pytest.raises(ValueNotAllowed):
        verify_structure(credential(**{term: value}), contexts=CONTEXTS)
    with pytest.raises(ValueNotAllowed):
        verify_structure(credential(credentialSubject={term: value}), contexts=CONTEXTS)


@pytest.mark.parametrize("types", [[], None, "", ["VerifiableCredential"] * 2, [5], {"a": 1}, [None], ["a", ["b"]]])
def test_a_type_is_a_name_or_names_that_differ(types):
    with pytest.raises(ValueNotAllowed):
        verify_structure(credential(type=types), contexts=CONTEXTS)


def test_blank_nodes_are_counted_and_64_are_the_most():
    """The root is the name of a graph of its own in the count, and here it has an id."""

    def document(number: int) -> JsonObject:
        return credential(evidence=[{"name": str(index)} for index in range(number)])

    verify_structure(document(63), contexts=CONTEXTS)
    with pytest.raises(RdfTooComplex):
        verify_structure(document(64), contexts=CONTEXTS)
    # A graph has a blank name, and what it says may be about a blank node: two for each proof.
    proofs = [{"proofValue": str(index)} for index in range(32)]
    verify_structure(credential(proof=proofs[:31]), contexts=CONTEXTS)
    with pytest.raises(RdfTooComplex):
        verify_structure(credential(proof=proofs), contexts=CONTEXTS)


@pytest.mark.parametrize(
    "document",
    [
        credential(evidence=nested(16)),
        credential(topup_n=[1] * 4096),
        credential(evidence=[{"id": f"urn:x:{index}", "name": "a"} for index in range(2048)]),
        credential(**{"@context": [CREDENTIALS_V2] * 9}),
        credential(id="urn:x:" + "a" * 2048),
        credential(type=[f"Type{index}" for index in range(4096)]),
    ],
    ids=["depth", "values", "nodes", "contexts", "iri", "types"],
)
def test_a_document_has_bounds(document):
    with pytest.raises(RdfTooComplex):
        verify_structure(document, contexts=CONTEXTS)


def test_depth_is_counted_where_it_begins():
    verify_structure(credential(evidence=nested(15)), contexts=CONTEXTS)


def test_a_very_deep_document_is_refused_before_the_stack_is_full():
    value: Any = "the end"
    for _ in range(100_000):
        value = {"evidence": value}
    with pytest.raises(RdfTooComplex):
        verify_structure(credential(evidence=value), contexts=CONTEXTS)


MEMBERS = ["id", "type", "@context", "proof", *KEYWORDS]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(KEYWORDS),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text() | st.sampled_from(MEMBERS), children, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["@context", "id", "type", "proof", "credentialSubject", "x"]), json_values))
def test_nothing_but_our_errors_escapes(changes):
    with suppress(IdentityError):
        verify_structure(credential(**changes), contexts=CONTEXTS)


@given(st.text())
def test_an_iri_ends_no_statement_early(text):
    assert not (is_absolute_iri(text) and set(text) & set('<>" \n\r\t\\'))
