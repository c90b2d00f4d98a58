"""Credentials and presentations as JWTs, VCDM 2.0 and 1.1: round trips, then every input to refuse."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.did import did_key
from identity.did_resolver import DidResolver
from identity.encoding import encode_base64url, encode_json
from identity.errors import (
    AlgKeyMismatch,
    AlgNotAllowed,
    AudienceMismatch,
    BadBase64,
    BadJson,
    BadJws,
    BadKid,
    BadSignature,
    BadSignatureEncoding,
    BadTime,
    ContextNotAllowed,
    EmbeddedProof,
    Expired,
    HeaderNotAllowed,
    HolderKeyMissing,
    IdentityError,
    IssuedInFuture,
    IssuerKeyMismatch,
    IssuerNotTrusted,
    JsonDepth,
    JsonDuplicateKey,
    JsonNumber,
    JwtClaimMismatch,
    KbInFuture,
    KbStale,
    KeySourceNotAllowed,
    MissingClaim,
    NonceMismatch,
    NotYetValid,
    PresentationFormatMismatch,
    PresentationNotSingle,
    SubjectNotHolder,
    TooLarge,
    UnknownKid,
    UnknownMember,
    UnsupportedCrit,
    WrongTyp,
)
from identity.jws import parse_jws, sign_jws
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.vc_jwt import (
    parse_presentation_jwt,
    sign_credential_jwt,
    sign_presentation_jwt,
    verify_credential_jwt,
    verify_presentation_jwt,
)
from identity.vcdm import (
    CONTEXT_V1,
    CONTEXT_V2,
    CREDIT_HISTORY_CONTEXT,
    VerifiedW3cCredential,
    W3cCredential,
    format_date_time,
)
from tests.conftest import stable_id

NOW_MS = 1_790_000_000_000
NOW_S = NOW_MS // 1000
ISSUER, HOLDER, OTHER = SigningKey.generate(), SigningKey.generate("EdDSA"), SigningKey.generate()
BINDING = KeyBinding(nonce="n-0S6_WzA2Mj", audience="decentralized_identifier:did:example:verifier")
CLAIMS = {"currency": "KES", "months_active": 6}
DIDS = DidResolver(None)


def issuer_key_for(credential: W3cCredential, kid: str | None) -> Any:
    if credential.issuer != ISSUER.did:
        raise IssuerNotTrusted
    return DIDS.resolve_key(did=credential.issuer, kid=kid, relationship="assertionMethod", now_ms=NOW_MS)


def holder_key_for(did: str, kid: str | None) -> Any:
    return DIDS.resolve_key(did=did, kid=kid, relationship="authentication", now_ms=NOW_MS)


def document(**changes: Any) -> dict[str, Any]:
    whole = {
        "@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": ISSUER.did,
        "validFrom": format_date_time(NOW_MS - 86_400_000),
        "credentialSubject": {"id": HOLDER.did, **CLAIMS},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def older_payload(vc: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    whole = {
        "iss": ISSUER.did,
        "sub": HOLDER.did,
        "jti": "urn:uuid:1",
        "nbf": NOW_S - 86_400,
        "exp": NOW_S + 86_400,
        "vc": {
            "@context": [CONTEXT_V1, CREDIT_HISTORY_CONTEXT],
            "type": ["VerifiableCredential", "MobileMoneyCredential"],
            "credentialSubject": CLAIMS,
            **(vc or {}),
        },
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def sign(payload: Any, typ: str | None, key: SigningKey = ISSUER, **header: Any) -> str:
    header = {"typ": typ, "kid": key.kid, **header}
    return sign_jws({name: value for name, value in header.items() if value is not None}, encode_json(payload), key)


def verify(compact: str, now_ms: int = NOW_MS) -> VerifiedW3cCredential:
    return verify_credential_jwt(compact, issuer_key_for=issuer_key_for, now_ms=now_ms)


def verify_presented(compact: str, now_ms: int = NOW_MS) -> VerifiedW3cCredential:
    return verify_presentation_jwt(
        parse_presentation_jwt(compact),
        issuer_key_for=issuer_key_for,
        holder_key_for=holder_key_for,
        key_binding=BINDING,
        now_ms=now_ms,
    )


def enveloped(credential: str, **changes: Any) -> dict[str, Any]:
    url = "data:application/vc+jwt," + credential
    return {"@context": CONTEXT_V2, "type": "EnvelopedVerifiableCredential", "id": url, **changes}


def presentation(*credentials: Any, **changes: Any) -> dict[str, Any]:
    whole = {
        "@context": [CONTEXT_V2],
        "type": ["VerifiablePresentation"],
        "verifiableCredential": [enveloped(each) if isinstance(each, str) else each for each in credentials],
        "holder": HOLDER.did,
        "aud": BINDING.audience,
        "nonce": BINDING.nonce,
        "iat": NOW_S,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def older_presentation(*credentials: Any, **changes: Any) -> dict[str, Any]:
    whole = {
        "iss": HOLDER.did,
        "aud": BINDING.audience,
        "nonce": BINDING.nonce,
        "iat": NOW_S,
        "nbf": NOW_S,
        "vp": {
            "@context": [CONTEXT_V1],
            "type": ["VerifiablePresentation"],
            "verifiableCredential": list(credentials),
        },
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


CREDENTIAL = sign(document(), "vc+jwt")
OLDER_CREDENTIAL = sign(older_payload(), "JWT")


# Round trips


def test_a_credential_of_version_2_0_holds() -> None:
    until = format_date_time(NOW_MS + 86_400_000)
    compact = sign_credential_jwt(document(validUntil=until, id="urn:uuid:1"), ISSUER, kid=ISSUER.kid)
    verified = verify(compact)
    assert verified.credential.claims == CLAIMS
    assert (verified.credential.version, verified.credential.id) == ("2.0", "urn:uuid:1")
    assert verified.expires_at_ms == (NOW_S + 86_400) * 1000


def test_a_credential_of_version_1_1_takes_what_the_jwt_says_of_it() -> None:
    verified = verify(OLDER_CREDENTIAL)
    credential = verified.credential
    assert (credential.version, credential.claims, credential.subject_id) == ("1.1", CLAIMS, HOLDER.did)
    assert (credential.issuer, credential.id) == (ISSUER.did, "urn:uuid:1")
    assert credential.valid_from_ms == (NOW_S - 86_400) * 1000
    assert verified.expires_at_ms == (NOW_S + 86_400) * 1000


def test_the_members_of_a_1_1_credential_may_stand_in_it_too() -> None:
    within = {
        "issuer": {"id": ISSUER.did},
        "id": "urn:uuid:1",
        "issuanceDate": format_date_time(NOW_MS - 86_400_000),
        "expirationDate": format_date_time(NOW_MS + 86_400_000),
        "credentialSubject": {"id": HOLDER.did, **CLAIMS},
    }
    assert verify(sign(older_payload(within), "JWT")).credential == verify(OLDER_CREDENTIAL).credential
    alone = older_payload(within, iss=..., sub=..., jti=..., nbf=..., exp=...)
    assert verify(sign(alone, "JWT")).credential == verify(OLDER_CREDENTIAL).credential


@pytest.mark.parametrize("key", [SigningKey.generate(), SigningKey.generate("EdDSA")], ids=["ES256", "EdDSA"])
def test_a_presentation_is_bound_to_the_key_of_the_subject(key: SigningKey) -> None:
    did = did_key(key.public)
    kid = f"{did}#{did.removeprefix('did:key:')}"
    credential = sign_credential_jwt(document(credentialSubject={"id": did, **CLAIMS}), ISSUER, kid=ISSUER.kid)
    presented = sign_presentation_jwt(credential, key, holder=did, kid=kid, key_binding=BINDING, now_ms=NOW_MS)
    verified = verify_presented(presented)
    assert (verified.holder, verified.credential.claims) == (key.public, CLAIMS)
    assert verified.digest == verify(credential).digest


def test_a_presentation_of_version_1_1_holds() -> None:
    verified = verify_presented(sign(older_presentation(OLDER_CREDENTIAL), "JWT", HOLDER))
    assert (verified.holder, verified.credential.claims) == (HOLDER.public, CLAIMS)


def test_the_digest_does_not_change_with_the_signature() -> None:
    assert verify(sign(document(), "vc+jwt")).digest == verify(CREDENTIAL).digest
    assert verify(sign(document(id="urn:uuid:2"), "vc+jwt")).digest != verify(CREDENTIAL).digest


# Credentials to refuse


@pytest.mark.parametrize("typ", ["dc+sd-jwt", "vc+sd-jwt", "vc-ld+jwt", "vp+jwt", "kb+jwt", "VC+JWT", None])
def test_15_another_typ_is_refused(typ: str | None) -> None:
    with pytest.raises(WrongTyp):
        verify(sign(document(), typ))


def test_15_neither_version_is_read_as_the_other() -> None:
    with pytest.raises(MissingClaim):
        verify(sign(document(), "JWT"))
    with pytest.raises(UnknownMember):
        verify(sign(older_payload(), "vc+jwt"))
    with pytest.raises(UnknownMember):
        verify(sign({**document(), "vp": {}}, "vc+jwt"))
    with pytest.raises(WrongTyp):
        verify(sign(older_payload({"@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT]}, nbf=..., exp=...), "JWT"))
    older = document(**{"@context": [CONTEXT_V1], "validFrom": ..., "issuanceDate": format_date_time(NOW_MS)})
    with pytest.raises(WrongTyp):
        verify(sign(older, "vc+jwt"))


def test_the_content_type_is_the_one_that_is_expected_or_absent() -> None:
    assert verify(sign(document(), "vc+jwt", cty="vc")).credential.claims == CLAIMS
    for cty in ("vp", "application/vc", "JWT", 1):
        with pytest.raises(HeaderNotAllowed):
            verify(sign(document(), "vc+jwt", cty=cty))
    with pytest.raises(HeaderNotAllowed):
        verify(sign(document(), "vc+jwt", iss=ISSUER.did))


@pytest.mark.parametrize(
    "changes",
    [
        *({"iss": OTHER.did}, {"sub": OTHER.did}, {"jti": "urn:uuid:2"}),
        *({"iss": 1}, {"iss": None}, {"sub": None}, {"jti": None}, {"jti": []}),
    ],
    ids=stable_id,
)
def test_a_claim_of_the_jwt_contradicts_no_member(changes: dict[str, Any]) -> None:
    with pytest.raises(JwtClaimMismatch):
        verify(sign(document(id="urn:uuid:1", **changes), "vc+jwt"))


@pytest.mark.parametrize(
    "within",
    [
        {"issuer": OTHER.did},
        {"id": "urn:uuid:2"},
        {"credentialSubject": {"id": OTHER.did, **CLAIMS}},
        {"issuanceDate": format_date_time(NOW_MS - 1000)},
        {"expirationDate": format_date_time(NOW_MS + 1000)},
    ],
    ids=lambda within: next(iter(within)),
)
def test_a_claim_of_the_jwt_contradicts_no_member_of_vc(within: dict[str, Any]) -> None:
    with pytest.raises(JwtClaimMismatch):
        verify(sign(older_payload(within), "JWT"))


def test_a_jwt_may_have_an_id_that_its_credential_does_not_repeat() -> None:
    assert verify(sign(document(jti="urn:uuid:1", sub=HOLDER.did), "vc+jwt")).credential.id is None


def test_an_embedded_proof_is_refused() -> None:
    with pytest.raises(EmbeddedProof):
        verify(sign(document(proof={"type": "DataIntegrityProof"}), "vc+jwt"))
    with pytest.raises(EmbeddedProof):
        verify(sign(older_payload({"proof": {"type": "Ed25519Signature2018"}}), "JWT"))


def test_a_claim_that_nobody_reads_is_refused() -> None:
    with pytest.raises(UnknownMember):
        verify(sign(document(status={"status_list": {"idx": 1, "uri": "https://a.example/"}}), "vc+jwt"))
    with pytest.raises(UnknownMember):
        verify(sign(older_payload(cnf={"jwk": HOLDER.public.jwk}), "JWT"))


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"validUntil": format_date_time(NOW_MS - 61_000)}, Expired),
        ({"exp": NOW_S - 61}, Expired),
        ({"validFrom": format_date_time(NOW_MS + 62_000)}, NotYetValid),
        ({"nbf": NOW_S + 62}, NotYetValid),
        ({"iat": NOW_S + 62}, IssuedInFuture),
        ({"exp": True}, BadTime),
        ({"exp": "2027-01-01T00:00:00Z"}, BadTime),
        ({"exp": 1e300}, BadTime),
        ({"@context": [CONTEXT_V2, {"currency": "urn:x"}]}, ContextNotAllowed),
    ],
    ids=stable_id,
)
def test_17_to_20_and_39_times_and_contexts(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify(sign(document(**changes), "vc+jwt"))


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"exp": NOW_S - 61}, Expired),
        ({"nbf": NOW_S + 62}, NotYetValid),
        ({"exp": "1"}, BadTime),
        ({"nbf": ...}, BadTime),
    ],
    ids=stable_id,
)
def test_17_to_20_times_of_version_1_1(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify(sign(older_payload(**changes), "JWT"))


def test_the_signature_is_the_issuers() -> None:
    with pytest.raises(IssuerKeyMismatch):
        verify(sign(document(), "vc+jwt", OTHER))
    with pytest.raises(BadSignature):
        verify(sign(document(), "vc+jwt", OTHER, kid=ISSUER.kid))
    with pytest.raises(AlgKeyMismatch):
        verify(sign(document(), "vc+jwt", HOLDER, kid=ISSUER.kid))


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        ({"alg": "none"}, AlgNotAllowed),
        ({"alg": "HS256"}, AlgNotAllowed),
        ({"crit": ["exp"], "exp": 1}, UnsupportedCrit),
        ({"b64": False}, UnsupportedCrit),
        ({"jwk": OTHER.public.jwk}, KeySourceNotAllowed),
        ({"x5u": "https://a.example/"}, KeySourceNotAllowed),
        ({"kid": "../key"}, BadKid),
        ({"kid": "did:example:a\x00#0"}, BadKid),
        ({"kid": f"{OTHER.did}#0"}, IssuerKeyMismatch),
        ({"kid": f"{ISSUER.did}#1"}, UnknownKid),
    ],
    ids=stable_id,
)
def test_1_to_9_a_header_is_as_strict_as_everywhere(header: dict[str, Any], refusal: type[IdentityError]) -> None:
    for compact in (CREDENTIAL, OLDER_CREDENTIAL):
        protected = {**parse_jws(compact, cty="vc").header, **header}
        spoilt = encode_base64url(encode_json(protected)) + "." + compact.partition(".")[2]
        with pytest.raises(refusal):
            verify(spoilt)


def test_4_10_to_13_and_what_is_encoded_too() -> None:
    head, payload, signature = CREDENTIAL.split(".")
    der = encode_base64url(b"\x30\x44" + bytes(68))
    for compact, refusal in (
        (f"{head}.{payload}.{der}", BadSignatureEncoding),
        (f"{head}.{payload}=.{signature}", BadBase64),
        (f"{head}.{payload}.{signature}.", BadJws),
        (f"{head}.{encode_base64url(b'{}' * 2)}.{signature}", BadJson),
        (f"""{head}.{encode_base64url(b'{"iss":"a","iss":"b"}')}.{signature}""", JsonDuplicateKey),
        (f"""{head}.{encode_base64url(b'{"exp":1e400}')}.{signature}""", JsonNumber),
        (f"{head}.{encode_base64url(b'[' * 40 + b']' * 40)}.{signature}", JsonDepth),
    ):
        with pytest.raises(refusal):
            verify(compact)


def test_14_a_credential_has_a_size() -> None:
    with pytest.raises(TooLarge):
        verify(sign(document(name="x" * 131_072), "vc+jwt"))


# Presentations to refuse


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (presentation(CREDENTIAL, aud="x509_hash:other"), AudienceMismatch),
        (presentation(CREDENTIAL, aud=[BINDING.audience]), AudienceMismatch),
        (presentation(CREDENTIAL, aud=...), AudienceMismatch),
        (presentation(CREDENTIAL, nonce="other"), NonceMismatch),
        (presentation(CREDENTIAL, nonce=...), NonceMismatch),
        (presentation(), PresentationNotSingle),
        (presentation(CREDENTIAL, CREDENTIAL), PresentationNotSingle),
        (presentation(document()), PresentationFormatMismatch),
        (presentation(OLDER_CREDENTIAL), WrongTyp),
        (presentation(CREDENTIAL, holder=OTHER.did), SubjectNotHolder),
        (presentation(CREDENTIAL, iss=OTHER.did, holder=...), SubjectNotHolder),
        (presentation(CREDENTIAL, iat=...), MissingClaim),
        (presentation(CREDENTIAL, iat=NOW_S - 301), KbStale),
        (presentation(CREDENTIAL, iat=NOW_S + 62), KbInFuture),
        (presentation(CREDENTIAL, exp=NOW_S - 61), Expired),
        (presentation(CREDENTIAL, iat=False), BadTime),
        (presentation(CREDENTIAL, proof={"type": "DataIntegrityProof"}), EmbeddedProof),
        (presentation(CREDENTIAL, evil=1), UnknownMember),
        (presentation(sign(document(credentialSubject=CLAIMS), "vc+jwt")), HolderKeyMissing),
        (presentation(sign(document(credentialSubject={"id": OTHER.did, **CLAIMS}), "vc+jwt")), SubjectNotHolder),
    ],
)
def test_what_a_presentation_may_not_be(payload: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify_presented(sign(payload, "vp+jwt", HOLDER))


def test_a_presentation_names_its_holder_once_or_twice_the_same() -> None:
    for changes in ({"holder": ...}, {"iss": HOLDER.did}, {"holder": {"id": HOLDER.did}}):
        assert verify_presented(sign(presentation(CREDENTIAL, **changes), "vp+jwt", HOLDER)).holder == HOLDER.public


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (older_presentation(OLDER_CREDENTIAL, iss=OTHER.did), SubjectNotHolder),
        (older_presentation(CREDENTIAL), WrongTyp),
        (older_presentation(OLDER_CREDENTIAL, nonce="x"), NonceMismatch),
        (older_presentation(OLDER_CREDENTIAL, evil=1), UnknownMember),
        (older_presentation(OLDER_CREDENTIAL, vp=...), MissingClaim),
        (older_presentation(), PresentationNotSingle),
    ],
)
def test_what_a_presentation_of_version_1_1_may_not_be(payload: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify_presented(sign(payload, "JWT", HOLDER))


def test_only_the_holder_can_sign_a_presentation() -> None:
    with pytest.raises(SubjectNotHolder):
        verify_presented(sign(presentation(CREDENTIAL), "vp+jwt", OTHER))
    with pytest.raises(AlgKeyMismatch):
        verify_presented(sign(presentation(CREDENTIAL), "vp+jwt", OTHER, kid=HOLDER.kid))
    with pytest.raises(BadSignature):
        verify_presented(sign(presentation(CREDENTIAL), "vp+jwt", SigningKey.generate("EdDSA"), kid=HOLDER.kid))


def test_47_a_tampered_credential_within_is_found() -> None:
    head, _, signature = CREDENTIAL.split(".")
    other = sign(document(credentialSubject={"id": HOLDER.did, "currency": "USD"}), "vc+jwt").split(".")[1]
    with pytest.raises(BadSignature):
        verify_presented(sign(presentation(f"{head}.{other}.{signature}"), "vp+jwt", HOLDER))


def test_15_a_presentation_is_no_credential_and_a_credential_no_presentation() -> None:
    presented = sign(presentation(CREDENTIAL), "vp+jwt", HOLDER)
    with pytest.raises(WrongTyp):
        verify(presented)
    with pytest.raises(WrongTyp):
        parse_presentation_jwt(CREDENTIAL)


def test_nothing_that_a_credential_names_is_resolved_before_its_issuer_has_signed_it() -> None:
    resolved: list[str] = []

    def holder_key_for(did: str, kid: str | None) -> Any:
        resolved.append(did)
        raise AssertionError

    forged = sign(
        document(credentialSubject={"id": "did:web:inside.example", **CLAIMS}), "vc+jwt", OTHER, kid=ISSUER.kid
    )
    with pytest.raises(BadSignature):
        verify_presentation_jwt(
            parse_presentation_jwt(sign(presentation(forged, holder="did:web:inside.example"), "vp+jwt", HOLDER)),
            issuer_key_for=issuer_key_for,
            holder_key_for=holder_key_for,
            key_binding=BINDING,
            now_ms=NOW_MS,
        )
    assert resolved == []


# Tampering


PRESENTED = sign_presentation_jwt(
    CREDENTIAL, HOLDER, holder=HOLDER.did, kid=HOLDER.kid, key_binding=BINDING, now_ms=NOW_MS
)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(PRESENTED) - 1), character=st.sampled_from("AZaz09-_.~=\x00é"))
def test_a_presentation_with_one_character_changed_is_refused_by_one_of_our_errors(at: int, character: str) -> None:
    changed = PRESENTED[:at] + character + PRESENTED[at + 1 :]
    if changed == PRESENTED:
        return
    with pytest.raises(IdentityError):
        verify_presented(changed)


@settings(max_examples=100)
@given(
    member=st.sampled_from(["@context", "type", "issuer", "validFrom", "credentialSubject", "iss", "exp", "id"]),
    value=st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists, max_leaves=3),
)
def test_hostile_payloads_raise_only_our_errors(member: str, value: Any) -> None:
    with contextlib.suppress(IdentityError):
        verify(sign(json.loads(json.dumps(document(**{member: value}), allow_nan=True)), "vc+jwt"))
