"""Bitstring Status List v1.0: the list as a credential, published as a JWT and verified in either securing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from identity.bitstring import StatusPurpose, bit_at, encode_bitstring, expand_bitstring
from identity.did_resolver import DidResolver
from identity.encoding import JsonObject, JsonValue, parse_json_object
from identity.errors import (
    BadStatusList,
    Expired,
    IssuerKeyMismatch,
    MissingClaim,
    StatusListExpired,
    StatusListIssuerMismatch,
    StatusListSubjectMismatch,
    UnsupportedSuite,
)
from identity.keys import PublicKey, SigningKey
from identity.ldp_vc import verify_credential_object
from identity.linked_data.workers import LinkedDataWorkers
from identity.vc_jwt import sign_credential_jwt, verify_credential_jwt
from identity.vcdm import CONTEXT_V2, IssuerKeyFor, VerifiedW3cCredential, W3cCredential, format_date_time

BITSTRING_JWT_MEDIA_TYPE = "application/vc+jwt"
BITSTRING_MEDIA_TYPES = f"{BITSTRING_JWT_MEDIA_TYPE}, application/vc"
MAX_LIST_CHARS = 4 * 1024 * 1024
MAX_AGE_S = 86_400

_LIST_TYPES = frozenset({"VerifiableCredential", "BitstringStatusListCredential"})
_MAX_PURPOSES = 8


@dataclass(frozen=True, kw_only=True)
class BitstringList:
    """A verified list: a bit a credential, the first the left-most, for each of `purposes`.

    It may not be relied on from `expires_at_ms` on: its `validUntil` or `exp`, or a day after its `validFrom` where it
    names no end.
    """

    bits: bytes = field(repr=False)
    purposes: frozenset[str]
    expires_at_ms: int
    ttl_s: int | None

    def status(self, index: int) -> int:
        """The bit at an index; raises BadStatusIndex outside the list."""
        return bit_at(self.bits, index)

    @property
    def size_bytes(self) -> int:
        """What it takes to keep it."""
        return len(self.bits)


def issue_bitstring_status_list(
    *,
    uri: str,
    indices: Iterable[int],
    length: int,
    purpose: StatusPurpose,
    key: SigningKey,
    now_ms: int,
    ttl_s: int,
    expires_in_s: int,
) -> str:
    """Sign a BitstringStatusListCredential for publication at `uri`, as a JWT (VC-JOSE-COSE 1.0, section 3.1.1).

    `indices` are those whose bit is set, of `length` in all. Raises CannotIssue for an index outside the list, or a
    list of fewer than 131,072, which would tell too much of whose it is (section 4.1).
    """
    document: JsonObject = {
        "@context": [CONTEXT_V2],
        "id": uri,
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": key.did,
        "validFrom": format_date_time(now_ms),
        "validUntil": format_date_time(now_ms + expires_in_s * 1000),
        "credentialSubject": {
            "id": f"{uri}#list",
            "type": "BitstringStatusList",
            "statusPurpose": purpose,
            "encodedList": encode_bitstring(indices, length),
            "ttl": ttl_s * 1000,
        },
    }
    return sign_credential_jwt(document, key, kid=key.kid)


def verify_bitstring_list(
    published: str, *, uri: str, issuer: str, dids: DidResolver, linked_data: LinkedDataWorkers | None, now_ms: int
) -> BitstringList:
    """Verify a list as it was fetched from `uri`: signed by `issuer` (a DID, the credential's own), for `uri`, in time.

    Without `linked_data` only a JWT is verified. Raises StatusListIssuerMismatch, StatusListSubjectMismatch,
    StatusListExpired, BadStatusList, MissingClaim, UnsupportedSuite, and as `expand_bitstring` and credentials do.
    """

    def issuer_key_for(credential: W3cCredential, kid: str | None) -> PublicKey:
        if credential.issuer != issuer:
            raise StatusListIssuerMismatch
        try:
            return dids.resolve_key(did=issuer, kid=kid, relationship="assertionMethod", now_ms=now_ms)
        except IssuerKeyMismatch:
            raise StatusListIssuerMismatch from None

    try:
        verified = _verify_secured(published, issuer_key_for, linked_data, now_ms)
    except Expired:
        raise StatusListExpired from None
    credential = verified.credential
    if credential.types != _LIST_TYPES:
        raise BadStatusList
    if credential.id != uri:
        raise StatusListSubjectMismatch
    expires_at_ms = verified.expires_at_ms
    if expires_at_ms is None:
        if credential.valid_from_ms is None:
            raise MissingClaim
        # Without any end, whoever serves the list could serve the one from before a revocation for ever.
        expires_at_ms = credential.valid_from_ms + MAX_AGE_S * 1000
    if now_ms >= expires_at_ms:  # to the second: a list lives long enough to be renewed
        raise StatusListExpired
    return _parse_list(credential.claims, expires_at_ms)


def _verify_secured(
    published: str,
    issuer_key_for: IssuerKeyFor,
    linked_data: LinkedDataWorkers | None,
    now_ms: int,
) -> VerifiedW3cCredential:
    if not published.lstrip(" \t\n\r").startswith("{"):
        return verify_credential_jwt(
            published, issuer_key_for=issuer_key_for, now_ms=now_ms, version="2.0", max_chars=MAX_LIST_CHARS
        )
    if linked_data is None:
        raise UnsupportedSuite
    return verify_credential_object(
        parse_json_object(published),
        issuer_key_for=issuer_key_for,
        linked_data=linked_data,
        now_ms=now_ms,
        max_bytes=MAX_LIST_CHARS,
    )


def _parse_list(subject: JsonObject, expires_at_ms: int) -> BitstringList:
    required = {"type", "statusPurpose", "encodedList"}
    if not required <= subject.keys() <= required | {"ttl"} or subject["type"] != "BitstringStatusList":
        raise BadStatusList
    purpose, ttl_ms = subject["statusPurpose"], subject.get("ttl")
    listed: Sequence[JsonValue] = purpose if isinstance(purpose, list) else [purpose]
    purposes = [each for each in listed if isinstance(each, str)]
    if not 1 <= len(listed) <= _MAX_PURPOSES or len(purposes) != len(listed):
        raise BadStatusList
    if ttl_ms is not None and (isinstance(ttl_ms, bool) or not isinstance(ttl_ms, int) or ttl_ms < 0):
        raise BadStatusList
    return BitstringList(
        bits=expand_bitstring(subject["encodedList"]),
        purposes=frozenset(purposes),
        expires_at_ms=expires_at_ms,
        # What should not be kept is kept for a second, or everyone who comes at once would fetch it one by one.
        ttl_s=None if ttl_ms is None else max(1, ttl_ms // 1000),
    )
