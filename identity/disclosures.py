"""Disclosures and the digests that call for them (RFC 9901 sections 4 and 7.1); no signatures here."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Set

from identity.encoding import MAX_JSON_DEPTH, JsonObject, JsonValue, decode_base64url, encode_base64url, parse_json
from identity.errors import (
    BadDisclosure,
    BadSdPayload,
    ClaimCollision,
    DigestRepeated,
    DisclosureMisplaced,
    DisclosureNotReferenced,
    DisclosureTooLarge,
    DuplicateDisclosure,
    JsonDepth,
    ReservedClaimDisclosed,
    ReservedClaimName,
    SdAlgNotAllowed,
)

MAX_DISCLOSURE_CHARS = 65_536
SD_NAMES = frozenset({"_sd", "...", "_sd_alg"})

_CONTAINER_TYPES = frozenset({dict, list})


def digest_of(text: str) -> str:
    """The SHA-256 digest of an ASCII text in base64url: of a disclosure, or of a presentation for `sd_hash`."""
    return encode_base64url(hashlib.sha256(text.encode("ascii")).digest())


def parse_disclosure(disclosure: str) -> list[JsonValue]:
    """Read [salt, name, value] or, for an array element, [salt, value]; raises BadDisclosure, DisclosureTooLarge."""
    if len(disclosure) > MAX_DISCLOSURE_CHARS:
        raise DisclosureTooLarge
    parts = parse_json(decode_base64url(disclosure))
    if not isinstance(parts, list) or len(parts) not in (2, 3) or not isinstance(parts[0], str):
        raise BadDisclosure
    if len(parts) == 3 and not isinstance(parts[1], str):
        raise BadDisclosure
    return parts


def disclose_claims(
    payload: JsonObject, disclosures: Iterable[str], *, reserved: Set[str] = frozenset()
) -> tuple[JsonObject, tuple[str, ...]]:
    """Put each disclosure in the one place that its digest marks, however deep (RFC 9901 section 7.1).

    Returns the processed payload and the names of the top-level claims that came by disclosure; none of them may be
    one of `reserved`. Raises SdAlgNotAllowed, DuplicateDisclosure, DisclosureNotReferenced, DigestRepeated,
    DisclosureMisplaced, ReservedClaimName, ReservedClaimDisclosed, ClaimCollision, BadSdPayload, JsonDepth, and as
    `parse_disclosure`.
    """
    if payload.get("_sd_alg", "sha-256") != "sha-256":
        raise SdAlgNotAllowed
    pending: dict[str, list[JsonValue]] = {}
    for disclosure in disclosures:
        digest = digest_of(disclosure)
        if digest in pending:
            raise DuplicateDisclosure
        pending[digest] = parse_disclosure(disclosure)
    plain = {name: value for name, value in payload.items() if name != "_sd_alg"}
    claims = _Discloser(pending, reserved).disclose_object(plain, depth=1)
    if pending:
        raise DisclosureNotReferenced
    return claims, tuple(name for name in claims if name not in payload)


def find_nested(value: JsonValue, parsed: dict[str, list[JsonValue]]) -> set[str]:
    """The digests within a value for which `parsed` has a disclosure, and within those disclosures, and so on."""
    found: set[str] = set()
    unvisited = [value]
    while unvisited:
        for digest in _digests_in(unvisited.pop()):
            if digest in parsed and digest not in found:
                found.add(digest)
                unvisited.append(parsed[digest][-1])
    return found


class _Discloser:
    """One walk through a payload; takes each disclosure out of `pending` when it has found its place."""

    def __init__(self, pending: dict[str, list[JsonValue]], reserved: Set[str]) -> None:
        self._pending = pending
        self._reserved = reserved
        self._seen: set[str] = set()

    def disclose_object(self, value: JsonObject, depth: int) -> JsonObject:
        if depth > MAX_JSON_DEPTH:  # disclosures within disclosures could nest deeper than any one JSON text may
            raise JsonDepth
        if "..." in value or "_sd_alg" in value:
            raise BadSdPayload
        claims: JsonObject = {}
        for name, member in value.items():
            if name != "_sd":
                claims[name] = self._disclose(member, depth + 1)
        if "_sd" not in value:
            return claims
        digests = value["_sd"]
        if not isinstance(digests, list):
            raise BadSdPayload
        for digest in digests:
            parts = self._take(digest)
            if parts is None:
                continue
            if len(parts) != 3:
                raise DisclosureMisplaced
            name = str(parts[1])
            if name in SD_NAMES:
                raise ReservedClaimName
            if depth == 1 and name in self._reserved:
                raise ReservedClaimDisclosed
            if name in claims:
                raise ClaimCollision
            claims[name] = self._disclose(parts[2], depth + 1)
        return claims

    def _disclose_array(self, value: list[JsonValue], depth: int) -> list[JsonValue]:
        if depth > MAX_JSON_DEPTH:
            raise JsonDepth
        if _CONTAINER_TYPES.isdisjoint(map(type, value)):  # most arrays are of numbers, a month each
            return value
        elements: list[JsonValue] = []
        for element in value:
            if isinstance(element, dict) and "..." in element:
                if len(element) != 1:
                    raise BadSdPayload
                parts = self._take(element["..."])
                if parts is None:
                    continue
                if len(parts) != 2:
                    raise DisclosureMisplaced
                element = parts[1]
            elements.append(self._disclose(element, depth + 1))
        return elements

    def _disclose(self, value: JsonValue, depth: int) -> JsonValue:
        if isinstance(value, dict):
            return self.disclose_object(value, depth)
        if isinstance(value, list):
            return self._disclose_array(value, depth)
        return value

    def _take(self, digest: JsonValue) -> list[JsonValue] | None:
        """The disclosure for a digest, or None for a decoy and for what the holder kept back."""
        if not isinstance(digest, str):
            raise BadSdPayload
        if digest in self._seen:
            raise DigestRepeated
        self._seen.add(digest)
        return self._pending.pop(digest, None)


def _digests_in(value: JsonValue) -> Iterator[str]:
    unvisited = [value]
    while unvisited:
        value = unvisited.pop()
        if isinstance(value, list):
            unvisited.extend(value)
        elif isinstance(value, dict):
            listed = value.get("_sd")
            digests: Collection[JsonValue] = listed if isinstance(listed, list) else ()
            yield from (digest for digest in (*digests, value.get("...")) if isinstance(digest, str))
            unvisited.extend(value.values())
