"""Issuer lists: who may issue which credential type, signed by somebody whose word a tenant takes.

A list is a compact JWS of the type `credence-issuer-list+jwt` (docs/trust-lists.md has its JSON Schema). Nothing that
it names is fetched when it is read: an issuer is looked up when a credential of its comes, and only then.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from identity.did_resolver import DidResolver
from identity.encoding import JsonObject, JsonValue, encode_json, parse_json_object
from identity.errors import (
    BadIssuerList,
    CannotIssue,
    IssuerKeyMismatch,
    IssuerListExpired,
    IssuerListRepeats,
    IssuerListSignerMismatch,
    IssuerListTooLong,
)
from identity.jws import parse_jws, sign_jws, verify_jws
from identity.jwt import SKEW_S, time_claim_ms
from identity.keys import SigningKey
from identity.trust import EVIDENCE_LEVELS, TRUSTED_DID, TrustedIssuer

ISSUER_LIST_TYP = "credence-issuer-list+jwt"
MAX_ISSUERS = 10_000
MAX_LIST_CHARS = 8 * 1024 * 1024
MAX_SEQUENCE = 2**53 - 1

_MEMBERS = {"iss", "iat", "exp", "sequence", "issuers"}
_ENTRY_MEMBERS = {"did", "vct", "valid_from", "valid_to", "evidence_level"}
_VCT = re.compile(r"[\x21-\x7e]{1,256}")
_DID = re.compile(TRUSTED_DID)


@dataclass(frozen=True, kw_only=True)
class IssuerList:
    """A verified issuer list; `sha256` is of the whole token, by which the same one is known again."""

    issuer: str
    issued_at_ms: int
    expires_at_ms: int
    sequence: int
    issuers: tuple[TrustedIssuer, ...] = field(repr=False)
    sha256: bytes


def sign_issuer_list(
    *, issuers: Sequence[TrustedIssuer], sequence: int, key: SigningKey, now_ms: int, expires_in_s: int
) -> str:
    """Sign a list under the key's DID; each list of a signer has a higher sequence than the one before.

    Times are cut to whole seconds. Raises CannotIssue for a sequence or a number of issuers out of bounds, and
    TrustPeriodEmpty, IssuerListRepeats or BadIssuerList for what nobody would take.
    """
    if not 0 <= sequence <= MAX_SEQUENCE or len(issuers) > MAX_ISSUERS or expires_in_s <= 0:
        raise CannotIssue
    entries: list[JsonValue] = [
        {
            "did": each.did,
            "vct": each.vct,
            "valid_from": each.valid_from_ms // 1000,
            "valid_to": None if each.valid_to_ms is None else each.valid_to_ms // 1000,
            "evidence_level": each.evidence_level,
        }
        for each in issuers
    ]
    _verify_unrepeated([_parse_entry(each, key.did) for each in entries])
    payload: JsonObject = {
        "iss": key.did,
        "iat": now_ms // 1000,
        "exp": now_ms // 1000 + expires_in_s,
        "sequence": sequence,
        "issuers": entries,
    }
    return sign_jws({"typ": ISSUER_LIST_TYP, "kid": key.kid}, encode_json(payload), key)


def peek_list_issuer(token: str) -> str:
    """Who an issuer list says that it is by; nothing is verified. Raises BadIssuerList and as `parse_jws` does."""
    issuer = parse_json_object(parse_jws(token, max_chars=MAX_LIST_CHARS).payload).get("iss")
    if not isinstance(issuer, str) or not _DID.fullmatch(issuer):
        raise BadIssuerList
    return issuer


def verify_issuer_list(token: str, *, signer: str, dids: DidResolver, now_ms: int) -> IssuerList:
    """Verify a list that `signer` signed, a DID that the caller already takes lists from.

    Raises IssuerListSignerMismatch, IssuerListExpired, IssuerListTooLong, IssuerListRepeats, TrustPeriodEmpty,
    BadIssuerList for any member that is missing, unknown or of another form, and as the parts do (JWS, DID, JSON).
    """
    jws = parse_jws(token, max_chars=MAX_LIST_CHARS)
    try:
        key = dids.resolve_key(did=signer, kid=jws.kid, relationship="assertionMethod", now_ms=now_ms)
    except IssuerKeyMismatch:
        raise IssuerListSignerMismatch from None
    payload = parse_json_object(verify_jws(jws, key, typ=ISSUER_LIST_TYP))
    if payload.keys() != _MEMBERS:
        raise BadIssuerList
    if payload["iss"] != signer:
        raise IssuerListSignerMismatch
    issued_at_ms, expires_at_ms = time_claim_ms(payload, "iat"), time_claim_ms(payload, "exp")
    assert issued_at_ms is not None
    assert expires_at_ms is not None
    if now_ms >= expires_at_ms or now_ms < issued_at_ms - SKEW_S * 1000:
        raise IssuerListExpired
    sequence, entries = payload["sequence"], payload["issuers"]
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence <= MAX_SEQUENCE:
        raise BadIssuerList
    if not isinstance(entries, list):
        raise BadIssuerList
    if len(entries) > MAX_ISSUERS:
        raise IssuerListTooLong
    issuers = tuple(_parse_entry(each, signer) for each in entries)
    _verify_unrepeated(issuers)
    return IssuerList(
        issuer=signer,
        issued_at_ms=issued_at_ms,
        expires_at_ms=expires_at_ms,
        sequence=sequence,
        issuers=issuers,
        sha256=hashlib.sha256(token.encode("ascii")).digest(),
    )


def _parse_entry(value: JsonValue, signer: str) -> TrustedIssuer:
    if not isinstance(value, dict) or value.keys() != _ENTRY_MEMBERS:
        raise BadIssuerList
    did, vct, evidence_level = value["did"], value["vct"], value["evidence_level"]
    if not isinstance(did, str) or not _DID.fullmatch(did) or not isinstance(vct, str) or not _VCT.fullmatch(vct):
        raise BadIssuerList
    if evidence_level not in EVIDENCE_LEVELS or not isinstance(evidence_level, str):
        raise BadIssuerList
    valid_from_ms = time_claim_ms(value, "valid_from")
    valid_to_ms = None if value["valid_to"] is None else time_claim_ms(value, "valid_to")
    assert valid_from_ms is not None
    issuer = TrustedIssuer(
        did=did,
        vct=vct,
        valid_from_ms=valid_from_ms,
        valid_to_ms=valid_to_ms,
        evidence_level=evidence_level,
        list_issuer=signer,
    )
    issuer.verify_period()
    return issuer


def _verify_unrepeated(issuers: Sequence[TrustedIssuer]) -> None:
    """Raises IssuerListRepeats: two entries that hold at once could say different things."""
    ordered = sorted(issuers, key=lambda each: (each.did, each.vct, each.valid_from_ms))
    for one, other in pairwise(ordered):
        if (one.did, one.vct) == (other.did, other.vct) and one.overlaps(other):
            raise IssuerListRepeats
