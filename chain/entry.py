"""Log entries: one canonical JSON text each, and the salted commitment that stands for it in the tree.

The tree holds the commitment only, so that erasing entry and salt leaves every proof valid and tells nobody anything.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn

import rfc8785

from chain.errors import BadSalt, EntryMembersWrong, EntryNotCanonical, EntryTooLarge, EntryValueRefused

JsonValue = str | int | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

ENTRY_VERSION = 1
SALT_BYTES = 32
MAX_ENTRY_TEXT_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
COMMITMENT_DOMAIN = b"credence/entry/v1\x00"

_TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII)
_MEMBERS = {"v", "type", "at", "tenant", "seq", "body"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One event of a tenant: its type, when (UTC milliseconds), whose, its gapless number there, and what happened."""

    type: str
    at_ms: int
    tenant: str
    seq: int
    body: Mapping[str, JsonValue]


def encode_entry(*, type: str, at_ms: int, tenant: str, seq: int, body: Mapping[str, JsonValue]) -> bytes:
    """The canonical JSON text (RFC 8785) of an entry `{v, type, at, tenant, seq, body}`, as UTF-8.

    Numbers are integers within 2^53, so that every reader sees the same ones. Raises EntryMembersWrong,
    EntryValueRefused or EntryTooLarge.
    """
    return _encode(
        {"v": ENTRY_VERSION, "type": type, "at": at_ms, "tenant": tenant, "seq": seq, "body": dict(body)},
    )


def parse_entry(entry: bytes) -> Entry:
    """The entry of a canonical text; raises what `encode_entry` does, and EntryNotCanonical for another spelling."""
    if len(entry) > MAX_ENTRY_TEXT_BYTES:
        raise EntryTooLarge
    try:
        value = json.loads(
            entry.decode(), parse_float=_refuse_number, parse_constant=_refuse_number, parse_int=_parse_integer
        )
    except (ValueError, RecursionError):
        raise EntryNotCanonical from None
    # Also refuses a member given twice: the second encoding holds it once.
    if _encode(value) != entry:
        raise EntryNotCanonical
    return Entry(type=value["type"], at_ms=value["at"], tenant=value["tenant"], seq=value["seq"], body=value["body"])


def commitment(entry: bytes, salt: bytes) -> bytes:
    """What the log holds of an entry: SHA-256("credence/entry/v1" || 0x00 || salt || entry); raises BadSalt."""
    if len(salt) != SALT_BYTES:
        raise BadSalt
    return sha256(COMMITMENT_DOMAIN + salt + entry).digest()


def _encode(value: object) -> bytes:
    _check_members(value)
    _check_value(value, depth=0)
    try:
        entry = rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise EntryValueRefused from None
    if len(entry) > MAX_ENTRY_TEXT_BYTES:
        raise EntryTooLarge
    return entry


def _check_members(value: object) -> None:
    if not isinstance(value, dict) or value.keys() != _MEMBERS or not isinstance(value["body"], dict):
        raise EntryMembersWrong
    if any(type(value[name]) is not int or value[name] < 0 for name in ("v", "at", "seq")) or value["v"] != 1:
        raise EntryMembersWrong
    if not isinstance(value["type"], str) or not _TYPE.fullmatch(value["type"]):
        raise EntryMembersWrong
    if not isinstance(value["tenant"], str) or not 0 < len(value["tenant"]) <= 128:
        raise EntryMembersWrong


def _check_value(value: object, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EntryTooLarge
    # The encoder itself refuses integers beyond 2^53 and lone surrogates.
    if value is None or type(value) in (str, bool, int):
        return
    if type(value) is list:
        for item in value:
            _check_value(item, depth=depth + 1)
    elif type(value) is dict:
        for name, member in value.items():
            if not isinstance(name, str):
                raise EntryValueRefused
            _check_value(member, depth=depth + 1)
    else:
        raise EntryValueRefused


def _refuse_number(_: str) -> NoReturn:
    raise EntryValueRefused


def _parse_integer(digits: str) -> int:
    if len(digits) > 17:
        raise EntryValueRefused
    return int(digits)
