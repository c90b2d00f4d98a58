"""W3C credentials and presentations as JWTs: VCDM 2.0 by VC-JOSE-COSE (2025), and VCDM 1.1 section 6.3.1.

In 2.0 the payload is the document itself; in 1.1 it is in a claim, `vc` or `vp`, and registered claims stand for some
of its members. The header's `typ` says which of the two it is, and neither is ever read as the other.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from identity.encoding import JsonObject, JsonValue, encode_json, parse_json_object
from identity.errors import (
    EmbeddedProof,
    HolderKeyMissing,
    IssuerKeyMismatch,
    JwtClaimMismatch,
    MissingClaim,
    PresentationFormatMismatch,
    PresentationNotSingle,
    SubjectNotHolder,
    TooLarge,
    UnknownMember,
    WrongTyp,
)
from identity.jws import ParsedJws, parse_jws, sign_jws, verify_jws
from identity.jwt import check_times, time_claim_ms
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.vcdm import (
    CONTEXT_V2,
    HolderKeyFor,
    IssuerKeyFor,
    VcdmVersion,
    VerifiedW3cCredential,
    W3cPresentation,
    format_date_time,
    parse_credential,
    parse_date_time,
    parse_presentation,
)

VC_JWT_TYP = "vc+jwt"
VP_JWT_TYP = "vp+jwt"
#: Of both in VCDM 1.1.
JWT_TYP = "JWT"
#: Of the JWT and not of the credential, in 2.0 where both share one object.
CREDENTIAL_CLAIMS = frozenset({"iss", "sub", "jti", "iat", "nbf", "exp"})
MAX_VC_JWT_CHARS = 131_072
MAX_VP_JWT_CHARS = 262_144

_CREDENTIAL_TYPS: Mapping[str | None, VcdmVersion] = {VC_JWT_TYP: "2.0", JWT_TYP: "1.1"}
_PRESENTATION_TYPS: Mapping[str | None, VcdmVersion] = {VP_JWT_TYP: "2.0", JWT_TYP: "1.1"}
_PRESENTATION_CLAIMS = frozenset({"iss", "jti", "iat", "nbf", "exp", "aud", "nonce"})


@dataclass(frozen=True, kw_only=True)
class ParsedPresentationJwt:
    """A presentation JWT taken apart and NOT yet verified."""

    jws: ParsedJws
    payload: JsonObject
    presentation: W3cPresentation


def parse_presentation_jwt(compact: str) -> ParsedPresentationJwt:
    """Take a presentation JWT apart and hold its document against the rules; no signature is looked at.

    Raises WrongTyp, EmbeddedProof, JwtClaimMismatch, UnknownMember, MissingClaim, and as JWS and documents do.
    """
    jws = parse_jws(compact, max_chars=MAX_VP_JWT_CHARS, cty="vp")
    version = _PRESENTATION_TYPS.get(jws.typ)
    if version is None:
        raise WrongTyp
    payload = parse_json_object(jws.payload)
    document = _document(payload, version, "vp", _PRESENTATION_CLAIMS)
    if version == "1.1":
        # Section 6.3.1: `iss` stands for `holder` and `jti` for `id`.
        _put(document, "holder", payload.get("iss"))
        _put(document, "id", payload.get("jti"))
    presentation = parse_presentation(document)
    if presentation.version != version:
        raise WrongTyp
    _check_same(payload, "jti", presentation.id)
    _check_same(payload, "iss", presentation.holder)
    return ParsedPresentationJwt(jws=jws, payload=payload, presentation=presentation)


def verify_presentation_jwt(
    parsed: ParsedPresentationJwt,
    *,
    issuer_key_for: IssuerKeyFor,
    holder_key_for: HolderKeyFor,
    key_binding: KeyBinding,
    now_ms: int,
) -> VerifiedW3cCredential:
    """Verify a presentation of one credential: the credential, that its subject presents it, for this request, now.

    Raises PresentationNotSingle, SubjectNotHolder, HolderKeyMissing, NonceMismatch, AudienceMismatch, KbInFuture,
    KbStale, MissingClaim, and as `verify_credential_jwt` and the functions given do.
    """
    presentation = parsed.presentation

    # 1. It is for us and for this request (OpenID4VP 1.0, appendix B.1.3.1).
    key_binding.verify_is_for(audience=parsed.payload.get("aud"), nonce=parsed.payload.get("nonce"))

    # 2. It holds one credential, of the version of the data model that it is of itself.
    if len(presentation.credentials) != 1:
        raise PresentationNotSingle
    compact = presentation.credentials[0]
    if not isinstance(compact, str):
        raise PresentationFormatMismatch

    # 3. That credential holds; only then is anything resolved that it names.
    verified = verify_credential_jwt(
        compact, issuer_key_for=issuer_key_for, now_ms=now_ms, version=presentation.version
    )

    # 4. Whom it is about has signed the presentation, with a key that is for this.
    subject = verified.credential.subject_id
    if subject is None:
        raise HolderKeyMissing
    if any(named not in (None, subject) for named in (presentation.holder, parsed.payload.get("iss"))):
        raise SubjectNotHolder
    try:
        holder = holder_key_for(subject, parsed.jws.kid)
    except IssuerKeyMismatch:
        raise SubjectNotHolder from None
    verify_jws(parsed.jws, holder, typ=parsed.jws.typ)

    # 5. It was made now.
    made_at_ms = time_claim_ms(parsed.payload, "iat")
    if made_at_ms is None:
        raise MissingClaim
    key_binding.verify_fresh(made_at_ms, now_ms)
    check_times(parsed.payload, now_ms)
    return VerifiedW3cCredential(
        credential=verified.credential,
        expires_at_ms=verified.expires_at_ms,
        holder=holder,
        digest=verified.digest,
    )


def verify_credential_jwt(
    compact: str,
    *,
    issuer_key_for: IssuerKeyFor,
    now_ms: int,
    version: VcdmVersion | None = None,
    max_chars: int = MAX_VC_JWT_CHARS,
) -> VerifiedW3cCredential:
    """Verify a credential JWT: its document, its issuer's signature, its times; not its status.

    `version` None takes either. Raises WrongTyp, TooLarge, EmbeddedProof, JwtClaimMismatch, UnknownMember, Expired,
    NotYetValid, IssuedInFuture, and as JWS, documents and `issuer_key_for` do.
    """
    # 1. Take it apart, and hold the document against the model's rules.
    if len(compact) > max_chars:
        raise TooLarge
    jws = parse_jws(compact, max_chars=max_chars, cty="vc")
    found = _CREDENTIAL_TYPS.get(jws.typ)
    if found is None or version not in (None, found):
        raise WrongTyp
    payload = parse_json_object(jws.payload)
    document = _document(payload, found, "vc", CREDENTIAL_CLAIMS)
    if found == "1.1":
        _put_registered_claims(document, payload)
    credential = parse_credential(document)
    if credential.version != found:
        raise WrongTyp

    # 2. The JWT says nothing else than the document within it.
    _check_same(payload, "iss", credential.issuer)
    _check_same(payload, "jti", credential.id)
    _check_same(payload, "sub", credential.subject_id)

    # 3. The issuer's signature, with a key that the caller trusts for this issuer and type.
    verify_jws(jws, issuer_key_for(credential, jws.kid), typ=jws.typ)

    # 4. Time: of the claims, and of the signature.
    credential.verify_times(now_ms)
    check_times(payload, now_ms)
    ends = [each for each in (credential.valid_until_ms, time_claim_ms(payload, "exp")) if each is not None]
    return VerifiedW3cCredential(
        credential=credential,
        expires_at_ms=min(ends, default=None),
        holder=None,
        digest=hashlib.sha256(jws.signing_input).digest(),
    )


def sign_credential_jwt(document: JsonObject, key: SigningKey, *, kid: str) -> str:
    """A VCDM 2.0 credential as a JWT; the document goes in as it is."""
    return sign_jws({"typ": VC_JWT_TYP, "kid": kid}, encode_json(document), key)


def sign_presentation_jwt(
    credential: str, key: SigningKey, *, holder: str, kid: str, key_binding: KeyBinding, now_ms: int
) -> str:
    """A VCDM 2.0 presentation of one credential JWT (VC-JOSE-COSE section 3.1.2), signed as the DID `holder`."""
    enveloped: JsonObject = {
        "@context": CONTEXT_V2,
        "id": f"data:application/{VC_JWT_TYP},{credential}",
        "type": "EnvelopedVerifiableCredential",
    }
    payload: JsonObject = {
        "@context": [CONTEXT_V2],
        "type": ["VerifiablePresentation"],
        "holder": holder,
        "verifiableCredential": [enveloped],
        "aud": key_binding.audience,
        "nonce": key_binding.nonce,
        "iat": now_ms // 1000,
    }
    return sign_jws({"typ": VP_JWT_TYP, "kid": kid}, encode_json(payload), key)


def _document(payload: JsonObject, version: VcdmVersion, name: str, claims: frozenset[str]) -> JsonObject:
    """The document within a payload, without the JWT's own claims; in 1.1 a copy that these may be put into."""
    if version == "1.1":
        within = payload.get(name)
        if not isinstance(within, dict):
            raise MissingClaim
        if not payload.keys() <= claims | {name}:
            raise UnknownMember
        document = dict(within)
    else:
        # VC-JOSE-COSE section 3.1: neither may be there, so whoever reads them would read another document.
        if "vc" in payload or "vp" in payload:
            raise UnknownMember
        document = {member: value for member, value in payload.items() if member not in claims}
    if "proof" in document:
        raise EmbeddedProof
    return document


def _put_registered_claims(document: JsonObject, payload: JsonObject) -> None:
    """What a VCDM 1.1 credential leaves to the JWT (section 6.3.1); what it says itself must say the same."""
    _put(document, "issuer", payload.get("iss"))
    _put(document, "id", payload.get("jti"))
    subject = document.get("credentialSubject")
    if "sub" in payload and isinstance(subject, dict) and "id" not in subject:
        document["credentialSubject"] = {"id": payload["sub"], **subject}
    for claim, member in (("nbf", "issuanceDate"), ("exp", "expirationDate")):
        at_ms = time_claim_ms(payload, claim)
        if at_ms is None:
            continue
        if member not in document:
            document[member] = format_date_time(at_ms)
        elif parse_date_time(document[member]) // 1000 != at_ms // 1000:
            raise JwtClaimMismatch


def _put(document: JsonObject, member: str, value: JsonValue) -> None:
    if value is not None:
        document.setdefault(member, value)


def _check_same(payload: JsonObject, claim: str, member: str | None) -> None:
    """That a claim, where there is one, is a text and no other than the member; an `id`, say, need not be repeated."""
    if claim in payload and (not isinstance(payload[claim], str) or member not in (None, payload[claim])):
        raise JwtClaimMismatch
