"""RDFC-1.0: the W3C's vectors, and that no claim can be changed without changing what is signed."""

import copy
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from identity.credential_types.types import CredentialType, load_credential_types
from identity.encoding import JsonObject
from identity.errors import BadLinkedData, ClaimsDoNotFit, ContextNotAllowed, IdentityError, RelativeIri, UndefinedTerm
from identity.linked_data.contexts import CREDENTIALS_V1, CREDENTIALS_V2, CREDIT_HISTORY_V1, load_contexts
from identity.linked_data.structure import verify_structure
from identity.linked_data.worker import ContextLoader, Refused, canonicalize
from identity.linked_data.workers import LinkedDataWorkers

TYPES = load_credential_types()
CONTEXTS = load_contexts()
LOADER = ContextLoader(CONTEXTS)

VECTORS = [
    ("vc-di-eddsa", "eddsa-rdfc-2022", "DataInt.json", "unsigned.json"),
    ("vc-di-eddsa", "eddsa-rdfc-2022/employ", "DataInt.json", "employmentAuth.json"),
    ("vc-di-eddsa", "Ed25519Signature2020", "EdSig.json", "unsigned.json"),
    ("vc-di-ecdsa", "ecdsa-rdfc-2019-p256", "ECDSAP256.json", "unsigned.json"),
    ("vc-di-ecdsa", "ecdsa-rdfc-2019-p256/employ", "ECDSAP256.json", "employmentAuth.json"),
    ("vc-di-ecdsa", "ecdsa-rdfc-2019-p384", "ECDSAP384.json", "unsigned.json"),
    # Its `employ` is left out: P-384 names blank nodes by SHA-384, and is not a key that is supported here.
]


@pytest.mark.parametrize(("suite", "folder", "ending", "unsigned"), VECTORS, ids=[each[1] for each in VECTORS])
def test_the_canonical_form_of_a_w3c_vector(test_data, workers, suite, folder, ending, unsigned):
    vectors = test_data / "vectors" / suite
    texts = json.loads((vectors / "_texts.json").read_text())
    kind = ending.removesuffix(".json")

    document = json.loads((vectors / "TestVectors" / unsigned).read_text())
    assert workers.canonicalize(document).decode() == texts[f"TestVectors/{folder}/canonDoc{kind}.txt"]

    options = json.loads((vectors / "TestVectors" / folder / f"proofConfig{ending}").read_text())
    assert workers.canonicalize(options).decode() == texts[f"TestVectors/{folder}/proofCanon{kind}.txt"]


def test_jsonld_js_makes_the_same_of_every_credential_type(scene):
    """A second implementation, of JSON literals and proofs too; an issuer who uses it is verified here."""
    documents = [credential_of(each, scene.claims(each.name, months=24)) for each in TYPES.values()]
    proof = {"type": "DataIntegrityProof", "cryptosuite": "eddsa-rdfc-2022", "proofPurpose": "assertionMethod"}
    presentation = {"@context": CREDENTIALS_V2, "type": "VerifiablePresentation", "proof": proof}
    documents.append({**presentation, "verifiableCredential": [documents[0] | {"proof": proof}, documents[1]]})
    given = json.dumps({"contexts": CONTEXTS, "documents": documents})
    script = Path(__file__).with_name("canonize.mjs")
    answer = subprocess.run(["node", script], input=given, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    for document, theirs in zip(documents, json.loads(answer.stdout), strict=True):
        verify_structure(document, contexts=CONTEXTS)
        assert canonicalize(document, LOADER) == theirs


def test_the_contexts_of_the_vectors_are_not_allowed_in_production(test_data):
    document = json.loads((test_data / "vectors/vc-di-eddsa/TestVectors/unsigned.json").read_text())
    with pytest.raises(ContextNotAllowed):
        LinkedDataWorkers().canonicalize(document)


def test_a_context_that_is_not_on_the_list_is_not_looked_for():
    with pytest.raises(Refused, match="context_not_allowed"):
        LOADER("https://www.w3.org/ns/credentials/v3", {})


def credential_of(credential_type: CredentialType, claims: Any) -> JsonObject:
    name = "".join(part.capitalize() for part in credential_type.name.split("-")) + "Credential"
    return {
        "@context": [CREDENTIALS_V2, CREDIT_HISTORY_V1],
        "type": ["VerifiableCredential", name],
        "issuer": "did:example:operator",
        "credentialSubject": {"id": "did:example:holder", **claims},
    }


#: What a holder might make of a claim, so that it reads differently and yet is the same in RDF.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "as text": str,
    "as a number": lambda value: int(value) if isinstance(value, str) and value.isdigit() else 7,
    "as a fraction": lambda value: float(value) if isinstance(value, int) else 1.0,
    "as true": lambda _value: True,
    "in an array": lambda value: [value],
    "out of its array": lambda value: value[0] if isinstance(value, list) else value,
    "twice": lambda value: [*value, *value] if isinstance(value, list) else [value, value],
    "in another order": lambda value: value[::-1] if isinstance(value, list) else value,
    "the last one less": lambda value: value[:-1] if isinstance(value, list) else value,
    "each once": lambda value: sorted(set(value)) if isinstance(value, list) else value,
    "each as text": lambda value: [str(item) for item in value] if isinstance(value, list) else value,
    "each as a fraction": lambda value: [float(item) for item in value] if isinstance(value, list) else value,
    "null": lambda _value: None,
    "with null": lambda value: [*value, None] if isinstance(value, list) else [value, None],
    "empty": lambda _value: [],
    "as an object": lambda value: {"@value": value},
    "as a list object": lambda value: {"@list": value},
    "as a set object": lambda value: {"@set": value},
    "as a node": lambda value: {"id": "urn:x:1", "name": value},
    "with space": lambda value: f" {value}",
    "one more": lambda value: value + 1 if isinstance(value, int) else value,
}


def ways_to_change(claims: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each claim changed in each way, under its name and under others that RDF takes for it."""
    by_kind = {type(value): name for name, value in claims.items()}
    for name in by_kind.values():
        for how, change in CHANGES.items():
            yield f"{name} {how}", {**claims, name: change(copy.deepcopy(claims[name]))}
        rest = {other: value for other, value in claims.items() if other != name}
        yield f"{name} left out", rest
        yield f"{name} as an IRI", {**rest, f"urn:credence:terms#{name}": claims[name]}
        yield f"{name} beside its IRI", {**claims, f"urn:credence:terms#{name}": claims[name]}
        yield f"{name} nested", {**rest, "@nest": {name: claims[name]}}
        yield f"{name} included", {**rest, "@included": {"id": "did:example:holder", name: claims[name]}}


@pytest.mark.parametrize("vct", TYPES)
def test_no_claim_is_changed_without_changing_what_is_signed(scene, vct):
    """A changed document is refused, or its claims do not fit their type, or what is signed differs."""
    credential_type = TYPES[vct]
    claims = scene.claims(credential_type.name)
    document = credential_of(credential_type, claims)
    signed = canonicalize(document, LOADER)
    outcomes = {"refused": 0, "does not fit": 0, "differs": 0}
    for how, changed in ways_to_change(claims):
        if changed == claims and json.dumps(changed) == json.dumps(claims):
            continue
        try:
            other = credential_of(credential_type, changed)
            verify_structure(other, contexts=CONTEXTS)
            credential_type.verify_claims(changed)
            assert canonicalize(other, LOADER) != signed, how
            outcomes["differs"] += 1
        except ClaimsDoNotFit:
            outcomes["does not fit"] += 1
        except (IdentityError, Refused):
            outcomes["refused"] += 1
    assert all(outcomes.values()), outcomes


def test_an_array_of_months_is_one_literal_that_says_each_item():
    """The JSON type of an item counts too: as RDF integers, 3 and "3" would be one number."""
    forms = {
        canonicalize(credential_of(TYPES["urn:credence:airtime:1"], {"topup_n": months}), LOADER)
        for months in ([3, 2, 1], [1, 2, 3], ["3", 2, 1], [3, 2], [3, 2, 1, 1], 3, [[3, 2, 1]])
    }
    assert len(forms) == 7


def test_a_number_that_is_not_typed_reads_in_two_ways_and_its_schema_tells_them_apart():
    """This is what the schema of a claim is needed for: RDF has one integer, JSON two spellings of it."""
    credential_type = TYPES["urn:credence:airtime:1"]
    numbers = [credential_of(credential_type, {"advance_minor": value}) for value in (5, "5", [5])]
    assert len({canonicalize(number, LOADER) for number in numbers}) == 1
    for value in ("5", [5]):
        with pytest.raises(ClaimsDoNotFit):
            credential_type.verify_disclosed_claims({"advance_minor": value})


@pytest.mark.parametrize("term", ["income_minor", "Currency", "currency ", "constructor"])
def test_a_term_that_no_context_defines_is_refused(workers, term):
    with pytest.raises(UndefinedTerm):
        workers.canonicalize(credential_of(TYPES["urn:credence:airtime:1"], {term: 5}))


def test_a_type_that_no_context_defines_is_refused(workers):
    document = credential_of(TYPES["urn:credence:airtime:1"], {}) | {"type": ["VerifiableCredential", "Invented"]}
    with pytest.raises(UndefinedTerm):
        workers.canonicalize(document)


def test_a_term_that_only_another_type_has_is_refused(workers):
    """`issuer` is a term of credentials; of a subject nothing would be signed under that name."""
    with pytest.raises(UndefinedTerm):
        workers.canonicalize(credential_of(TYPES["urn:credence:airtime:1"], {"issuer": "did:example:other"}))


@pytest.mark.parametrize("issuer", ["operator", "/operator", "_:b0", "did:example:a b", ""])
def test_a_reference_that_is_not_an_absolute_iri_is_refused(workers, issuer):
    with pytest.raises(RelativeIri):
        workers.canonicalize(credential_of(TYPES["urn:credence:airtime:1"], {}) | {"issuer": issuer})


def test_a_context_does_not_redefine_what_another_protects(workers):
    document = credential_of(TYPES["urn:credence:airtime:1"], {})
    with pytest.raises(BadLinkedData):
        workers.canonicalize(document | {"@context": [CREDENTIALS_V1, CREDENTIALS_V2]})


def test_text_is_escaped_so_that_it_stays_text(workers):
    """A name cannot end its own statement and begin another."""
    text = 'KES" .\n<did:example:holder> <urn:credence:terms#evidence_level> "system_of_record\\'
    n_quads = workers.canonicalize(credential_of(TYPES["urn:credence:airtime:1"], {"currency": text})).decode()
    assert n_quads.count("\n") == 5
    assert '"KES\\" .\\n<did:example:holder>' in n_quads
    assert 'system_of_record\\\\"' in n_quads


def test_one_term_has_one_name():
    """No two terms of any context stand for one property: a member cannot be renamed and stay the same in RDF."""
    named: dict[str, set[str]] = {}

    def visit(context: Any, prefixes: dict[str, str]) -> None:
        if not isinstance(context, dict):
            return
        simple = {term: value for term, value in context.items() if isinstance(value, str) and value.endswith("#")}
        prefixes = prefixes | simple
        for term, definition in context.items():
            iri = definition.get("@id") if isinstance(definition, dict) else definition
            if term.startswith("@") or not isinstance(iri, str) or iri.startswith("@"):
                continue
            prefix, _, rest = iri.partition(":")
            named.setdefault(prefixes[prefix] + rest if prefix in prefixes else iri, set()).add(term)
            if isinstance(definition, dict):
                visit(definition.get("@context"), prefixes)

    for document in CONTEXTS.values():
        visit(document["@context"], {})
    assert len(named) > 100
    assert {iri: terms for iri, terms in named.items() if len(terms) > 1} == {}
