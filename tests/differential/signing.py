"""Keys and signatures that come out the same in every run, so that a seed names one corpus."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from identity.did import did_jwk, did_key
from identity.keys import PublicKey, parse_public_jwk

_ECDSA = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def spell(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def dump(value: Any) -> bytes:
    """Compact JSON, or text that stands for itself where a case needs a spelling that no encoder has."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key made from a small number; `alg` is the name that it signs under."""

    alg: str
    private: ec.EllipticCurvePrivateKey | Ed25519PrivateKey

    @property
    def jwk(self) -> dict[str, str]:
        if isinstance(self.private, Ed25519PrivateKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": spell(self.private.public_key().public_bytes_raw())}
        numbers = self.private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": spell(numbers.x.to_bytes(32)), "y": spell(numbers.y.to_bytes(32))}

    @property
    def public(self) -> PublicKey:
        return parse_public_jwk(self.jwk)

    @property
    def did_jwk(self) -> str:
        return did_jwk(self.public)

    @property
    def did_key(self) -> str:
        return did_key(self.public)

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(data)
        r, s = utils.decode_dss_signature(self.private.sign(data, _ECDSA))
        return r.to_bytes(32) + s.to_bytes(32)


def p256(number: int) -> Key:
    return Key(alg="ES256", private=ec.derive_private_key(number, ec.SECP256R1()))


def ed25519(number: int) -> Key:
    return Key(alg="EdDSA", private=Ed25519PrivateKey.from_private_bytes(number.to_bytes(32)))


def sign_compact(header: Any, payload: Any, key: Key) -> str:
    """A compact JWS over whatever is given as header and payload."""
    signing_input = f"{spell(dump(header))}.{spell(dump(payload))}"
    return f"{signing_input}.{spell(key.sign(signing_input.encode()))}"
