"""Signature keys as JWKs: P-256 for ES256, Ed25519 for EdDSA, nothing else."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from identity.encoding import JsonObject, JsonValue, decode_base64url, encode_base64url, encode_json
from identity.errors import BadBase64, BadKey, BadSignature, BadSignatureEncoding, PrivateKeyInJwk

Algorithm = Literal["ES256", "EdDSA"]

# RFC 9864 gives EdDSA with Ed25519 a name of its own; a key knows it by the older one.
ALGORITHMS: Mapping[str, Algorithm] = {"ES256": "ES256", "EdDSA": "EdDSA", "Ed25519": "EdDSA"}

_PUBLIC_MEMBERS = {"kty", "crv", "x", "y", "alg", "use", "key_ops", "kid", "ext"}
_PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
_ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
_P256 = ec.SECP256R1()
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_PRIME = 2**255 - 19
# The y coordinates of the points of small order, for which one signature fits many messages.
_ED25519_SMALL_ORDER_Y = {
    0,
    1,
    _ED25519_PRIME - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """A public key for one algorithm; equal when its raw bytes are (`point`: x || y of P-256, or the Ed25519 key)."""

    alg: Algorithm
    point: bytes
    _key: ec.EllipticCurvePublicKey | Ed25519PublicKey = field(repr=False, compare=False)

    @property
    def jwk(self) -> JsonObject:
        """The key as a public JWK with its required members only (RFC 7518 section 6.2, RFC 8037)."""
        if self.alg == "ES256":
            x, y = encode_base64url(self.point[:32]), encode_base64url(self.point[32:])
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(self.point)}

    @cached_property
    def thumbprint(self) -> str:
        """The SHA-256 JWK thumbprint in base64url (RFC 7638)."""
        return encode_base64url(hashlib.sha256(encode_json(dict(sorted(self.jwk.items())))).digest())

    def verify(self, signature: bytes, data: bytes) -> None:
        """Verify a JWS signature, 64 raw bytes in both algorithms (RFC 7518 section 3.4, RFC 8037 section 3.1).

        Raises BadSignatureEncoding (DER or any other length) and BadSignature.
        """
        if len(signature) != 64:
            raise BadSignatureEncoding
        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, data)
            else:
                r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
                self._key.verify(encode_dss_signature(r, s), data, _ECDSA_SHA256)
        except InvalidSignature:
            raise BadSignature from None


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A private key for one algorithm; it never shows itself in a repr.

    `method` is the DID URL that it signs as, None for that of its own did:jwk.
    """

    public: PublicKey
    method: str | None = None
    _key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def generate(cls, alg: Algorithm = "ES256") -> "SigningKey":
        """Make a new key from the operating system's randomness."""
        if alg == "ES256":
            return _signing_key(ec.generate_private_key(_P256))
        return _signing_key(Ed25519PrivateKey.generate())

    @classmethod
    def from_private_jwk(cls, jwk: Mapping[str, JsonValue]) -> "SigningKey":
        """Read a private JWK; raises BadKey when it is malformed or its halves do not belong together."""
        public = parse_public_jwk({name: value for name, value in jwk.items() if name != "d"})
        secret = _coordinate(jwk.get("d"))
        if public.alg == "EdDSA":
            key = _signing_key(Ed25519PrivateKey.from_private_bytes(secret))
        else:
            scalar = int.from_bytes(secret)
            if not 0 < scalar < P256_ORDER:
                raise BadKey
            key = _signing_key(ec.derive_private_key(scalar, _P256))
        if key.public != public:
            raise BadKey
        return key

    def to_private_jwk(self) -> JsonObject:
        """The key as a private JWK: whoever reads it can sign."""
        if isinstance(self._key, Ed25519PrivateKey):
            secret = self._key.private_bytes_raw()
        else:
            secret = self._key.private_numbers().private_value.to_bytes(32)
        return {**self.public.jwk, "d": encode_base64url(secret)}

    @property
    def alg(self) -> Algorithm:
        """The JWS algorithm of this key."""
        return self.public.alg

    @cached_property
    def did(self) -> str:
        """The DID that this key signs for."""
        return self.kid.partition("#")[0]

    @cached_property
    def kid(self) -> str:
        """The verification method of `did` that this key is, as a DID URL."""
        return self.method or "did:jwk:" + encode_base64url(encode_json(self.public.jwk)) + "#0"

    def known_as(self, name: str) -> "SigningKey":
        """The same key as a verification method of another DID: the method's DID URL, or the DID alone.

        Of the DID alone it is the method that is named after its thumbprint, as in a document that we build.
        """
        return replace(self, method=name if "#" in name else f"{name}#{self.public.thumbprint}")

    def sign(self, data: bytes) -> bytes:
        """Sign data as JWS wants it: 64 raw bytes in both algorithms."""
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(data)
        r, s = decode_dss_signature(self._key.sign(data, _ECDSA_SHA256))
        return r.to_bytes(32) + s.to_bytes(32)


def parse_public_jwk(jwk: JsonValue | Mapping[str, JsonValue]) -> PublicKey:
    """Read a public JWK for signatures: EC P-256 or OKP Ed25519, coordinates of full length, a point on the curve.

    Raises PrivateKeyInJwk when any private member is there, BadKey for everything else that is wrong: an unknown
    member, an `alg`, `use` or `key_ops` for another purpose, a coordinate out of range (RFC 7517, 7518, 8037).
    """
    if not isinstance(jwk, Mapping):
        raise BadKey
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise PrivateKeyInJwk
    if not _PUBLIC_MEMBERS.issuperset(jwk):
        raise BadKey
    key: PublicKey
    match jwk.get("kty"), jwk.get("crv"):
        case "EC", "P-256":
            key = p256_public_key(b"\x04" + _coordinate(jwk.get("x")) + _coordinate(jwk.get("y")))
        case "OKP", "Ed25519" if "y" not in jwk:
            key = ed25519_public_key(_coordinate(jwk.get("x")))
        case _:
            raise BadKey
    if (
        ALGORITHMS.get(str(jwk.get("alg", key.alg))) != key.alg
        or jwk.get("use", "sig") != "sig"
        or jwk.get("key_ops", ["verify"]) != ["verify"]
    ):
        raise BadKey
    return key


def p256_public_key(encoded_point: bytes) -> PublicKey:
    """Read a P-256 point, compressed or not (SEC 1 section 2.3.3); raises BadKey when it is not on the curve."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(_P256, encoded_point)
    except ValueError:
        raise BadKey from None
    if len(encoded_point) == 65:
        return PublicKey(alg="ES256", point=encoded_point[1:], _key=key)
    numbers = key.public_numbers()
    return PublicKey(alg="ES256", point=numbers.x.to_bytes(32) + numbers.y.to_bytes(32), _key=key)


def ed25519_public_key(raw: bytes) -> PublicKey:
    """Read a raw Ed25519 public key; raises BadKey when y is not reduced or the point is of small order."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if len(raw) != 32 or y >= _ED25519_PRIME or y in _ED25519_SMALL_ORDER_Y:
        raise BadKey
    return PublicKey(alg="EdDSA", point=raw, _key=Ed25519PublicKey.from_public_bytes(raw))


def _coordinate(text: JsonValue) -> bytes:
    if not isinstance(text, str) or len(text) != 43:  # 32 bytes in base64url
        raise BadKey
    try:
        return decode_base64url(text)
    except BadBase64:
        raise BadKey from None


def _signing_key(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> SigningKey:
    if isinstance(key, Ed25519PrivateKey):
        public = ed25519_public_key(key.public_key().public_bytes_raw())
    else:
        numbers = key.public_key().public_numbers()
        public = p256_public_key(b"\x04" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32))
    return SigningKey(public=public, _key=key)
