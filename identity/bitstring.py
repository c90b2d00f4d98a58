"""Bitstring Status List v1.0 (W3C Recommendation, 2025): the entry in a credential, and the bits that it points into.

The list itself is a credential, which `identity.bitstring_list` verifies.
"""

import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from identity.encoding import JsonObject, JsonValue, decode_base64url, encode_base64url, is_url
from identity.errors import (
    BadBase64,
    BadStatusIndex,
    BadStatusList,
    CannotIssue,
    StatusEntryInvalid,
    StatusListTooLarge,
    StatusListTooShort,
    UnsupportedStatus,
)

StatusPurpose = Literal["revocation", "suspension"]

BITSTRING_ENTRY_TYPE = "BitstringStatusListEntry"
MIN_BITSTRING_BYTES = 16 * 1024
MAX_BITSTRING_BYTES = 16 * 1024 * 1024

_PURPOSES = frozenset(get_args(StatusPurpose))
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, kw_only=True)
class BitstringReference:
    """One entry of a credential's `credentialStatus` (section 2.1): a bit of the list at `uri`, for one purpose."""

    uri: str
    index: int
    purpose: StatusPurpose

    def to_entry(self) -> JsonObject:
        """The value of `credentialStatus`, or one of its values."""
        return {
            "type": BITSTRING_ENTRY_TYPE,
            "statusPurpose": self.purpose,
            "statusListIndex": str(self.index),
            "statusListCredential": self.uri,
        }


def parse_status_entry(entry: JsonObject) -> BitstringReference:
    """Read one value of `credentialStatus`.

    Raises StatusEntryInvalid (no type, an id that is no URL), BadStatusIndex, and UnsupportedStatus for another
    mechanism (StatusList2021Entry among them), for the purposes `refresh` and `message`, which no score can rest on,
    and for statuses of more than one bit.
    """
    kind = entry.get("type")
    if not isinstance(kind, str) or ("id" in entry and not is_url(entry["id"])):
        raise StatusEntryInvalid
    if kind != BITSTRING_ENTRY_TYPE:
        raise UnsupportedStatus
    required = {"type", "statusPurpose", "statusListIndex", "statusListCredential"}
    if not required <= entry.keys() <= required | {"id", "statusSize"}:
        raise StatusEntryInvalid
    purpose, size = entry["statusPurpose"], entry.get("statusSize", 1)
    if not isinstance(purpose, str) or purpose not in _PURPOSES or isinstance(size, bool) or size != 1:
        raise UnsupportedStatus
    index, uri = entry["statusListIndex"], entry["statusListCredential"]
    if not isinstance(index, str) or not _INDEX.fullmatch(index):
        raise BadStatusIndex
    if not is_url(uri):
        raise StatusEntryInvalid
    return BitstringReference(uri=str(uri), index=int(index), purpose=cast(StatusPurpose, purpose))


def expand_bitstring(encoded: JsonValue) -> bytes:
    """The bits of an `encodedList`: multibase base64url ("u") of a gzip stream (section 3.4).

    Raises BadStatusList, StatusListTooLarge (inflates to more than 16 MiB), StatusListTooShort (under 16 KiB, which
    would tell a list's owner whose status is asked).
    """
    if not isinstance(encoded, str) or not encoded.startswith("u"):
        raise BadStatusList
    inflater = zlib.decompressobj(wbits=_GZIP)
    try:
        bits = inflater.decompress(decode_base64url(encoded[1:]), MAX_BITSTRING_BYTES + 1)
    except (zlib.error, BadBase64):
        raise BadStatusList from None
    if len(bits) > MAX_BITSTRING_BYTES:
        raise StatusListTooLarge
    if not inflater.eof or inflater.unused_data:
        raise BadStatusList
    if len(bits) < MIN_BITSTRING_BYTES:
        raise StatusListTooShort
    return bits


def encode_bitstring(indices: Iterable[int], length: int) -> str:
    """The `encodedList` of `length` bits of which those at `indices` are set (section 3.3).

    Raises CannotIssue for an index outside the list, or fewer than 131,072 bits.
    """
    if length < MIN_BITSTRING_BYTES * 8 or length % 8:
        raise CannotIssue
    bits = bytearray(length // 8)
    for index in indices:
        if not 0 <= index < length:
            raise CannotIssue
        bits[index // 8] |= 0x80 >> index % 8  # the first index is the left-most bit (section 3.2)
    return "u" + encode_base64url(gzip.compress(bytes(bits), mtime=0))


def bit_at(bits: bytes, index: int) -> int:
    """The bit at an index, counted from the left-most of the first byte; raises BadStatusIndex outside the list."""
    byte, bit = divmod(index, 8)
    if index < 0 or byte >= len(bits):
        raise BadStatusIndex
    return bits[byte] >> 7 - bit & 1
