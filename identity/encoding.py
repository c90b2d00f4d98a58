"""Bytes to text and back, in the one spelling each value has: strict base64url and strict JSON."""

import binascii
import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from identity.errors import BadBase64, BadJson, JsonDepth, JsonDuplicateKey, JsonNumber

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_JSON_DEPTH = 32
MAX_INTEGER_DIGITS = 20

MAX_URL_CHARS = 2048

# An absolute URL or URN: a scheme, and after it nothing that RFC 3986 does not allow.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# The characters of standard base64 and its padding become one that no alphabet has.
_FROM_URL_SAFE = bytes.maketrans(b"-_+/=", b"+/!!!")
# By length modulo 4: the characters that can stand last without leaving bits over; after 1 none can.
_LAST_CHARACTERS = ("", "", "AQgw", "AEIMQUYcgkosw048")

# A string (terminated or not, so that the scan stays linear on hostile text) or one bracket.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def encode_base64url(data: bytes) -> str:
    """Spell bytes as base64url without padding (RFC 7515 section 2)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL_SAFE).decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Read base64url and refuse every spelling but the canonical one: padding, other alphabets, trailing bits.

    Raises BadBase64.
    """
    incomplete = len(text) % 4
    if incomplete and text[-1] not in _LAST_CHARACTERS[incomplete]:
        raise BadBase64
    try:
        standard = text.encode("ascii").translate(_FROM_URL_SAFE)
        return binascii.a2b_base64(standard + b"==="[: -incomplete % 4], strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadBase64 from None


def is_url(value: JsonValue) -> bool:
    """Whether a value is an absolute URL or URN (RFC 3986) of at most 2048 characters."""
    return isinstance(value, str) and len(value) <= MAX_URL_CHARS and _URL.fullmatch(value) is not None


def parse_json(text: bytes | str, *, max_depth: int = MAX_JSON_DEPTH) -> JsonValue:
    """Read one JSON text (RFC 8259) and refuse what parsers disagree about.

    Raises JsonDuplicateKey, JsonNumber (NaN, Infinity, 1e400, over 20 digits), JsonDepth, or BadJson for the rest:
    not UTF-8, a byte order mark, a lone surrogate, anything after the value.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError:
            raise BadJson from None
    if text.count("[") + text.count("{") > max_depth:
        _check_depth(text, max_depth)
    try:
        value: JsonValue
        text = text.strip(" \t\n\r")
        value, end = _scan(text, 0)
        if end != len(text):
            raise BadJson
        if not text.isascii() or "\\u" in text:
            # Surrogates can stand in the text itself or be spelt as escapes; either way they cannot be encoded.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError, StopIteration):  # the last is how a scanner says that no value begins here
        raise BadJson from None
    return value


def parse_json_object(text: bytes | str) -> JsonObject:
    """Read one JSON text that is an object; raises as `parse_json`, and BadJson for any other type."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise BadJson
    return value


def encode_json(value: Any) -> bytes:
    """Write compact JSON in UTF-8, keeping the order of members; raises BadJson for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        raise BadJson from None


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in ("[", "{"):
            depth += 1
            if depth > max_depth:
                raise JsonDepth
        elif token in ("]", "}"):
            depth -= 1


def _object_without_duplicates(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonDuplicateKey
    return members


def _parse_integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS and len(digits.removeprefix("-")) > MAX_INTEGER_DIGITS:
        raise JsonNumber
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JsonNumber
    return number


def _refuse_constant(_name: str) -> NoReturn:
    raise JsonNumber


_scan: Callable[[str, int], tuple[JsonValue, int]] = json.JSONDecoder(
    object_pairs_hook=_object_without_duplicates,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=_refuse_constant,
).scan_once  # type: ignore[attr-defined]  # it is where `raw_decode` looks
