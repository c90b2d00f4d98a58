"""What didkit accepts and must not pass, held against the whole verifier of linked-data documents, didkit included."""

from typing import Any

import pytest

from identity.did import resolve_verification_key
from identity.errors import (
    AudienceMismatch,
    BadSignature,
    ContextNotAllowed,
    Expired,
    IssuedInFuture,
    KbStale,
    NonceMismatch,
    NotYetValid,
    ProofPurposeMismatch,
    SubjectNotHolder,
    UndefinedTerm,
)
from identity.ldp_vc import verify_credential_object, verify_presentation_object
from identity.linked_data.workers import LinkedDataWorkers
from identity.sd_jwt import KeyBinding
from identity.vcdm import VerifiedW3cCredential
from tests.identity.linked_data.didkit_issued import CASES, CHALLENGE, DAY_MS, DOMAIN

pytest.importorskip("didkit", reason="didkit has no wheel for this Python")


def key_of(did: str, kid: str | None) -> Any:
    return resolve_verification_key(did=did, kid=kid)


def verify_credential(document: Any, workers: LinkedDataWorkers, now_ms: int) -> VerifiedW3cCredential:
    return verify_credential_object(
        document,
        issuer_key_for=lambda credential, kid: key_of(credential.issuer, kid),
        linked_data=workers,
        now_ms=now_ms,
    )


def verify_presentation(
    document: Any,
    workers: LinkedDataWorkers,
    now_ms: int,
    nonce: str = CHALLENGE,
    audience: str = DOMAIN,
) -> VerifiedW3cCredential:
    return verify_presentation_object(
        document,
        issuer_key_for=lambda credential, kid: key_of(credential.issuer, kid),
        holder_key_for=key_of,
        linked_data=workers,
        key_binding=KeyBinding(nonce=nonce, audience=audience),
        now_ms=now_ms,
    )


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_presentation_by_didkit_ends_in_claims(workers, issued, case):
    verified = verify_presentation(issued.presentations[case], workers, issued.issued_at_ms)
    assert verified.credential.claims == {"currency": "KES", "advance_minor": 5, "topup_n": [3, 2, 1]}
    assert verified.holder == issued.signers[case[1:]].public
    assert verified.digest == verify_credential(issued.credentials[case], workers, issued.issued_at_ms).digest


def test_a_credential_that_has_expired_is_refused(workers, issued, signed):
    with pytest.raises(Expired):
        verify_credential(signed, workers, issued.issued_at_ms + 31 * DAY_MS)


def test_a_credential_of_the_future_is_refused(workers, issued):
    with pytest.raises(NotYetValid):
        verify_credential(issued.of_the_future, workers, issued.issued_at_ms)


def test_a_signature_of_the_future_is_refused(workers, issued, signed):
    with pytest.raises(IssuedInFuture):
        verify_credential(signed, workers, issued.issued_at_ms - DAY_MS // 2)


def test_an_altered_credential_inside_a_good_presentation_is_refused(workers, issued):
    with pytest.raises(BadSignature):
        verify_presentation(issued.over_an_altered_credential, workers, issued.issued_at_ms)


def test_a_context_that_nobody_uses_is_refused(workers, issued, signed):
    contexts = [*signed["@context"], {"unused": "urn:x:unused"}]
    with pytest.raises(ContextNotAllowed):
        verify_credential(signed | {"@context": contexts}, workers, issued.issued_at_ms)


def test_a_claim_under_a_name_that_nobody_signed_is_refused(workers, issued, signed):
    signed["credentialSubject"]["income_minor"] = 1_000_000
    with pytest.raises(UndefinedTerm):
        verify_credential(signed, workers, issued.issued_at_ms)


def test_a_presentation_for_somebody_else_is_refused(workers, issued, presented):
    with pytest.raises(NonceMismatch):
        verify_presentation(presented, workers, issued.issued_at_ms, nonce="another")
    with pytest.raises(AudienceMismatch):
        verify_presentation(presented, workers, issued.issued_at_ms, audience="another")


def test_a_presentation_of_another_day_is_refused(workers, issued, presented):
    with pytest.raises(KbStale):
        verify_presentation(presented, workers, issued.issued_at_ms + DAY_MS)


def test_a_presentation_by_another_than_the_subject_is_refused(workers, issued, presented):
    other = issued.credentials["EcdsaSecp256r1Signature2019", "P-256", "did:key"]
    with pytest.raises(SubjectNotHolder):
        verify_presentation(presented | {"verifiableCredential": [other]}, workers, issued.issued_at_ms)


def test_a_credential_is_no_proof_of_possession(workers, issued, signed):
    with pytest.raises(ProofPurposeMismatch):
        verify_presentation(
            {
                "@context": signed["@context"],
                "type": "VerifiablePresentation",
                "verifiableCredential": [signed],
                "proof": signed["proof"],
            },
            workers,
            issued.issued_at_ms,
        )
