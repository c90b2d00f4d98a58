"""Multikeys: a public key with the codec that says its kind, in multibase (CID 1.0 sections 2.2.2 and 2.4)."""

from identity.encoding import decode_base64url
from identity.errors import BadBase64, BadKey, BadMultibase, KeyNotSupported
from identity.keys import PublicKey, ed25519_public_key, p256_public_key

# Base58 decoding is quadratic, so its input is bounded before it is looked at.
MAX_MULTIKEY_CHARS = 128

_BASE58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUES = {character: value for value, character in enumerate(_BASE58_ALPHABET)}
# Multicodec codes as unsigned varints: ed25519-pub 0xed, p256-pub 0x1200.
_ED25519_CODEC = b"\xed\x01"
_P256_CODEC = b"\x80\x24"
# Codecs of public keys that others use, so that they can be told from nonsense: secp256k1-pub 0xe7, BLS12-381 0xea,
# 0xeb and 0xee, x25519-pub 0xec, p384-pub 0x1201, p521-pub 0x1202, x448-pub 0x1204, rsa-pub 0x1205, ed448-pub 0x1203.
_OTHER_CODECS = frozenset(
    {b"\xe7\x01", b"\xea\x01", b"\xeb\x01", b"\xee\x01", b"\xec\x01"}
    | {b"\x81\x24", b"\x82\x24", b"\x83\x24", b"\x84\x24", b"\x85\x24"}
)


def encode_base58(data: bytes) -> str:
    """Spell bytes in the base58 of Bitcoin (CID 1.0 section 3.1), a "1" for each leading zero byte."""
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58_ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def decode_base58(text: str, *, max_chars: int) -> bytes:
    """Read base58, of which each value has one spelling; raises BadMultibase for another character or more of them."""
    if len(text) > max_chars:
        raise BadMultibase
    number = 0
    for character in text:
        value = _BASE58_VALUES.get(character)
        if value is None:
            raise BadMultibase
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def decode_multibase(text: str, *, max_chars: int) -> bytes:
    """Read multibase in base58btc ("z") or base64url ("u"), `max_chars` with that letter; raises BadMultibase."""
    if len(text) > max_chars:
        raise BadMultibase
    match text[:1]:
        case "z":
            return decode_base58(text[1:], max_chars=max_chars)
        case "u":
            try:
                return decode_base64url(text[1:])
            except BadBase64:
                raise BadMultibase from None
        case _:
            raise BadMultibase


def encode_multikey(key: PublicKey) -> str:
    """The Multikey of a public key in base58btc, a point of P-256 compressed."""
    if key.alg == "EdDSA":
        return "z" + encode_base58(_ED25519_CODEC + key.point)
    x, y = key.point[:32], key.point[32:]
    return "z" + encode_base58(_P256_CODEC + bytes([2 + (y[-1] & 1)]) + x)


def parse_multikey(text: str) -> PublicKey:
    """Read a Multikey of Ed25519 or P-256.

    Raises BadMultibase (also when it is too long), KeyNotSupported for a codec of another kind of public key, BadKey
    for any other codec, an uncompressed point, and what is not on its curve.
    """
    data = decode_multibase(text, max_chars=MAX_MULTIKEY_CHARS)
    codec, raw = data[:2], data[2:]
    if codec == _ED25519_CODEC:
        return ed25519_public_key(raw)
    if codec == _P256_CODEC and len(raw) == 33:
        return p256_public_key(raw)
    raise KeyNotSupported if codec in _OTHER_CODECS else BadKey
