"""DIDs that are their own documents: did:key and did:jwk, resolved without a network."""

from collections.abc import Mapping
from dataclasses import dataclass

from identity.encoding import decode_base64url, encode_base64url, encode_json, parse_json_object
from identity.errors import BadDid, BadKid, IdentityError, IssuerKeyMismatch, PrivateKeyInJwk, UnknownKid
from identity.keys import PublicKey, ed25519_public_key, p256_public_key, parse_public_jwk

# Base58 decoding is quadratic, so its input is bounded before it is looked at.
MAX_DID_KEY_CHARS = 128
MAX_DID_JWK_CHARS = 1024

_BASE58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUES = {character: value for value, character in enumerate(_BASE58_ALPHABET)}
# Multicodec prefixes as unsigned varints: ed25519-pub 0xed, p256-pub 0x1200.
_ED25519_PREFIX = b"\xed\x01"
_P256_PREFIX = b"\x80\x24"


@dataclass(frozen=True, kw_only=True)
class DidDocument:
    """What a DID resolves to: its verification methods, by their absolute DID URLs."""

    did: str
    verification_methods: Mapping[str, PublicKey]


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
    return DidDocument(did=did, verification_methods={f"{did}#{fragment}": key})


def resolve_verification_key(*, did: str, kid: str | None) -> PublicKey:
    """The key with which `did` signed: the method that `kid` names, or the only one when there is no `kid`.

    `kid` is an absolute DID URL of that DID or a relative one such as "#0". Raises BadKid, IssuerKeyMismatch
    (the key id of another DID), UnknownKid, and as `resolve_did`.
    """
    methods = resolve_did(did).verification_methods
    if kid is None:
        if len(methods) != 1:
            raise UnknownKid
        return next(iter(methods.values()))
    kid_did, separator, fragment = kid.partition("#")
    if not separator or not fragment or not (kid_did == "" or kid_did.startswith("did:")):
        raise BadKid
    if kid_did not in ("", did):
        raise IssuerKeyMismatch
    key = methods.get(f"{did}#{fragment}")
    if key is None:
        raise UnknownKid
    return key


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
