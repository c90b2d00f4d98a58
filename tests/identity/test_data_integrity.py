"""Data Integrity proofs: the W3C's vectors at the proof layer, round trips in all four suites, then what to refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.data_integrity import (
    CRYPTOSUITES,
    add_proof,
    canonical_json,
    check_proof_claims,
    parse_proof,
    verify_proof,
)
from identity.did import resolve_verification_key
from identity.errors import (
    AlgKeyMismatch,
    AudienceMismatch,
    BadProofValue,
    BadSignature,
    BadSignatureEncoding,
    BadTime,
    Expired,
    IdentityError,
    IssuedInFuture,
    JsonNumber,
    KeyNotSupported,
    NonceMismatch,
    ProofChainNotAllowed,
    ProofContextMismatch,
    ProofInvalid,
    ProofMissing,
    ProofPurposeMismatch,
    ProofSetNotAllowed,
    UnknownMember,
    UnsupportedSuite,
)
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.linked_data.workers import LinkedDataWorkers
from identity.multikey import encode_base58, parse_multikey
from identity.vcdm import CONTEXT_V2, CREDIT_HISTORY_CONTEXT, format_date_time

NOW_MS = 1_790_000_000_000
KEYS = {"EdDSA": SigningKey.generate("EdDSA"), "ES256": SigningKey.generate("ES256")}
#: W3C's vectors are about an alumnus; the terms are of a context that no service allows.
EXAMPLES_CONTEXT = {
    "https://www.w3.org/ns/credentials/examples/v2": {
        "@context": {"@vocab": "https://www.w3.org/ns/credentials/examples#"}
    }
}


@pytest.fixture(scope="module")
def linked_data() -> Any:
    workers = LinkedDataWorkers(extra_contexts=EXAMPLES_CONTEXT)
    yield workers
    workers.close()


def no_canonicalizer(document: Any) -> bytes:
    raise AssertionError("JCS needs no RDF")


def document(**changes: Any) -> dict[str, Any]:
    return {
        "@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": "did:example:issuer",
        "validFrom": "2026-08-01T00:00:00Z",
        "credentialSubject": {"id": "did:example:holder", "currency": "KES"},
        **changes,
    }


def secured(
    cryptosuite: str = "eddsa-jcs-2022", canonicalize: Any = no_canonicalizer, **members: Any
) -> dict[str, Any]:
    key = KEYS[CRYPTOSUITES[cryptosuite][0]]
    return add_proof(
        document(),
        key,
        cryptosuite=cryptosuite,
        verification_method=key.kid,
        purpose="assertionMethod",
        created=format_date_time(NOW_MS),
        canonicalize=canonicalize,
        members=members,
    )


def verify(document: dict[str, Any], key: Any = None, canonicalize: Any = no_canonicalizer) -> bytes:
    proof = parse_proof(document)
    key = key or KEYS[CRYPTOSUITES[proof.cryptosuite][0]].public
    return verify_proof(proof, key, canonicalize=canonicalize)


def with_proof(secured: dict[str, Any], **changes: Any) -> dict[str, Any]:
    proof = {name: value for name, value in {**secured["proof"], **changes}.items() if value is not ...}
    return {**secured, "proof": proof}


# Published vectors: W3C VC DI EdDSA and ECDSA. Their issuer is an https URL and their keys are did:key, so that they
# are tested here, where nothing is said yet of whose key it is.

VECTORS = [
    ("vc-di-eddsa", "eddsa-jcs-2022/signedJCS", "TestVectors/eddsa-jcs-2022/docHashJCS.txt"),
    ("vc-di-eddsa", "eddsa-rdfc-2022/signedDataInt", "TestVectors/eddsa-rdfc-2022/docHashDataInt.txt"),
    (
        "vc-di-ecdsa",
        "ecdsa-jcs-2019-p256/signedJCSECDSAP256",
        "TestVectors/ecdsa-jcs-2019-p256/docHashJCSECDSAP256.txt",
    ),
    ("vc-di-ecdsa", "ecdsa-rdfc-2019-p256/signedECDSAP256", "TestVectors/ecdsa-rdfc-2019-p256/docHashECDSAP256.txt"),
]


@pytest.mark.parametrize(("suite", "name", "digest"), VECTORS, ids=[name for _, name, _ in VECTORS])
def test_w3c_vectors_verify(test_data: Path, linked_data: Any, suite: str, name: str, digest: str) -> None:
    folder = test_data / "vectors" / suite
    signed = json.loads((folder / "TestVectors" / f"{name}.json").read_text())
    texts = json.loads((folder / "_texts.json").read_text())
    multikey = signed["proof"]["verificationMethod"].partition("#")[2]
    found = verify(signed, parse_multikey(multikey), linked_data.canonicalize)
    assert found.hex() == texts[digest].strip()
    signed["credentialSubject"]["alumniOf"] = "Another school"
    with pytest.raises(BadSignature):
        verify(signed, parse_multikey(multikey), linked_data.canonicalize)


@pytest.mark.parametrize("name", ["ecdsa-jcs-2019-p384/signedJCSECDSAP384", "ecdsa-rdfc-2019-p384/signedECDSAP384"])
def test_p384_is_refused_by_its_name(test_data: Path, name: str) -> None:
    signed = json.loads((test_data / "vectors" / "vc-di-ecdsa" / "TestVectors" / f"{name}.json").read_text())
    method = parse_proof(signed).verification_method
    with pytest.raises(KeyNotSupported):
        resolve_verification_key(did=method.partition("#")[0], kid=method)


@pytest.mark.parametrize("name", ["prc/addSignedSDBase", "employ/addSignedSDBase", "prc/derivedRevealDocument"])
def test_selective_disclosure_suites_are_not_supported(test_data: Path, name: str) -> None:
    file = test_data / "vectors" / "vc-di-ecdsa" / "TestVectors" / "ecdsa-sd-2023" / f"{name}.json"
    with pytest.raises((UnsupportedSuite, ProofMissing)):
        parse_proof(json.loads(file.read_text()))


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("signedProofSet1", None),
        ("signedProofSet2", ProofSetNotAllowed),
        ("signedProofChain1", ProofSetNotAllowed),
        ("signedProofChain2", ProofSetNotAllowed),
    ],
)
def test_43_proof_sets_and_chains_are_refused_by_policy(test_data: Path, name: str, refusal: Any) -> None:
    file = test_data / "vectors" / "vc-di-eddsa" / "TestVectors" / "proof-set-chain" / f"{name}.json"
    signed = json.loads(file.read_text())
    if refusal is None:
        assert parse_proof(signed).cryptosuite in CRYPTOSUITES
        return
    with pytest.raises(refusal):
        parse_proof(signed)
    chained = [proof for proof in signed["proof"] if "previousProof" in proof]
    for proof in chained:
        with pytest.raises(ProofChainNotAllowed):
            parse_proof({**signed, "proof": proof})


# Round trips


@pytest.mark.parametrize("cryptosuite", CRYPTOSUITES)
def test_what_is_secured_verifies_and_what_is_changed_does_not(linked_data: Any, cryptosuite: str) -> None:
    whole = secured(cryptosuite, linked_data.canonicalize)
    verify(whole, canonicalize=linked_data.canonicalize)
    for changed in (
        {**whole, "issuer": "did:example:other"},
        {**whole, "credentialSubject": {"id": "did:example:holder", "currency": "USD"}},
        with_proof(whole, created=format_date_time(NOW_MS + 1000)),
        with_proof(whole, proofPurpose="authentication"),
        with_proof(whole, challenge="x"),
    ):
        with pytest.raises(BadSignature):
            verify(changed, canonicalize=linked_data.canonicalize)
    other = SigningKey.generate(KEYS[CRYPTOSUITES[cryptosuite][0]].alg)
    with pytest.raises(BadSignature):
        verify(whole, other.public, linked_data.canonicalize)
    wrong = KEYS["ES256" if cryptosuite.startswith("eddsa") else "EdDSA"]
    with pytest.raises(AlgKeyMismatch):
        verify(whole, wrong.public, linked_data.canonicalize)


def test_the_same_document_has_the_same_digest_under_another_proof() -> None:
    assert verify(secured()) == verify(secured(id="urn:uuid:1"))
    assert verify({**secured(), "proof": [secured()["proof"]]}) == verify(secured())


# What to refuse


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"previousProof": "urn:uuid:1"}, ProofChainNotAllowed),
        ({"type": "Ed25519Signature2020"}, UnsupportedSuite),
        ({"type": ["DataIntegrityProof"]}, UnsupportedSuite),
        ({"cryptosuite": "bbs-2023"}, UnsupportedSuite),
        ({"cryptosuite": "ecdsa-sd-2023"}, UnsupportedSuite),
        ({"cryptosuite": ["eddsa-jcs-2022"]}, UnsupportedSuite),
        ({"cryptosuite": ...}, ProofInvalid),
        ({"proofValue": ...}, ProofInvalid),
        ({"verificationMethod": {"id": "did:example:issuer#0"}}, ProofInvalid),
        ({"verificationMethod": "x" * 2049}, ProofInvalid),
        ({"proofPurpose": 1}, ProofInvalid),
        ({"challenge": 1}, ProofInvalid),
        ({"domain": ["a.example"]}, ProofInvalid),
        ({"id": "not a url"}, ProofInvalid),
        ({"jws": "a..b"}, UnknownMember),
        ({"created": "yesterday"}, BadTime),
        ({"created": "2026-08-01T00:00:00"}, BadTime),
        ({"expires": None}, BadTime),
        # Input 46.
        ({"proofValue": "u" + "A" * 86}, BadProofValue),
        ({"proofValue": "f" + "0" * 128}, BadProofValue),
        ({"proofValue": "z" + "0" * 86}, BadProofValue),
        ({"proofValue": "z" + "2" * 4096}, BadProofValue),
        ({"proofValue": ""}, BadProofValue),
        ({"proofValue": None}, BadProofValue),
        ({"@context": [CONTEXT_V2]}, ProofContextMismatch),
        ({"@context": CONTEXT_V2}, ProofContextMismatch),
    ],
)
def test_what_a_proof_may_not_be(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        parse_proof(with_proof(secured(), **changes))


def test_a_document_cannot_gain_a_context_after_it_was_signed() -> None:
    with pytest.raises(ProofContextMismatch):
        parse_proof({**secured(), "@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT, "https://w3id.org/security/v2"]})


def test_43_a_document_has_exactly_one_proof() -> None:
    proof = secured()["proof"]
    for value, refusal in (
        ([], ProofMissing),
        (None, ProofMissing),
        ([proof, proof], ProofSetNotAllowed),
        ("x", ProofInvalid),
    ):
        with pytest.raises(refusal):
            parse_proof({**document(), "proof": value})
    with pytest.raises(ProofMissing):
        parse_proof(document())


def test_a_signature_is_64_bytes() -> None:
    for length in (0, 63, 65, 96):
        with pytest.raises(BadSignatureEncoding):
            verify(with_proof(secured(), proofValue="z" + encode_base58(b"\1" * length)))


def test_a_signature_may_begin_with_zeros() -> None:
    with pytest.raises(BadSignature):  # read whole, and wrong
        verify(with_proof(secured(), proofValue="z" + encode_base58(bytes(3) + b"\1" * 61)))


def test_a_number_that_jcs_cannot_write_is_refused() -> None:
    with pytest.raises(JsonNumber):
        canonical_json({"a": 2**60})


BINDING = KeyBinding(nonce="n", audience="x509_hash:a")


@pytest.mark.parametrize(
    ("members", "binding", "refusal"),
    [
        ({}, None, None),
        ({"challenge": "n", "domain": "x509_hash:a"}, BINDING, None),
        # Input 41.
        ({"challenge": "m", "domain": "x509_hash:a"}, BINDING, NonceMismatch),
        ({"domain": "x509_hash:a"}, BINDING, NonceMismatch),
        ({"challenge": "n", "domain": "x509_hash:b"}, BINDING, AudienceMismatch),
        ({"challenge": "n"}, BINDING, AudienceMismatch),
        ({"challenge": "n"}, None, NonceMismatch),
        ({"domain": "shop.example"}, None, AudienceMismatch),
        ({"expires": format_date_time(NOW_MS - 61_000)}, None, Expired),
        ({"created": format_date_time(NOW_MS + 62_000)}, None, IssuedInFuture),
    ],
)
def test_41_a_proof_is_for_this_request_or_for_none(members: dict[str, Any], binding: Any, refusal: Any) -> None:
    proof = parse_proof(with_proof(secured(), **members))
    if refusal is None:
        check_proof_claims(proof, purpose="assertionMethod", key_binding=binding, now_ms=NOW_MS)
        return
    with pytest.raises(refusal):
        check_proof_claims(proof, purpose="assertionMethod", key_binding=binding, now_ms=NOW_MS)


@pytest.mark.parametrize("purpose", ["authentication", "capabilityInvocation", "assertionmethod", ""])
def test_41_a_proof_is_for_its_purpose(purpose: str) -> None:
    proof = parse_proof(with_proof(secured(), proofPurpose=purpose))
    with pytest.raises(ProofPurposeMismatch):
        check_proof_claims(proof, purpose="assertionMethod", key_binding=None, now_ms=NOW_MS)


WHOLE = json.dumps(secured())


@settings(max_examples=150)
@given(at=st.integers(0, len(WHOLE) - 1), character=st.sampled_from('09AZaz-_.:"{}[], '))
def test_a_document_with_one_character_changed_is_refused_by_one_of_our_errors(at: int, character: str) -> None:
    changed = WHOLE[:at] + character + WHOLE[at + 1 :]
    try:
        value = json.loads(changed)
    except ValueError:
        return
    if value == json.loads(WHOLE) or not isinstance(value, dict):
        return
    with pytest.raises(IdentityError):
        verify(value)
