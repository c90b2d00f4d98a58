"""JWE compact serialization (RFC 7516) for an encrypted answer: ECDH-ES on P-256, AES-GCM, and nothing else."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from identity.encoding import JsonObject, JsonValue, decode_base64url, encode_base64url, encode_json, parse_json_object
from identity.errors import (
    BadJwe,
    BadKey,
    IdentityError,
    JweKeyMismatch,
    JweNotAllowed,
    NotDecrypted,
    PrivateKeyInJwk,
    TooLarge,
)
from identity.keys import P256_ORDER, p256_public_key

ALG = "ECDH-ES"
Encryption = Literal["A128GCM", "A256GCM"]
ENCRYPTIONS: tuple[Encryption, ...] = get_args(Encryption)
MAX_JWE_CHARS = 65_536

_MAX_HEADER_CHARS = 1024
_MAX_PARTY_INFO_CHARS = 256
_REQUIRED_HEADERS = {"alg", "enc", "kid", "epk"}
_ALLOWED_HEADERS = _REQUIRED_HEADERS | {"apu", "apv", "typ", "cty"}
_KEY_MEMBERS = {"kty", "crv", "x", "y"}
_IV_BYTES, _TAG_BYTES = 12, 16


@dataclass(frozen=True, kw_only=True)
class EncryptionKey:
    """Whom an answer is encrypted to: a P-256 key, by the id that its JWE must name."""

    kid: str
    x: str
    y: str

    @property
    def jwk(self) -> JsonObject:
        """The key as it stands in client metadata (OpenID4VP 1.0, section 8.3: `kid` and `alg` say how to use it)."""
        return {"kty": "EC", "crv": "P-256", "x": self.x, "y": self.y, "use": "enc", "alg": ALG, "kid": self.kid}


@dataclass(frozen=True, kw_only=True)
class DecryptionKey:
    """The private half, which never shows itself in a repr."""

    public: EncryptionKey
    _key: ECKey = field(repr=False, compare=False)


def derive_decryption_key(secret: bytes, context: bytes) -> DecryptionKey:
    """The key pair that 32 secret bytes and a context make: the same two make the same one again, any other another.

    HKDF-SHA-256 (RFC 5869) to 48 bytes, then modulo the order less one, plus one: so many more bits than the order has
    that no scalar is likelier than another (FIPS 186-5, appendix A.2.1).
    """
    derived = HKDF(algorithm=hashes.SHA256(), length=48, salt=None, info=b"credence/response/v1\0" + context)
    scalar = int.from_bytes(derived.derive(secret)) % (P256_ORDER - 1) + 1
    numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    x, y = (encode_base64url(coordinate.to_bytes(32)) for coordinate in (numbers.x, numbers.y))
    thumbprint = hashlib.sha256(encode_json({"crv": "P-256", "kty": "EC", "x": x, "y": y})).digest()
    private = ECKey.import_key(
        {"kty": "EC", "crv": "P-256", "x": x, "y": y, "d": encode_base64url(scalar.to_bytes(32))}
    )
    return DecryptionKey(public=EncryptionKey(kid=encode_base64url(thumbprint), x=x, y=y), _key=private)


def parse_encryption_jwk(jwk: JsonValue) -> EncryptionKey:
    """Read a public JWK to encrypt to; raises BadKey unless it is a P-256 key with a `kid`, for ECDH-ES.

    Raises PrivateKeyInJwk too. Members of other purposes are skipped: the key is the verifier's, and signed for.
    """
    if not isinstance(jwk, dict):
        raise BadKey
    if "d" in jwk:
        raise PrivateKeyInJwk
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not kid or jwk.get("alg", ALG) != ALG or jwk.get("use", "enc") != "enc":
        raise BadKey
    x, y = _verify_point(jwk)
    return EncryptionKey(kid=kid, x=x, y=y)


def encrypt(plaintext: bytes, key: EncryptionKey, encryption: Encryption) -> str:
    """A compact JWE of `plaintext` that only the holder of `key`'s private half can read."""
    header = {"alg": ALG, "enc": encryption, "kid": key.kid}
    recipient = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": key.x, "y": key.y})
    return jwe.encrypt_compact(header, plaintext, recipient, algorithms=[ALG, *ENCRYPTIONS])


def decrypt(compact: str, keys: Sequence[DecryptionKey]) -> bytes:
    """The plaintext of a compact JWE that was encrypted to one of `keys`, which its `kid` must name.

    What its header may say is an allow-list, read strictly before any arithmetic: no other algorithm, no compression,
    no key that it brings along but an ephemeral one on P-256. Raises TooLarge, BadJwe, BadBase64, the JSON errors,
    JweNotAllowed, JweKeyMismatch, and NotDecrypted for whatever the tag does not hold for.
    """
    if len(compact) > MAX_JWE_CHARS:
        raise TooLarge
    parts = compact.split(".")
    if len(parts) != 5:
        raise BadJwe
    if len(parts[0]) > _MAX_HEADER_CHARS:
        raise TooLarge
    header = parse_json_object(decode_base64url(parts[0]))
    encrypted_key, iv, _, tag = (decode_base64url(part) for part in parts[1:])
    _verify_header(header)
    # RFC 7518, sections 4.6 and 5.3: an agreed key is not sent, and AES-GCM has one length of each of the others.
    if encrypted_key or len(iv) != _IV_BYTES or len(tag) != _TAG_BYTES:
        raise BadJwe
    key = next((each for each in keys if each.public.kid == header["kid"]), None)
    if key is None:
        raise JweKeyMismatch
    try:
        plaintext = jwe.decrypt_compact(compact, key._key, algorithms=[ALG, *ENCRYPTIONS]).plaintext
    except (JoseError, ValueError, TypeError):
        raise NotDecrypted from None
    return cast(bytes, plaintext)


def _verify_header(header: JsonObject) -> None:
    if header.get("alg") != ALG or header.get("enc") not in ENCRYPTIONS:
        raise JweNotAllowed
    if not _ALLOWED_HEADERS.issuperset(header) or not _REQUIRED_HEADERS.issubset(header):
        raise JweNotAllowed
    # A wallet may call its claims a JWT, but what is within must be the answer itself and not another token.
    if header.get("typ", "JWT") != "JWT" or header.get("cty", "json") != "json":
        raise JweNotAllowed
    for name in ("apu", "apv"):
        info = header.get(name, "")
        if not isinstance(info, str) or len(info) > _MAX_PARTY_INFO_CHARS:
            raise JweNotAllowed
        decode_base64url(info)
    epk = header["epk"]
    if not isinstance(epk, dict) or epk.keys() != _KEY_MEMBERS:
        raise JweNotAllowed
    try:
        _verify_point(epk)
    except IdentityError:
        raise JweNotAllowed from None


def _verify_point(jwk: JsonObject) -> tuple[str, str]:
    """The coordinates of a JWK that is a point of P-256, spelt as they stand; raises BadKey."""
    x, y = jwk.get("x"), jwk.get("y")
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or not isinstance(x, str) or not isinstance(y, str):
        raise BadKey
    if len(x) != 43 or len(y) != 43:  # 32 bytes in base64url
        raise BadKey
    p256_public_key(b"\x04" + decode_base64url(x) + decode_base64url(y))
    return x, y
