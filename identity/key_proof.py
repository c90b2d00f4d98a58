"""Proof of possession of the keys that credentials are to be bound to (OpenID4VCI 1.0, appendix F.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from identity.did import resolve_verification_key
from identity.encoding import encode_json, parse_json_object
from identity.errors import (
    BadKid,
    BadTime,
    HolderKeyRepeated,
    KeyProofAudienceMismatch,
    KeyProofIssuerNotAllowed,
    KeyProofKeyAmbiguous,
    KeyProofNonceMissing,
    KeyProofNoncesDiffer,
    KeyProofStale,
)
from identity.jws import ParsedJws, parse_jws, sign_jws, verify_jws
from identity.jwt import SKEW_S, check_times, time_claim_ms
from identity.keys import PublicKey, SigningKey, parse_public_jwk

PROOF_TYP = "openid4vci-proof+jwt"
#: What may stand in the header of a proof; "EdDSA" is Ed25519 by its older name (RFC 9864).
PROOF_ALGORITHMS = ("ES256", "EdDSA", "Ed25519")
MAX_PROOF_AGE_S = 300
MAX_PROOF_CHARS = 8_192


@dataclass(frozen=True, kw_only=True)
class KeyProof:
    """A key whose possession was proven to one credential issuer, and the nonce that was signed, not yet used."""

    key: PublicKey
    nonce: str


def make_key_proof(*, key: SigningKey, credential_issuer: str, nonce: str | None, now_ms: int) -> str:
    """A wallet's proof that it holds `key`, for one credential issuer."""
    claims = {"aud": credential_issuer, "iat": now_ms // 1000} | ({} if nonce is None else {"nonce": nonce})
    return sign_jws({"typ": PROOF_TYP, "jwk": key.public.jwk}, encode_json(claims), key)


def verify_key_proofs(
    proofs: Sequence[str], *, credential_issuer: str, now_ms: int
) -> tuple[str, tuple[PublicKey, ...]]:
    """Verify the proofs of one request: returns their one nonce, which the caller must still use, and their keys.

    A wallet that asks for several credentials proves a key for each of them, so that no two share one.
    Raises KeyProofNoncesDiffer, HolderKeyRepeated, and as `verify_key_proof`.
    """
    verified = [verify_key_proof(each, credential_issuer=credential_issuer, now_ms=now_ms) for each in proofs]
    nonces, keys = {each.nonce for each in verified}, tuple(each.key for each in verified)
    if len({key.thumbprint for key in keys}) != len(keys):
        raise HolderKeyRepeated
    if len(nonces) != 1:
        raise KeyProofNoncesDiffer
    return nonces.pop(), keys


def verify_key_proof(compact: str, *, credential_issuer: str, now_ms: int) -> KeyProof:
    """Verify one proof of a wallet that has no client identifier: an anonymous one with a pre-authorized code.

    1. The header names the key by a public `jwk`, or by the `kid` of a DID that is its own document, not by both.
    2. Type, algorithm and signature.
    3. No `iss`, this issuer as the only `aud`, an `iat` of at most five minutes ago, a nonce.

    Raises KeyProofKeyAmbiguous, KeyProofIssuerNotAllowed, KeyProofAudienceMismatch, KeyProofStale,
    KeyProofNonceMissing, and what keys, DIDs, JWS and times raise.
    """
    parsed = parse_jws(compact, max_chars=MAX_PROOF_CHARS, brings_key=True)
    key = _key_of(parsed)
    payload = parse_json_object(verify_jws(parsed, key, typ=PROOF_TYP))
    if "iss" in payload:
        raise KeyProofIssuerNotAllowed
    if payload.get("aud") != credential_issuer:
        raise KeyProofAudienceMismatch
    issued_at_ms = time_claim_ms(payload, "iat")
    if issued_at_ms is None:
        raise BadTime
    check_times(payload, now_ms)
    if now_ms > issued_at_ms + (MAX_PROOF_AGE_S + SKEW_S) * 1000:
        raise KeyProofStale
    nonce = payload.get("nonce")
    if not isinstance(nonce, str) or not nonce:
        raise KeyProofNonceMissing
    return KeyProof(key=key, nonce=nonce)


def _key_of(parsed: ParsedJws) -> PublicKey:
    if (parsed.jwk is None) == (parsed.kid is None):
        raise KeyProofKeyAmbiguous
    if parsed.jwk is not None:
        return parse_public_jwk(parsed.jwk)
    did, separator, _ = str(parsed.kid).partition("#")
    if not separator:
        raise BadKid
    return resolve_verification_key(did=did, kid=parsed.kid)
