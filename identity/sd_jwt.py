"""SD-JWT (RFC 9901) as SD-JWT VC uses it (draft-ietf-oauth-sd-jwt-vc): issue, select disclosures, verify.

Two places of the draft are optional and not clear enough to score people on, so they are required here: `iss` (we
resolve keys by DID, never by certificate) and `iat` (what a feature is worth depends on when it was claimed).
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from identity.disclosures import SD_NAMES, digest_of, disclose_claims, find_nested, parse_disclosure
from identity.encoding import JsonObject, JsonValue, encode_base64url, encode_json, parse_json_object
from identity.errors import (
    AudienceMismatch,
    BadConfirmation,
    BadJson,
    BadSdJwt,
    CannotIssue,
    ClaimNotInCredential,
    HolderKeyMissing,
    KeyBindingMissing,
    KeyBindingUnexpected,
    MissingClaim,
    SdHashMismatch,
    TooLarge,
    TooManyDisclosures,
    WrongTyp,
)
from identity.issuer_parts import SeenIssuerPart, SeenIssuerParts
from identity.jws import ParsedJws, parse_jws, sign_jws, verify_jws
from identity.jwt import check_times, time_claim_ms
from identity.key_binding import KeyBinding
from identity.keys import PublicKey, SigningKey, parse_public_jwk
from identity.status_list import StatusReference, parse_status_reference

SD_JWT_VC_TYP = "dc+sd-jwt"
KEY_BINDING_TYP = "kb+jwt"
MAX_SD_JWT_CHARS = 262_144
MAX_DISCLOSURES = 200

# What the protocol reads: it must stand in the signed payload itself (SD-JWT VC section 2.2.2.2, and `iat`).
RESERVED_CLAIMS = frozenset({"iss", "iat", "nbf", "exp", "cnf", "vct", "vct#integrity", "status"})


@dataclass(frozen=True, kw_only=True)
class ParsedIssuerJwt:
    """What an issuer-signed JWT says of itself: enough to decide whom to trust and which key to use, and no more.

    `kid` is the key id of the header, if it has one. It may not have been verified.
    """

    issuer: str
    vct: str
    kid: str | None


@dataclass(frozen=True, kw_only=True)
class VerifiedSdJwt:
    """A verified SD-JWT VC.

    `claims` is the processed payload: registered claims and all disclosed ones, without `_sd` and `_sd_alg`.
    `disclosed` names the top-level claims that came by disclosure.
    """

    claims: JsonObject
    issuer: str
    vct: str
    issued_at_ms: int
    expires_at_ms: int | None
    holder: PublicKey | None
    status: StatusReference | None
    disclosed: tuple[str, ...]
    issuer_jwt: str


def issue_sd_jwt(
    *,
    claims: Mapping[str, JsonValue],
    disclosable: Collection[str],
    typ: str = SD_JWT_VC_TYP,
    key: SigningKey,
    random_bytes: Callable[[int], bytes],
) -> str:
    """Issue "<jwt>~d1~d2~" with each top-level claim named in `disclosable` behind a disclosure of its own.

    `claims` carry the registered claims too, times in seconds, `iss` being `key.did`. Each disclosure has a 128-bit
    salt; digests are sorted, so that their order tells nothing. Raises CannotIssue.
    """
    if claims.get("iss") != key.did or not set(disclosable) <= set(claims):
        raise CannotIssue
    if not (RESERVED_CLAIMS | SD_NAMES).isdisjoint(disclosable) or not SD_NAMES.isdisjoint(claims):
        raise CannotIssue
    payload: JsonObject = {name: value for name, value in claims.items() if name not in disclosable}
    disclosures = []
    try:
        for name in claims:
            if name in disclosable:
                salt = encode_base64url(random_bytes(16))
                disclosures.append(encode_base64url(encode_json([salt, name, claims[name]])))
        if disclosures:
            payload |= {"_sd": [*sorted(map(digest_of, disclosures))], "_sd_alg": "sha-256"}
        issuer_jwt = sign_jws({"typ": typ, "kid": key.kid}, encode_json(payload), key)
    except BadJson:
        raise CannotIssue from None
    return "~".join([issuer_jwt, *disclosures, ""])


def issuer_jwt_of(sd_jwt: str) -> str:
    """The issuer-signed JWT of an SD-JWT, without disclosures or key binding; raises BadSdJwt."""
    return _split(sd_jwt)[0]


def select_disclosures(sd_jwt: str, names: Collection[str]) -> str:
    """Keep the disclosures of the named top-level claims, whatever is nested in them included, and drop key binding.

    For the holder of an SD-JWT that it trusts: nothing is verified. A name that is plainly in the payload needs no
    disclosure. Raises ClaimNotInCredential for a name that is neither, and as parsing does.
    """
    issuer_jwt, disclosures, _ = _split(sd_jwt)
    payload = parse_json_object(parse_jws(issuer_jwt).payload)
    parsed = {digest_of(disclosure): parse_disclosure(disclosure) for disclosure in disclosures}
    top_level = payload.get("_sd")
    digests = [digest for digest in top_level if isinstance(digest, str)] if isinstance(top_level, list) else []
    digest_by_name = {parts[1]: digest for digest in digests if len(parts := parsed.get(digest, [])) == 3}
    kept: set[str] = set()
    for name in names:
        if name in payload:
            kept |= find_nested(payload[name], parsed)
        elif name in digest_by_name:
            kept |= find_nested({"...": digest_by_name[name]}, parsed)
        else:
            raise ClaimNotInCredential
    return "~".join([issuer_jwt, *(d for d in disclosures if digest_of(d) in kept), ""])


def verify_sd_jwt(
    sd_jwt: str,
    *,
    issuer_key_for: Callable[[ParsedIssuerJwt], PublicKey],
    now_ms: int | None,
    key_binding: KeyBinding | None,
    seen: SeenIssuerParts | None = None,
) -> VerifiedSdJwt:
    """Verify an SD-JWT VC: issuer, disclosures, time and key binding, in this order.

    `issuer_key_for` decides whether the issuer is trusted and with which key it signs, and raises if it is not.
    `key_binding` None means that none is expected, and one that is there is refused. `now_ms` None leaves time
    unchecked, for evidence of what was once true, and then no key binding can be asked. Status is not checked here.
    `seen` remembers the issuer's part, so that its signature and its disclosures, which cannot come out otherwise for
    the same bytes and the same key, are verified once; everything else is checked every time.
    Whatever the token, raises leaves of IdentityError only.
    """
    if key_binding is not None and now_ms is None:
        raise ValueError("a key binding cannot be verified without a clock")

    # 1. Take it apart, within limits.
    issuer_jwt, disclosures, key_binding_jwt = _split(sd_jwt)

    # 2. The issuer's signature, with a key that the caller trusts for this issuer and type.
    issuer_part = sd_jwt[: len(sd_jwt) - len(key_binding_jwt or "")]
    issuer_part_sha256 = hashlib.sha256(issuer_part.encode("ascii")).digest()
    known = _find_known(issuer_part_sha256, seen, issuer_key_for)
    if known is None:
        jws, payload = _parse_issuer_jwt(issuer_jwt)
        key = issuer_key_for(_issuer_jwt_of(payload, jws.kid))
        verify_jws(jws, key, typ=SD_JWT_VC_TYP)
    else:
        payload = known.claims  # no registered claim comes by disclosure

    # 3. The registered claims, which stand in the signed payload itself.
    issued_at_ms = time_claim_ms(payload, "iat")
    if issued_at_ms is None:
        raise MissingClaim
    expires_at_ms = time_claim_ms(payload, "exp")
    holder = _holder_key(payload)
    status = parse_status_reference(payload["status"]) if "status" in payload else None

    # 4. Time.
    if now_ms is not None:
        check_times(payload, now_ms)

    # 5. Disclosures: each one referenced once by a digest under the signature, in a place that it fits.
    if known is None:
        claims, disclosed = disclose_claims(payload, disclosures, reserved=RESERVED_CLAIMS)
        if seen is not None:
            seen.add(issuer_part_sha256, kid=jws.kid, claims=claims, disclosed=disclosed, signed_with=key)
    else:
        claims, disclosed = known.claims, known.disclosed
    if "aud" in claims:
        _check_audience(claims["aud"], key_binding)

    # 6. Key binding: this holder, this request, these disclosures, now.
    if key_binding is not None and now_ms is not None:
        if key_binding_jwt is None:
            raise KeyBindingMissing
        if holder is None:
            raise HolderKeyMissing
        _verify_key_binding(
            key_binding_jwt, key_binding, holder=holder, sd_hash=encode_base64url(issuer_part_sha256), now_ms=now_ms
        )
    elif key_binding_jwt is not None:
        raise KeyBindingUnexpected

    return VerifiedSdJwt(
        claims=claims,
        issuer=str(payload["iss"]),
        vct=str(payload["vct"]),
        issued_at_ms=issued_at_ms,
        expires_at_ms=expires_at_ms,
        holder=holder,
        status=status,
        disclosed=disclosed,
        issuer_jwt=issuer_jwt,
    )


def _split(sd_jwt: str) -> tuple[str, list[str], str | None]:
    if len(sd_jwt) > MAX_SD_JWT_CHARS:
        raise TooLarge
    if "~" not in sd_jwt or not sd_jwt.isascii():
        raise BadSdJwt
    issuer_jwt, *disclosures, last = sd_jwt.split("~")
    if not issuer_jwt or "" in disclosures:
        raise BadSdJwt
    if len(disclosures) > MAX_DISCLOSURES:
        raise TooManyDisclosures
    return issuer_jwt, disclosures, last or None


def _find_known(
    issuer_part_sha256: bytes, seen: SeenIssuerParts | None, issuer_key_for: Callable[[ParsedIssuerJwt], PublicKey]
) -> SeenIssuerPart | None:
    """The issuer's part as it was verified before, with the key that the caller trusts for it now; else None."""
    found = None if seen is None else seen.find(issuer_part_sha256)
    if found is None:
        return None
    key = issuer_key_for(_issuer_jwt_of(found.claims, found.kid))
    return found if found.signed_with == (key.alg, key.point) else None


def _parse_issuer_jwt(issuer_jwt: str) -> tuple[ParsedJws, JsonObject]:
    jws = parse_jws(issuer_jwt)
    if jws.typ != SD_JWT_VC_TYP:  # before anyone resolves a key for it
        raise WrongTyp
    return jws, parse_json_object(jws.payload)


def _issuer_jwt_of(payload: JsonObject, kid: str | None) -> ParsedIssuerJwt:
    issuer, vct = payload.get("iss"), payload.get("vct")
    if not isinstance(issuer, str) or not issuer or not isinstance(vct, str) or not vct:
        raise MissingClaim
    return ParsedIssuerJwt(issuer=issuer, vct=vct, kid=kid)


def _holder_key(payload: JsonObject) -> PublicKey | None:
    if "cnf" not in payload:
        return None
    confirmation = payload["cnf"]
    if not isinstance(confirmation, dict) or confirmation.keys() != {"jwk"}:
        raise BadConfirmation
    return parse_public_jwk(confirmation["jwk"])


def _check_audience(audience: JsonValue, expected: KeyBinding | None) -> None:
    """Raises AudienceMismatch where the issuer restricted the credential and not to us (RFC 7519 section 4.1.3)."""
    listed = audience if isinstance(audience, list) else [audience]
    if expected is None or expected.audience not in listed:
        raise AudienceMismatch


def _verify_key_binding(
    key_binding_jwt: str, expected: KeyBinding, *, holder: PublicKey, sd_hash: str, now_ms: int
) -> None:
    payload = parse_json_object(verify_jws(parse_jws(key_binding_jwt), holder, typ=KEY_BINDING_TYP))
    made_at_ms = time_claim_ms(payload, "iat")
    nonce, audience, signed_hash = payload.get("nonce"), payload.get("aud"), payload.get("sd_hash")
    if made_at_ms is None or not (
        isinstance(nonce, str) and isinstance(audience, str) and isinstance(signed_hash, str)
    ):
        raise MissingClaim
    if signed_hash != sd_hash:
        raise SdHashMismatch
    expected.verify_is_for(audience=audience, nonce=nonce)
    expected.verify_fresh(made_at_ms, now_ms)
    check_times(payload, now_ms)
