"""JWS compact serialization (RFC 7515) with an allow-list for everything that a header may say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from identity.encoding import JsonObject, JsonValue, decode_base64url, encode_base64url, encode_json, parse_json_object
from identity.errors import (
    AlgKeyMismatch,
    AlgNotAllowed,
    BadJws,
    BadKid,
    HeaderNotAllowed,
    KeySourceNotAllowed,
    TooLarge,
    UnsupportedCrit,
    WrongTyp,
)
from identity.keys import ALGORITHMS, Algorithm, PublicKey, SigningKey

MAX_JWS_CHARS = 65_536

_ALLOWED_HEADERS = {"alg", "typ", "kid"}
_KEY_SOURCES = {"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"}
# The characters of DID URLs that we can resolve: no slash, no space, no quote, no percent but in the colon of a port.
_KID = re.compile(r"(?!.{2049})(?:[A-Za-z0-9._:#~=-]++|%3A)+")


@dataclass(frozen=True, kw_only=True)
class ParsedJws:
    """A JWS taken apart and NOT yet verified; `alg` is "EdDSA" under either of its names."""

    alg: Algorithm
    typ: str | None
    cty: str | None
    kid: str | None
    payload: bytes
    signing_input: bytes
    signature: bytes
    jwk: JsonObject | None = None
    x5c: JsonValue = None

    @property
    def header(self) -> JsonObject:
        """The protected header: all that the allow-list lets through."""
        header: JsonObject = {"alg": self.alg, "typ": self.typ, "cty": self.cty, "kid": self.kid}
        return {name: value for name, value in header.items() if value is not None}


def sign_jws(header: Mapping[str, JsonValue], payload: bytes, key: SigningKey) -> str:
    """Sign a payload; `alg` is put into the header from the key."""
    protected = encode_json({"alg": key.alg, **header})
    signing_input = encode_base64url(protected) + "." + encode_base64url(payload)
    return signing_input + "." + encode_base64url(key.sign(signing_input.encode("ascii")))


def parse_jws(
    compact: str,
    *,
    max_chars: int = MAX_JWS_CHARS,
    brings_key: bool = False,
    brings_certificate: bool = False,
    cty: str | None = None,
) -> ParsedJws:
    """Take a compact JWS apart without verifying it.

    With `cty` the header may say that its content is of that type, and of no other.
    `brings_key` lets `jwk` through, for proofs of possession, where the key is what is being proven and not trusted;
    `brings_certificate` lets `x5c` through, for request objects whose client identifier is a certificate's hash.
    Raises TooLarge, BadJws, BadBase64, the JSON errors, AlgNotAllowed, UnsupportedCrit (`crit`, `b64`),
    KeySourceNotAllowed (`jku`, `jwk`, `x5u`, `x5c`, thumbprints), BadKid, HeaderNotAllowed for any other parameter.
    """
    if len(compact) > max_chars:
        raise TooLarge
    parts = compact.split(".")
    if len(parts) != 3:
        raise BadJws
    header = parse_json_object(decode_base64url(parts[0]))
    alg, typ, kid = header.get("alg"), header.get("typ"), header.get("kid")
    if cty is not None and header.get("cty") == cty:
        del header["cty"]
    else:
        cty = None
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise AlgNotAllowed
    jwk = header.pop("jwk", None) if brings_key else None
    x5c = header.pop("x5c", None) if brings_certificate else None
    if not _ALLOWED_HEADERS.issuperset(header):
        if "crit" in header or "b64" in header:
            raise UnsupportedCrit
        raise HeaderNotAllowed if _KEY_SOURCES.isdisjoint(header) else KeySourceNotAllowed
    if "typ" in header and not isinstance(typ, str):
        raise HeaderNotAllowed
    if "kid" in header and not (isinstance(kid, str) and _KID.fullmatch(kid)):
        raise BadKid
    if not (jwk is None or isinstance(jwk, dict)):
        raise HeaderNotAllowed
    return ParsedJws(
        alg=ALGORITHMS[alg],
        typ=cast(str | None, typ),
        cty=cty,
        kid=cast(str | None, kid),
        payload=decode_base64url(parts[1]),
        # Both parts are ASCII: the decoder above has accepted them.
        signing_input=compact[: len(parts[0]) + 1 + len(parts[1])].encode("ascii"),
        signature=decode_base64url(parts[2]),
        jwk=jwk,
        x5c=x5c,
    )


def verify_jws(parsed: ParsedJws, key: PublicKey, *, typ: str | None) -> bytes:
    """Verify type, algorithm and signature and return the payload; `typ` None means that the header has none.

    The type must be spelt exactly so (RFC 8725 section 3.11). Raises WrongTyp, AlgKeyMismatch,
    BadSignatureEncoding, BadSignature.
    """
    if parsed.typ != typ:
        raise WrongTyp
    if parsed.alg != key.alg:
        raise AlgKeyMismatch
    key.verify(parsed.signature, parsed.signing_input)
    return parsed.payload
