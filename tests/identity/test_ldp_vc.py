"""Credentials and presentations as JSON objects with proofs: round trips in every suite, then every input to refuse."""

from typing import Any

import pytest

from identity.data_integrity import CRYPTOSUITES, add_proof
from identity.did import did_key
from identity.did_resolver import DidResolver
from identity.errors import (
    AudienceMismatch,
    BadJson,
    BadSignature,
    ContextNotAllowed,
    Expired,
    HolderKeyMissing,
    IdentityError,
    IssuedInFuture,
    IssuerKeyMismatch,
    IssuerNotTrusted,
    JsonDepth,
    JsonNumber,
    KbStale,
    MissingClaim,
    NonceMismatch,
    NotYetValid,
    PresentationFormatMismatch,
    PresentationNotSingle,
    ProofChainNotAllowed,
    ProofInvalid,
    ProofMissing,
    ProofPurposeMismatch,
    SubjectNotHolder,
    TooLarge,
    UnknownMember,
    UnsupportedSuite,
)
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.ldp_vc import (
    peek_needs_rdf,
    sign_presentation_object,
    verify_credential_object,
    verify_presentation_object,
)
from identity.linked_data.workers import LinkedDataWorkers
from identity.vcdm import CONTEXT_V1, CONTEXT_V2, CREDIT_HISTORY_CONTEXT, VerifiedW3cCredential, format_date_time

NOW_MS = 1_790_000_000_000
BINDING = KeyBinding(nonce="n-0S6_WzA2Mj", audience="decentralized_identifier:did:example:verifier")
CLAIMS = {"currency": "KES", "period_to": "2026-07-31"}
DIDS = DidResolver(None)
ISSUERS = {"EdDSA": SigningKey.generate("EdDSA"), "ES256": SigningKey.generate("ES256")}
HOLDER, OTHER = SigningKey.generate("EdDSA"), SigningKey.generate("EdDSA")
ISSUER = ISSUERS["EdDSA"]


@pytest.fixture(scope="module")
def linked_data() -> Any:
    workers = LinkedDataWorkers()
    yield workers
    workers.close()


class NoLinkedData:
    """For what is refused, or verified by JCS, before any RDF is made."""

    def canonicalize(self, document: Any) -> bytes:
        raise AssertionError

    def verify_legacy_proof(self, document: Any, **_: Any) -> None:
        raise AssertionError


def issuer_key_for(credential: Any, kid: str | None) -> Any:
    if credential.issuer not in {key.did for key in ISSUERS.values()}:
        raise IssuerNotTrusted
    return DIDS.resolve_key(did=credential.issuer, kid=kid, relationship="assertionMethod", now_ms=NOW_MS)


def holder_key_for(did: str, kid: str | None) -> Any:
    return DIDS.resolve_key(did=did, kid=kid, relationship="authentication", now_ms=NOW_MS)


def document(by: SigningKey = ISSUER, **changes: Any) -> dict[str, Any]:
    whole = {
        "@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": by.did,
        "validFrom": format_date_time(NOW_MS - 86_400_000),
        "credentialSubject": {"id": HOLDER.did, **CLAIMS},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def secure(
    document: dict[str, Any],
    *,
    cryptosuite: str = "eddsa-jcs-2022",
    key: SigningKey = ISSUER,
    purpose: Any = "assertionMethod",
    created_ms: int = NOW_MS,
    linked_data: Any = None,
    method: str | None = None,
    **members: Any,
) -> dict[str, Any]:
    return add_proof(
        document,
        key,
        cryptosuite=cryptosuite,
        verification_method=method or key.kid,
        purpose=purpose,
        created=format_date_time(created_ms),
        canonicalize=(linked_data or NoLinkedData()).canonicalize,
        members=members,
    )


def presentation(*credentials: Any, **changes: Any) -> dict[str, Any]:
    whole = {
        "@context": [CONTEXT_V2],
        "type": ["VerifiablePresentation"],
        "verifiableCredential": list(credentials),
        "holder": HOLDER.did,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def secure_presentation(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    members = {"key": HOLDER, "purpose": "authentication", "challenge": BINDING.nonce, "domain": BINDING.audience}
    return secure(document, **{name: value for name, value in {**members, **changes}.items() if value is not ...})


def verify(document: dict[str, Any], linked_data: Any = None, now_ms: int = NOW_MS) -> VerifiedW3cCredential:
    return verify_credential_object(
        document, issuer_key_for=issuer_key_for, linked_data=linked_data or NoLinkedData(), now_ms=now_ms
    )


def verify_presented(document: dict[str, Any], linked_data: Any = None, now_ms: int = NOW_MS) -> VerifiedW3cCredential:
    return verify_presentation_object(
        document,
        issuer_key_for=issuer_key_for,
        holder_key_for=holder_key_for,
        linked_data=linked_data or NoLinkedData(),
        key_binding=BINDING,
        now_ms=now_ms,
    )


CREDENTIAL = secure(document())


# Round trips


@pytest.mark.parametrize("cryptosuite", CRYPTOSUITES)
def test_a_credential_and_its_presentation_hold_in_every_suite(linked_data: Any, cryptosuite: str) -> None:
    issuer = ISSUERS[CRYPTOSUITES[cryptosuite][0]]
    key = SigningKey.generate(issuer.alg)
    did = did_key(key.public)
    credential = secure(
        document(issuer, credentialSubject={"id": did, **CLAIMS}),
        cryptosuite=cryptosuite,
        key=issuer,
        linked_data=linked_data,
    )
    presented = sign_presentation_object(
        credential,
        key,
        holder=did,
        kid=f"{did}#{did.removeprefix('did:key:')}",
        cryptosuite=cryptosuite,
        canonicalize=linked_data.canonicalize,
        key_binding=BINDING,
        now_ms=NOW_MS,
    )
    verified = verify_presented(presented, linked_data)
    assert (verified.holder, verified.credential.claims) == (key.public, CLAIMS)
    assert verified.digest == verify(credential, linked_data).digest
    # Input 47: the holder, who signs the presentation, changes what the issuer said.
    credential["credentialSubject"]["period_to"] = "2026-08-31"
    with pytest.raises(BadSignature):
        verify_presented(
            secure_presentation(
                presentation(credential, holder=did),
                key=key,
                cryptosuite=cryptosuite,
                method=f"{did}#{did.removeprefix('did:key:')}",
                linked_data=linked_data,
            ),
            linked_data,
        )


def test_one_credential_has_one_digest_however_its_json_is_written(linked_data: Any) -> None:
    whole = secure(document(), cryptosuite="eddsa-rdfc-2022", linked_data=linked_data)
    rewritten = {**dict(reversed(whole.items())), "type": ["MobileMoneyCredential", "VerifiableCredential"]}
    assert verify(rewritten, linked_data).digest == verify(whole, linked_data).digest


# Credentials to refuse


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"validUntil": format_date_time(NOW_MS - 61_000)}, Expired),
        ({"validFrom": format_date_time(NOW_MS + 62_000)}, NotYetValid),
        ({"@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT, {"currency": "urn:x"}]}, ContextNotAllowed),
        ({"issuer": OTHER.did}, IssuerNotTrusted),
        ({"issuer": ISSUERS["ES256"].did}, IssuerKeyMismatch),
        ({"@graph": []}, UnknownMember),
        ({"name": "x" * 131_072}, TooLarge),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.__name__,
)
def test_what_a_credential_may_not_be(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify(secure(document(**changes)))


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"purpose": "authentication"}, ProofPurposeMismatch),
        ({"challenge": "n"}, NonceMismatch),
        ({"domain": "a.example"}, AudienceMismatch),
        ({"expires": format_date_time(NOW_MS - 61_000)}, Expired),
        ({"created_ms": NOW_MS + 62_000}, IssuedInFuture),
        # Input 42: a key of another DID, and of the issuer's DID in name only.
        ({"key": OTHER}, IssuerKeyMismatch),
        ({"key": OTHER, "method": ISSUER.kid}, BadSignature),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.__name__,
)
def test_41_42_what_its_proof_may_not_be(members: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify(secure(document(), **members))


def test_12_13_a_document_that_our_reader_would_refuse_is_refused() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    for value, refusal in ((deep, JsonDepth), (10**21, JsonNumber), (float("nan"), BadJson), ("\ud800", BadJson)):
        with pytest.raises(refusal):
            verify({**CREDENTIAL, "evidence": {"type": "x", "value": value}})


def test_43_a_credential_without_a_proof_is_refused() -> None:
    with pytest.raises(ProofMissing):
        verify(document())


# Presentations to refuse


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"challenge": "other"}, NonceMismatch),
        ({"challenge": ...}, NonceMismatch),
        ({"domain": "x509_hash:other"}, AudienceMismatch),
        ({"domain": ...}, AudienceMismatch),
        ({"purpose": "assertionMethod"}, ProofPurposeMismatch),
        ({"created_ms": NOW_MS - 301_000}, KbStale),
        ({"created_ms": NOW_MS + 62_000}, IssuedInFuture),
        ({"key": OTHER}, SubjectNotHolder),
        ({"key": OTHER, "method": HOLDER.kid}, BadSignature),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.__name__,
)
def test_41_what_the_proof_of_a_presentation_may_not_be(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify_presented(secure_presentation(presentation(CREDENTIAL), **changes))


@pytest.mark.parametrize(
    ("document", "refusal"),
    [
        (presentation(), PresentationNotSingle),
        (presentation(CREDENTIAL, CREDENTIAL), PresentationNotSingle),
        (presentation(CREDENTIAL, holder=OTHER.did), SubjectNotHolder),
        (presentation(document()), ProofMissing),
        (presentation(secure(document(credentialSubject=CLAIMS))), HolderKeyMissing),
        (presentation(secure(document(credentialSubject={"id": OTHER.did, **CLAIMS}))), SubjectNotHolder),
        (
            presentation(
                {"@context": CONTEXT_V2, "type": "EnvelopedVerifiableCredential", "id": "data:application/vc+jwt,a.b.c"}
            ),
            PresentationFormatMismatch,
        ),
    ],
    ids=range(7),
)
def test_what_a_presentation_may_not_be(document: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify_presented(secure_presentation(document))


def test_a_presentation_without_a_holder_is_its_subjects() -> None:
    assert verify_presented(secure_presentation(presentation(CREDENTIAL, holder=...))).holder == HOLDER.public


def test_a_presentation_says_when_it_was_made() -> None:
    presented = secure_presentation(presentation(CREDENTIAL))
    del presented["proof"]["created"]
    with pytest.raises(MissingClaim):
        verify_presented(presented)


# The suites before Data Integrity, whose signature alone is another's to verify


def older_document(**changes: Any) -> dict[str, Any]:
    proof = {
        "type": "Ed25519Signature2018",
        "created": format_date_time(NOW_MS),
        "proofPurpose": "assertionMethod",
        "verificationMethod": ISSUER.kid,
        "jws": "a..b",
        **changes.pop("proof", {}),
    }
    whole = {
        "@context": [CONTEXT_V1, CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": ISSUER.did,
        "issuanceDate": format_date_time(NOW_MS - 86_400_000),
        "credentialSubject": {"id": HOLDER.did, **CLAIMS},
        "proof": {name: value for name, value in proof.items() if value is not ...},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def older_presentation(*credentials: Any, **members: Any) -> dict[str, Any]:
    proof = {
        "proofPurpose": "authentication",
        "verificationMethod": HOLDER.kid,
        "challenge": BINDING.nonce,
        "domain": BINDING.audience,
        **members,
    }
    signed = older_document(proof=proof)["proof"]
    return presentation(*credentials, **{"@context": [CONTEXT_V1], "proof": signed})


class SignaturesHold:
    """Stands for the worker that verifies the older signatures, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, Any]] = []

    def canonicalize(self, document: Any) -> bytes:
        return repr(sorted(document)).encode()

    def verify_legacy_proof(
        self, document: Any, *, kind: str, challenge: str | None = None, domain: str | None = None
    ) -> None:
        self.asked.append((kind, challenge, domain))


def test_the_older_suites_are_handed_on_after_our_own_checks() -> None:
    worker = SignaturesHold()
    verified = verify_presented(older_presentation(older_document()), worker)
    assert (verified.holder, verified.credential.claims) == (HOLDER.public, CLAIMS)
    assert worker.asked == [("credential", None, None), ("presentation", BINDING.nonce, BINDING.audience)]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"expirationDate": format_date_time(NOW_MS - 61_000)}, Expired),
        ({"issuanceDate": format_date_time(NOW_MS + 62_000)}, NotYetValid),
        ({"@context": [CONTEXT_V1, {"currency": "urn:x"}]}, ContextNotAllowed),
        ({"issuer": OTHER.did}, IssuerNotTrusted),
        ({"proof": {"proofPurpose": "authentication"}}, ProofPurposeMismatch),
        ({"proof": {"verificationMethod": OTHER.kid}}, IssuerKeyMismatch),
        ({"proof": {"verificationMethod": 1}}, ProofInvalid),
        ({"proof": {"created": format_date_time(NOW_MS + 62_000)}}, IssuedInFuture),
        ({"proof": {"challenge": "n"}}, NonceMismatch),
        ({"proof": {"domain": "a.example"}}, AudienceMismatch),
        ({"proof": {"previousProof": "urn:uuid:1"}}, ProofChainNotAllowed),
    ],
    ids=range(11),
)
def test_what_is_checked_before_an_older_signature(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    worker = SignaturesHold()
    with pytest.raises(refusal):
        verify(older_document(**changes), worker)
    with pytest.raises(refusal):
        verify_presented(older_presentation(older_document(**changes)), worker)
    assert worker.asked == []


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"challenge": "other"}, NonceMismatch),
        ({"domain": ...}, AudienceMismatch),
        ({"proofPurpose": "assertionMethod"}, ProofPurposeMismatch),
        ({"created": format_date_time(NOW_MS - 301_000)}, KbStale),
        ({"verificationMethod": OTHER.kid}, SubjectNotHolder),
    ],
    ids=range(5),
)
def test_what_is_checked_before_an_older_presentation(members: dict[str, Any], refusal: type[IdentityError]) -> None:
    worker = SignaturesHold()
    with pytest.raises(refusal):
        verify_presented(older_presentation(older_document(), **members), worker)
    assert ("presentation", BINDING.nonce, BINDING.audience) not in worker.asked


def test_47_an_older_presentation_vouches_for_no_credential_within() -> None:
    """The library that verifies its signature does not look at the credential's."""
    within = {name: value for name, value in older_document().items() if name != "proof"}
    with pytest.raises(ProofMissing):
        verify_presented(older_presentation(within), SignaturesHold())


@pytest.mark.parametrize("suite", ["RsaSignature2018", "EthereumPersonalSignature2021", "CLSignature2019"])
def test_a_suite_that_nobody_verifies_is_refused(linked_data: Any, suite: str) -> None:
    with pytest.raises(UnsupportedSuite):
        verify(older_document(proof={"type": suite}), linked_data)


JCS, RDF, OLDER = (
    {"cryptosuite": "eddsa-jcs-2022"},
    {"cryptosuite": "eddsa-rdfc-2022"},
    {"type": "Ed25519Signature2018"},
)


@pytest.mark.parametrize(
    ("needs_rdf", "proof", "credentials"),
    [
        (False, JCS, [{"proof": JCS}]),
        (False, [JCS], {"proof": JCS}),
        (False, JCS, [{"proof": JCS}, {"proof": [JCS]}]),
        (False, JCS, []),
        (True, RDF, [{"proof": RDF}]),
        (True, JCS, [{"proof": RDF}]),
        (True, RDF, [{"proof": JCS}]),
        (True, JCS, [{"proof": JCS}, {"proof": RDF}]),
        (True, JCS, {"proof": OLDER}),
        (True, OLDER, [{"proof": OLDER}]),
        # What will be refused may as well wait for a place.
        (True, JCS, None),
        (True, JCS, ["text"]),
        (True, JCS, [{}]),
        (True, None, [{"proof": JCS}]),
        (True, [JCS, JCS], [{"proof": JCS}]),
        (True, {"cryptosuite": ["eddsa-jcs-2022"]}, [{"proof": JCS}]),
        (True, {"cryptosuite": "unknown"}, [{"proof": JCS}]),
    ],
)
def test_only_what_says_that_its_proofs_are_over_json_needs_no_rdf(
    needs_rdf: bool, proof: Any, credentials: Any
) -> None:
    assert peek_needs_rdf({"proof": proof, "verifiableCredential": credentials}) is needs_rdf
