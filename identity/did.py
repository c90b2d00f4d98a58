"""DID documents, and the DIDs that are their own: did:key and did:jwk, resolved without a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from identity.encoding import decode_base64url, encode_base64url, encode_json, parse_json_object
from identity.errors import (
    BadDid,
    BadKid,
    IdentityError,
    IssuerKeyMismatch,
    KeyAmbiguous,
    KeyNotForRelationship,
    KeyNotSupported,
    KeyPastItsEnd,
    PrivateKeyInJwk,
    UnknownKid,
)
from identity.keys import PublicKey, ed25519_public_key, p256_public_key, parse_public_jwk

# Base58 decoding is quadratic, so its input is bounded before it is looked at.
MAX_DID_KEY_CHARS = 128
MAX_DID_JWK_CHARS = 1024

_BASE58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUES = {character: value for value, character in enumerate(_BASE58_ALPHABET)}
# Multicodec prefixes as unsigned varints: ed25519-pub 0xed, p256-pub 0x1200.
_ED25519_PREFIX = b"\xed\x01"
_P256_PREFIX = b"\x80\x24"

# What a key may be used for (CID 1.0 section 2.3): to sign credentials and lists, or to show who one is.
Relationship = Literal["assertionMethod", "authentication"]


@dataclass(frozen=True, kw_only=True)
class VerificationMethod:
    """One key of a DID and what it serves for; `key` is None for a kind of key that we do not verify with.

    From `ends_at_ms` on (UTC milliseconds, its `revoked` or `expires`) nothing is verified with it any more, whenever
    it may have been signed (CID 1.0 section 2.2).
    """

    key: PublicKey | None
    relationships: frozenset[Relationship]
    ends_at_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class DidDocument:
    """What a DID resolves to: its verification methods, by their absolute DID URLs."""

    did: str
    verification_methods: Mapping[str, VerificationMethod]

    def key(self, *, kid: str | None, relationship: Relationship, now_ms: int) -> PublicKey:
        """The key that `kid` names, or without a `kid` the only one that serves for `relationship`.

        `kid` is an absolute DID URL of this DID or a relative one such as "#0". Raises BadKid, IssuerKeyMismatch
        (the key id of another DID), UnknownKid, KeyAmbiguous, KeyNotForRelationship, KeyPastItsEnd, KeyNotSupported.
        """
        method = self._named_method(kid) if kid is not None else self._only_method(relationship)
        if relationship not in method.relationships:
            raise KeyNotForRelationship
        if method.ends_at_ms is not None and now_ms >= method.ends_at_ms:
            raise KeyPastItsEnd
        if method.key is None:
            raise KeyNotSupported
        return method.key

    def _named_method(self, kid: str) -> VerificationMethod:
        did, separator, fragment = kid.partition("#")
        if not separator or not fragment or not (did == "" or did.startswith("did:")):
            raise BadKid
        if did not in ("", self.did):
            raise IssuerKeyMismatch
        method = self.verification_methods.get(f"{self.did}#{fragment}")
        if method is None:
            raise UnknownKid
        return method

    def _only_method(self, relationship: Relationship) -> VerificationMethod:
        serving = [each for each in self.verification_methods.values() if relationship in each.relationships]
        if len(serving) != 1:
            raise KeyAmbiguous
        return serving[0]


def did_jwk(key: PublicKey) -> str:
    """The did:jwk of a public key, over its required members only."""
    return "did:jwk:" + encode_base64url(encode_json(key.jwk))


def did_key(key: PublicKey) -> str:
    """The did:key of a public key (W3C CCG did:key v0.7)."""
    if key.alg == "EdDSA":
        return "did:key:z" + _encode_base58(_ED25519_PREFIX + key.point)
    x, y = key.point[:32], key.point[32:]
    return "did:key:z" + _encode_base58(_P256_PREFIX + bytes([2 + (y[-1] & 1)]) + x)


def resolve_did(did: str) -> DidDocument:
    """Resolve a did:key or did:jwk for P-256 or Ed25519.

    Raises BadDid for another method, codec, key or length, PrivateKeyInJwk when a did:jwk carries a private key.
    """
    if did.startswith("did:key:z") and len(did) <= MAX_DID_KEY_CHARS:
        fragment, key = did.removeprefix("did:key:"), _did_key_public_key(did)
    elif did.startswith("did:jwk:") and len(did) <= MAX_DID_JWK_CHARS:
        fragment, key = "0", _did_jwk_public_key(did)
    else:
        raise BadDid
    method = VerificationMethod(key=key, relationships=frozenset({"assertionMethod", "authentication"}))
    return DidDocument(did=did, verification_methods={f"{did}#{fragment}": method})


def resolve_verification_key(*, did: str, kid: str | None) -> PublicKey:
    """The key with which `did`, a DID that is its own document, signed; its one key serves for everything, for ever.

    For where there is no network. Raises as `resolve_did` and as `DidDocument.key`.
    """
    return resolve_did(did).key(kid=kid, relationship="assertionMethod", now_ms=0)


def _did_key_public_key(did: str) -> PublicKey:
    data = _decode_base58(did.removeprefix("did:key:z"))
    prefix, raw = data[:2], data[2:]
    try:
        if prefix == _ED25519_PREFIX:
            return ed25519_public_key(raw)
        if prefix == _P256_PREFIX and len(raw) == 33:
            return p256_public_key(raw)
    except IdentityError:
        pass
    raise BadDid


def _did_jwk_public_key(did: str) -> PublicKey:
    try:
        return parse_public_jwk(parse_json_object(decode_base64url(did.removeprefix("did:jwk:"))))
    except PrivateKeyInJwk:
        raise
    except IdentityError:
        raise BadDid from None


def _encode_base58(data: bytes) -> str:
    # No multicodec prefix begins with a zero byte, so base58's rule for those is not needed.
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58_ALPHABET[digit] + text
    return text


def _decode_base58(text: str) -> bytes:
    if not text or text[0] == "1":
        raise BadDid
    number = 0
    for character in text:
        value = _BASE58_VALUES.get(character)
        if value is None:
            raise BadDid
        number = number * 58 + value
    return number.to_bytes((number.bit_length() + 7) // 8)
