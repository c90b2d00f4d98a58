"""Proof that somebody holds a key: a nonce of ours, signed for us, by itself or under a score credential."""

from collections.abc import Collection
from dataclasses import dataclass

from identity.did import resolve_verification_key
from identity.encoding import JsonValue, encode_json, parse_json_object
from identity.errors import AudienceMismatch, HolderProofStale, KeyBindingMissing, MissingClaim
from identity.jws import parse_jws, sign_jws, verify_jws
from identity.jwt import check_times, time_claim_ms
from identity.key_binding import KeyBinding
from identity.keys import PublicKey, SigningKey
from identity.score_credential import verify_score_credential

HOLDER_PROOF_TYP = "credence-holder-proof+jwt"
MAX_PROOF_CHARS = 8_192
MAX_AGE_S = 300


@dataclass(frozen=True, kw_only=True)
class HolderProof:
    """A key that somebody holds, and the nonce that was signed with it: whether that is ours and unused, ask it."""

    key: PublicKey
    nonce: str


def sign_holder_proof(*, audience: str, nonce: str, key: SigningKey, now_ms: int) -> str:
    """A proof JWT, as a wallet makes it: `iss` is the key's own did:jwk."""
    claims = {"iss": key.did, "aud": audience, "nonce": nonce, "iat": now_ms // 1000}
    return sign_jws({"typ": HOLDER_PROOF_TYP, "kid": key.kid}, encode_json(claims), key)


def verify_holder_proof(compact: str, *, audience: str, now_ms: int) -> HolderProof:
    """Verify a proof JWT `{iss, aud, nonce, iat}` whose `iss` is a did:key or did:jwk, at most `MAX_AGE_S` old.

    The DID says which key it is, because a key in the header is refused as in every other JWS. Raises MissingClaim,
    AudienceMismatch, HolderProofStale, the times' errors, and as `parse_jws`, `verify_jws` and DID resolution.
    """
    parsed = parse_jws(compact, max_chars=MAX_PROOF_CHARS)
    payload = parse_json_object(parsed.payload)
    issuer = payload.get("iss")
    if not isinstance(issuer, str):
        raise MissingClaim
    key = resolve_verification_key(did=issuer, kid=parsed.kid)
    verify_jws(parsed, key, typ=HOLDER_PROOF_TYP)
    if payload.get("aud") != audience:
        raise AudienceMismatch
    made_at_ms = time_claim_ms(payload, "iat")
    if made_at_ms is None:
        raise MissingClaim
    if made_at_ms < now_ms - MAX_AGE_S * 1000:
        raise HolderProofStale
    check_times(payload, now_ms)
    return HolderProof(key=key, nonce=_text(payload.get("nonce")))


def verify_score_presentation(
    presentation: str, *, audience: str, trusted_issuers: Collection[str], now_ms: int
) -> HolderProof:
    """Verify a score credential, whole or in part, with a key binding over a nonce and for `audience`.

    Raises KeyBindingMissing, MissingClaim, and as `verify_score_credential` and key binding.
    """
    # The nonce is read before anything is verified, because key binding is verified against it.
    key_binding_jwt = presentation.rpartition("~")[2]
    if not key_binding_jwt:
        raise KeyBindingMissing
    nonce = _text(parse_json_object(parse_jws(key_binding_jwt).payload).get("nonce"))
    verified = verify_score_credential(
        presentation,
        trusted_issuers=trusted_issuers,
        now_ms=now_ms,
        key_binding=KeyBinding(nonce=nonce, audience=audience),
    )
    assert verified.holder is not None  # or key binding would not have been verified
    return HolderProof(key=verified.holder, nonce=nonce)


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise MissingClaim
    return value
