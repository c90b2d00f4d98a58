"""Linked-data proofs of W3C VC 1.1: what didkit issued verifies, and all that didkit would let pass is refused."""

import copy
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from identity.did import resolve_verification_key
from identity.encoding import JsonObject, decode_base64url, encode_base64url, encode_json
from identity.errors import (
    AlgKeyMismatch,
    AlgNotAllowed,
    AudienceMismatch,
    BadBase64,
    BadDid,
    BadKid,
    BadLinkedData,
    BadLinkedDataProof,
    BadSignature,
    BadSignatureEncoding,
    ContextNotAllowed,
    IssuerKeyMismatch,
    NonceMismatch,
    UndefinedTerm,
    UnknownKid,
    UnsupportedCrit,
    UnsupportedSuite,
)
from identity.linked_data import worker as worker_module
from identity.linked_data.contexts import (
    CREDENTIALS_V1,
    load_contexts,
)
from identity.linked_data.worker import _Worker
from tests.identity.linked_data.didkit_issued import CASES, CHALLENGE, DOMAIN

didkit = pytest.importorskip("didkit", reason="didkit has no wheel for this Python")

CONTEXTS = load_contexts()


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_what_didkit_issued_verifies(workers, issued, case):
    workers.verify_legacy_proof(issued.credentials[case], kind="credential")
    workers.verify_legacy_proof(issued.presentations[case], kind="presentation", challenge=CHALLENGE, domain=DOMAIN)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_nothing_in_a_credential_can_be_changed(workers, issued, case):
    for member, value in (
        ("issuanceDate", "2026-09-02T00:00:00Z"),
        ("expirationDate", "2027-12-01T00:00:00Z"),
        ("credentialSubject", {"id": "did:example:other", "currency": "KES", "advance_minor": 5, "topup_n": [3, 2, 1]}),
        ("type", ["VerifiableCredential", "MobileMoneyCredential"]),
    ):
        with pytest.raises(BadSignature):
            workers.verify_legacy_proof(issued.credentials[case] | {member: value}, kind="credential")


def test_no_claim_can_be_changed(workers, signed):
    for name, value in (("currency", "UGX"), ("advance_minor", 6), ("topup_n", [1, 2, 3]), ("topup_n", ["3", 2, 1])):
        changed = copy.deepcopy(signed)
        changed["credentialSubject"][name] = value
        with pytest.raises(BadSignature):
            workers.verify_legacy_proof(changed, kind="credential")


def altered_signatures(proof: JsonObject) -> Iterator[JsonObject]:
    header, _, signature = str(proof["jws"]).split(".")
    data = decode_base64url(signature)
    for index in range(0, 64, 9):
        flipped = bytes([*data[:index], data[index] ^ 1, *data[index + 1 :]])
        yield proof | {"jws": f"{header}..{encode_base64url(flipped)}"}


def test_a_signature_with_one_bit_changed_is_refused(workers, signed):
    for proof in altered_signatures(signed["proof"]):
        with pytest.raises(BadSignature):
            workers.verify_legacy_proof(signed | {"proof": proof}, kind="credential")


def test_the_signature_is_over_the_canonical_form_that_we_make_ourselves(workers, signed):
    """didkit saw our context written out, and we see its URL: the statements are the same, to the byte."""
    proof = signed.pop("proof")
    header, _, signature = proof.pop("jws").split(".")
    options = proof | {"@context": signed["@context"]}
    digests = [hashlib.sha256(workers.canonicalize(document)).digest() for document in (options, signed)]
    key = resolve_verification_key(did=signed["issuer"], kid=proof["verificationMethod"])
    key.verify(decode_base64url(signature), header.encode() + b"." + b"".join(digests))


def test_didkit_says_nothing_of_the_credential_inside_a_presentation(workers, issued):
    """So that it has to be verified on its own: alone it is refused, in a presentation it passes."""
    presentation = issued.over_an_altered_credential
    workers.verify_legacy_proof(presentation, kind="presentation", challenge=CHALLENGE, domain=DOMAIN)
    with pytest.raises(BadSignature):
        workers.verify_legacy_proof(presentation["verifiableCredential"][0], kind="credential")


def test_a_credential_inside_a_presentation_cannot_be_changed_afterwards(workers, presented):
    presented["verifiableCredential"][0]["credentialSubject"]["advance_minor"] = 6
    with pytest.raises(BadSignature):
        workers.verify_legacy_proof(presented, kind="presentation", challenge=CHALLENGE, domain=DOMAIN)


@pytest.mark.parametrize(
    ("challenge", "domain", "refusal"),
    [
        ("another", DOMAIN, NonceMismatch),
        (None, DOMAIN, NonceMismatch),
        ("", DOMAIN, NonceMismatch),
        (CHALLENGE, "another", AudienceMismatch),
        (CHALLENGE, None, AudienceMismatch),
    ],
)
def test_a_presentation_is_for_this_challenge_and_this_domain(workers, presented, challenge, domain, refusal):
    with pytest.raises(refusal):
        workers.verify_legacy_proof(presented, kind="presentation", challenge=challenge, domain=domain)


def test_a_challenge_that_was_put_in_afterwards_is_refused_by_its_signature(workers, presented):
    presented["proof"]["challenge"] = "another"
    with pytest.raises(BadSignature):
        workers.verify_legacy_proof(presented, kind="presentation", challenge="another", domain=DOMAIN)


def test_a_presentation_without_challenge_or_domain_is_refused(workers, presented):
    for member in ("challenge", "domain"):
        proof = {name: value for name, value in presented["proof"].items() if name != member}
        with pytest.raises(BadLinkedDataProof):
            workers.verify_legacy_proof(
                presented | {"proof": proof}, kind="presentation", challenge=CHALLENGE, domain=DOMAIN
            )


def test_the_holder_signs_a_presentation(workers, issued, presented):
    nobody = {name: value for name, value in presented.items() if name != "holder"}
    others = ("did:example:other", issued.signers["P-256", "did:key"].did, 5, {"name": "Holder"})
    for document in (nobody, *(presented | {"holder": other} for other in others)):
        with pytest.raises(BadLinkedDataProof):
            workers.verify_legacy_proof(document, kind="presentation", challenge=CHALLENGE, domain=DOMAIN)


def test_a_credential_is_no_presentation_nor_the_other_way_round(workers, signed, presented):
    with pytest.raises(BadLinkedDataProof):
        workers.verify_legacy_proof(signed, kind="presentation", challenge=CHALLENGE, domain=DOMAIN)
    with pytest.raises(BadLinkedDataProof):
        workers.verify_legacy_proof(presented, kind="credential")


def test_a_credential_is_signed_by_its_issuer(workers, issued, signed):
    other = issued.signers["P-256", "did:key"].did
    for issuer in (other, {"id": other}, "did:example:other"):
        with pytest.raises(IssuerKeyMismatch):
            workers.verify_legacy_proof(signed | {"issuer": issuer}, kind="credential")
    for nobody in (5, ["did:example:other"], {"name": "Operator"}):
        with pytest.raises(BadLinkedDataProof):
            workers.verify_legacy_proof(signed | {"issuer": nobody}, kind="credential")


def test_an_issuer_may_be_an_object(workers, signed):
    """The statements are the same, and so is the signature."""
    workers.verify_legacy_proof(signed | {"issuer": {"id": signed["issuer"]}}, kind="credential")


@pytest.mark.parametrize(
    "did",
    [
        "did:web:operator.example",
        "did:tz:tz1VSUr8wwNhLAzempoch5d6hLRiTh8Cjcjb",
        "did:ethr:0xb9c5714089478a327f09197987f16f9e5d936e8a",
        "did:pkh:eip155:1:0xb9c5714089478a327f09197987f16f9e5d936e8a",
        "did:key:z" + "6Mk" * 133_334,
        "did:jwk:" + "e" * 400_000,
    ],
    ids=["web", "tz", "ethr", "pkh", "key of 400 000 characters", "jwk of 400 000 characters"],
)
def test_no_did_reaches_didkit_that_needs_a_network_or_takes_long_to_read(workers, signed, did):
    proof = signed["proof"] | {"verificationMethod": f"{did}#key"}
    started = time.monotonic()
    with pytest.raises(BadDid):
        workers.verify_legacy_proof(signed | {"issuer": did, "proof": proof}, kind="credential")
    assert time.monotonic() - started < 0.2


def test_a_key_is_one_of_its_did(workers, signed):
    for fragment, refusal in (("#other", UnknownKid), ("", BadKid), ("#", BadKid)):
        proof = signed["proof"] | {"verificationMethod": signed["issuer"] + fragment}
        with pytest.raises(refusal):
            workers.verify_legacy_proof(signed | {"proof": proof}, kind="credential")


@pytest.mark.parametrize(
    "suite",
    [
        "EthereumPersonalSignature2021",
        "RsaSignature2018",
        "DataIntegrityProof",
        "ed25519signature2018",
        ["x"],
        "absent",
    ],
)
def test_a_suite_is_one_of_four(workers, signed, suite):
    signed["proof"]["type"] = suite
    if suite == "none":
        del signed["proof"]["type"]
    with pytest.raises(UnsupportedSuite):
        workers.verify_legacy_proof(signed, kind="credential")


@pytest.mark.parametrize("proof", ["z1", ["z1"], "absent"])
def test_a_document_has_one_proof(workers, signed, proof):
    document = signed | {"proof": proof}
    if proof == "absent":
        del document["proof"]
    with pytest.raises(BadLinkedDataProof):
        workers.verify_legacy_proof(document, kind="credential")
    with pytest.raises(BadLinkedDataProof):
        workers.verify_legacy_proof(signed | {"proof": [signed["proof"], signed["proof"]]}, kind="credential")


@pytest.mark.parametrize(
    "change",
    [
        {"proofPurpose": "authentication"},
        {"proofPurpose": "keyAgreement"},
        {"challenge": "n"},
        {"domain": "d"},
        {"nonce": "n"},
        {"proofValue": "z1"},
        {"previousProof": "urn:x:1"},
        {"expires": "2030-01-01T00:00:00Z"},
        {"verificationMethod": 5},
        {"created": None},
        {"jws": None},
    ],
    ids="-".join,
)
def test_a_proof_says_what_it_has_to_and_nothing_else(workers, signed, change):
    proof = {name: value for name, value in {**signed["proof"], **change}.items() if value is not None}
    with pytest.raises(BadLinkedDataProof):
        workers.verify_legacy_proof(signed | {"proof": proof}, kind="credential")


HEADER = {"alg": "EdDSA", "crit": ["b64"], "b64": False}


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        ({**HEADER, "alg": "none"}, AlgNotAllowed),
        ({**HEADER, "alg": "HS256"}, AlgNotAllowed),
        ({**HEADER, "alg": "ES256K"}, AlgNotAllowed),
        ({**HEADER, "alg": None}, AlgNotAllowed),
        ({**HEADER, "alg": ["EdDSA"]}, AlgNotAllowed),
        ({**HEADER, "alg": {}}, AlgNotAllowed),
        ({**HEADER, "b64": True}, UnsupportedCrit),
        ({**HEADER, "crit": ["b64", "x"]}, UnsupportedCrit),
        ({**HEADER, "crit": []}, UnsupportedCrit),
        ({**HEADER, "jwk": {}}, UnsupportedCrit),
        ({"alg": "EdDSA"}, UnsupportedCrit),
    ],
)
def test_the_header_of_a_proof_is_that_of_its_suite(workers, signed, header, refusal):
    signature = signed["proof"]["jws"].rpartition(".")[2]
    proof = signed["proof"] | {"jws": f"{encode_base64url(encode_json(header))}..{signature}"}
    with pytest.raises(refusal):
        workers.verify_legacy_proof(signed | {"proof": proof}, kind="credential")


def test_the_algorithm_of_a_proof_is_that_of_its_key(workers, issued):
    document = copy.deepcopy(issued.credentials["JsonWebSignature2020", "P-256", "did:key"])
    header = encode_base64url(encode_json(HEADER))
    document["proof"]["jws"] = f"{header}..{document['proof']['jws'].rpartition('.')[2]}"
    with pytest.raises(AlgKeyMismatch):
        workers.verify_legacy_proof(document, kind="credential")


@pytest.mark.parametrize(
    "jws",
    [
        "",
        "a",
        "a..b..c",
        "{header}.e30.{signature}",
        "{header}..",
        "{header}..AAAA",
        "{header}.." + "A" * 500,
        5,
        ["a"],
    ],
)
def test_a_signature_is_64_bytes_that_stand_apart(workers, signed, jws):
    if isinstance(jws, str):
        header, _, signature = signed["proof"]["jws"].split(".")
        jws = jws.format(header=header, signature=signature)
    with pytest.raises((BadSignatureEncoding, BadBase64)):
        workers.verify_legacy_proof(signed | {"proof": signed["proof"] | {"jws": jws}}, kind="credential")


@pytest.mark.parametrize("value", ["", "z", "uAAAA", "z" + "0" * 88, "z" + "1" * 5000, "m" + "A" * 88, 5])
def test_a_proof_value_is_64_bytes_in_base58(workers, issued, value):
    document = copy.deepcopy(issued.credentials["Ed25519Signature2020", "Ed25519", "did:key"])
    document["proof"]["proofValue"] = value
    with pytest.raises(BadSignatureEncoding):
        workers.verify_legacy_proof(document, kind="credential")


def test_the_remap_attack_is_refused(workers, signed):
    """didkit accepts both: a context of the holder's by which two claims change places, or one that changes nothing."""
    swapped = {"advance_minor": "urn:credence:terms#currency", "currency": "urn:credence:terms#advance_minor"}
    for inline in (swapped, {"unused": "urn:x:unused"}):
        with pytest.raises(ContextNotAllowed):
            workers.verify_legacy_proof(signed | {"@context": [CREDENTIALS_V1, inline]}, kind="credential")
        with pytest.raises(ContextNotAllowed):
            workers.verify_legacy_proof(signed | {"@context": [*signed["@context"], inline]}, kind="credential")


def test_a_term_that_nobody_signed_is_refused(workers, signed):
    """didkit drops it, and the signature holds."""
    signed["credentialSubject"]["income_minor"] = 1_000_000
    with pytest.raises(UndefinedTerm):
        workers.verify_legacy_proof(signed, kind="credential")


PANIC = {
    "@context": [CREDENTIALS_V1, "urn:test:ethereum"],
    "type": ["VerifiableCredential"],
    "issuer": "did:pkh:eip155:1:0xb9c5714089478a327f09197987f16f9e5d936e8a",
    "issuanceDate": "2026-01-01T00:00:00Z",
    "credentialSubject": {"id": "did:example:x"},
    "proof": {
        "type": "EthereumPersonalSignature2021",
        "proofPurpose": "assertionMethod",
        "proofValue": "0x" + "00" * 31,
        "verificationMethod": "did:pkh:eip155:1:0xb9c5714089478a327f09197987f16f9e5d936e8a#blockchainAccountId",
        "created": "2026-01-01T00:00:00Z",
    },
}


def test_what_makes_rust_panic_is_refused_by_its_suite(workers):
    with pytest.raises(UnsupportedSuite):
        workers.verify_legacy_proof(PANIC, kind="credential")


def test_what_makes_rust_panic_ends_one_process_and_no_more(workers):
    """The same, if it ever got so far."""
    request = {"document": PANIC, "legacy_proof": {"kind": "credential", "options": {}}}
    for _ in range(2):
        with pytest.raises(BadLinkedData):
            workers._ask(request)
    assert workers.canonicalize({"@context": CREDENTIALS_V1, "type": "VerifiableCredential"})


class _Panic(BaseException):
    """As pyo3's PanicException, which is no Exception either."""


class _Didkit:
    DIDKitException = didkit.DIDKitException

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def verify_credential(self, _document: str, _options: str) -> str:
        if isinstance(self._answer, BaseException):
            raise self._answer
        return json.dumps(self._answer)

    verify_presentation = verify_credential


@pytest.mark.parametrize(
    ("answer", "refused", "is_last"),
    [
        (_Panic(), "bad_linked_data", True),
        (MemoryError(), "rdf_too_complex", True),
        (ValueError(), "bad_linked_data", False),
        (didkit.DIDKitException(), "bad_linked_data", False),
        ({"checks": ["proof"], "warnings": [], "errors": ["no"]}, "bad_signature", False),
        ({"checks": ["proof"], "warnings": ["perhaps"], "errors": []}, "bad_signature", False),
        ({"checks": ["proof", "more"], "warnings": [], "errors": []}, "bad_signature", False),
        ({"checks": [], "warnings": [], "errors": []}, "bad_signature", False),
        ({"errors": []}, "bad_signature", False),
        ({}, "bad_signature", False),
        ([], "bad_signature", False),
        (None, "bad_signature", False),
    ],
)
def test_anything_but_exactly_what_was_asked_of_didkit_is_a_refusal(monkeypatch, signed, answer, refused, is_last):
    monkeypatch.setattr(worker_module, "didkit", _Didkit(answer))
    request = {"document": signed, "legacy_proof": {"kind": "credential", "options": {}}}
    assert _Worker(CONTEXTS).answer(request) == {"refused": refused, "is_last": is_last}


def test_without_didkit_its_suites_are_not_supported(monkeypatch, signed):
    monkeypatch.setattr(worker_module, "didkit", None)
    worker = _Worker(CONTEXTS)
    worker.warm_up()
    request = {"document": signed, "legacy_proof": {"kind": "credential", "options": {}}}
    assert worker.answer(request) == {"refused": "unsupported_suite", "is_last": False}
