"""Token Status List (draft-ietf-oauth-status-list) in JWT form: publish and verify; and the check of any status."""

import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from identity.bitstring import BitstringReference, StatusPurpose
from identity.bitstring_list import BITSTRING_MEDIA_TYPES, BitstringList, verify_bitstring_list
from identity.did_resolver import DidResolver
from identity.encoding import JsonObject, JsonValue, decode_base64url, encode_base64url, encode_json, parse_json_object
from identity.errors import (
    BadStatusIndex,
    BadStatusList,
    CannotIssue,
    FetchFailed,
    IdentityError,
    IssuerKeyMismatch,
    MissingClaim,
    StatusListExpired,
    StatusListIssuerMismatch,
    StatusListSubjectMismatch,
    StatusListTooLarge,
    StatusPurposeMismatch,
    StatusUnavailable,
    UnknownStatusValue,
    UnsupportedStatus,
    WrongTyp,
)
from identity.jws import parse_jws, sign_jws, verify_jws
from identity.jwt import check_times, time_claim_ms
from identity.keys import SigningKey
from identity.linked_data.workers import LinkedDataWorkers
from identity.places import Places

if TYPE_CHECKING:  # verifying a list needs no HTTP client
    from identity.fetch import GuardedFetcher

Status = Literal["valid", "invalid", "suspended"]

STATUS_LIST_TYP = "statuslist+jwt"
STATUS_LIST_MEDIA_TYPE = "application/statuslist+jwt"
MAX_TOKEN_CHARS = 4 * 1024 * 1024
MAX_INFLATED_BYTES = 16 * 1024 * 1024
MAX_URI_CHARS = 2048

STATUS_VALUES: dict[int, Status] = {0: "valid", 1: "invalid", 2: "suspended"}  # section 7.1
_FLAG_VALUES: dict[StatusPurpose, Status] = {"revocation": "invalid", "suspension": "suspended"}
_DEFAULT_TTL_S = 300
_MAX_AGE_S = 86_400
_REFUSAL_KEPT_MS = 5_000
_MAX_CACHED_LISTS = 1_024
_MAX_CACHED_BYTES = 64 * 1024 * 1024
# The most callers that wait for others' servers, in all and for one list: whose servers are slow, by malice or not,
# gets no more of the service's threads.
_MOST_WAITING, _MOST_WAITING_FOR_ONE = 16, 8


@dataclass(frozen=True, kw_only=True)
class StatusReference:
    """Where a credential's status stands: an index of the list at `uri`."""

    uri: str
    index: int

    def to_claim(self) -> JsonValue:
        """The value of the credential's `status` claim."""
        return {"status_list": {"idx": self.index, "uri": self.uri}}


@dataclass(frozen=True, kw_only=True)
class StatusList:
    """A verified status list; `packed` holds `bits` bits a status, the first in the lowest bits of the first byte.

    It may not be relied on from `expires_at_ms` on: its `exp`, or a day after it was issued where it names no end.
    """

    bits: int
    packed: bytes = field(repr=False)
    issued_at_ms: int
    expires_at_ms: int
    ttl_s: int | None

    def status(self, index: int) -> int:
        """The status value at an index; raises BadStatusIndex outside the list."""
        byte, bit = divmod(index * self.bits, 8)
        if index < 0 or byte >= len(self.packed):
            raise BadStatusIndex
        return self.packed[byte] >> bit & (1 << self.bits) - 1

    @property
    def size_bytes(self) -> int:
        """What it takes to keep it."""
        return len(self.packed)

    @property
    def statuses(self) -> bytes:
        """Every status of the list, one a byte, as `issue_status_list` takes them."""
        return bytes(self.status(index) for index in range(len(self.packed) * 8 // self.bits))


@dataclass(frozen=True, kw_only=True)
class CheckedStatus:
    """A credential's status, and when the list that says so was fetched."""

    status: Status
    checked_at_ms: int


def parse_status_reference(value: JsonValue) -> StatusReference:
    """Read a credential's `status` claim; raises UnsupportedStatus (any other mechanism) or BadStatusIndex."""
    if not isinstance(value, dict) or value.keys() != {"status_list"}:
        raise UnsupportedStatus
    reference = value["status_list"]
    if not isinstance(reference, dict) or reference.keys() != {"idx", "uri"}:
        raise UnsupportedStatus
    index, uri = reference["idx"], reference["uri"]
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise BadStatusIndex
    if not isinstance(uri, str) or not 0 < len(uri) <= MAX_URI_CHARS:
        raise UnsupportedStatus
    return StatusReference(uri=uri, index=index)


def pack_statuses(statuses: bytes, bits: int) -> bytes:
    """Pack one status a byte into `bits` (1, 2, 4 or 8) bits a status (section 4.1); raises CannotIssue."""
    if bits not in (1, 2, 4, 8) or max(statuses, default=0) >= 1 << bits:
        raise CannotIssue
    a_byte = 8 // bits
    length = -(-len(statuses) // a_byte)
    padded = statuses.ljust(length * a_byte, b"\0")
    packed = 0
    for place in range(a_byte):
        packed |= int.from_bytes(padded[place::a_byte], "little") << place * bits
    return packed.to_bytes(length, "little")


def issue_status_list(
    *, uri: str, statuses: bytes, bits: int, key: SigningKey, now_ms: int, ttl_s: int, expires_in_s: int
) -> str:
    """Sign a status list JWT for publication at `uri`; `statuses` is one status a byte, first index first."""
    compressed = zlib.compress(pack_statuses(statuses, bits), level=9)
    now_s = now_ms // 1000
    payload: JsonValue = {
        "iss": key.did,
        "sub": uri,
        "iat": now_s,
        "exp": now_s + expires_in_s,
        "ttl": ttl_s,
        "status_list": {"bits": bits, "lst": encode_base64url(compressed)},
    }
    return sign_jws({"typ": STATUS_LIST_TYP, "kid": key.kid}, encode_json(payload), key)


def verify_status_list(token: str, *, uri: str, issuer: str, dids: DidResolver, now_ms: int) -> StatusList:
    """Verify a status list JWT: signed by `issuer` (a DID, the credential's own), made for `uri`, in time.

    Raises StatusListIssuerMismatch, StatusListSubjectMismatch, StatusListExpired, StatusListTooLarge,
    BadStatusList, and as the parts do (JWS, DID, JSON, time).
    """
    jws = parse_jws(token, max_chars=MAX_TOKEN_CHARS)
    if jws.typ != STATUS_LIST_TYP:
        raise WrongTyp
    try:
        key = dids.resolve_key(did=issuer, kid=jws.kid, relationship="assertionMethod", now_ms=now_ms)
    except IssuerKeyMismatch:
        raise StatusListIssuerMismatch from None
    payload = parse_json_object(verify_jws(jws, key, typ=STATUS_LIST_TYP))
    if payload.get("iss", issuer) != issuer:
        raise StatusListIssuerMismatch
    if payload.get("sub") != uri:
        raise StatusListSubjectMismatch
    status_list = _read_list(payload)
    if now_ms >= status_list.expires_at_ms:  # to the second: a list lives long enough to be renewed
        raise StatusListExpired
    check_times(payload, now_ms)
    return status_list


def reopen_status_list(token: str, key: SigningKey) -> tuple[str, StatusList]:
    """The URI and the content of a list that `key` signed, whether or not its time is over: for its issuer to change.

    Raises WrongTyp, BadSignature, StatusListIssuerMismatch, StatusListSubjectMismatch, MissingClaim, BadStatusList, and
    as the parts do.
    """
    payload = parse_json_object(
        verify_jws(parse_jws(token, max_chars=MAX_TOKEN_CHARS), key.public, typ=STATUS_LIST_TYP)
    )
    if payload.get("iss", key.did) != key.did:
        raise StatusListIssuerMismatch
    uri = payload.get("sub")
    if not isinstance(uri, str):
        raise StatusListSubjectMismatch
    return uri, _read_list(payload)


AnyReference = StatusReference | BitstringReference


class StatusChecker:
    """Checks statuses against published lists, each fetched at most once a `ttl`; safe to share between threads.

    It fails closed: without a list that is verified and fresh it raises. It reads no clock: `now_ms` is the caller's.
    A refused or failed fetch is remembered for five seconds, so that a dead host is not waited for by everyone; when
    too many wait already, the next gets StatusUnavailable at once. Without `linked_data` a W3C list has to be a JWT.
    """

    def __init__(
        self, fetcher: "GuardedFetcher", dids: DidResolver, linked_data: LinkedDataWorkers | None = None
    ) -> None:
        self._fetcher = fetcher
        self._dids = dids
        self._linked_data = linked_data
        self._lock = threading.Lock()
        self._cache: dict[tuple[type[AnyReference], str, str], _CacheEntry] = {}
        self._places = Places(_MOST_WAITING)

    def check_status(self, reference: AnyReference, *, issuer: str, now_ms: int) -> CheckedStatus:
        """The status of a credential of `issuer` (a DID that the caller already trusts).

        Raises StatusUnavailable (retriable), UnknownStatusValue, BadStatusIndex, StatusPurposeMismatch, the leaves of
        FetchRefused, and as `verify_status_list` or `verify_bitstring_list`.
        """
        fresh = self._fresh_list(reference, issuer, now_ms)
        value = fresh.status_list.status(reference.index)
        if isinstance(reference, BitstringReference):
            if isinstance(fresh.status_list, BitstringList) and reference.purpose not in fresh.status_list.purposes:
                raise StatusPurposeMismatch
            status = _FLAG_VALUES[reference.purpose] if value else "valid"
            return CheckedStatus(status=status, checked_at_ms=fresh.fetched_at_ms)
        if value not in STATUS_VALUES:
            raise UnknownStatusValue
        return CheckedStatus(status=STATUS_VALUES[value], checked_at_ms=fresh.fetched_at_ms)

    def _fresh_list(self, reference: AnyReference, issuer: str, now_ms: int) -> "_FetchedList":
        with self._lock:
            entry = self._cache.setdefault((type(reference), reference.uri, issuer), _CacheEntry())
        fetched = entry.fetched
        if fetched is not None and fetched.is_fresh(now_ms):
            return fetched
        # One fetch a list at a time; the others wait for its outcome, if they are not too many.
        with self._places.take(StatusUnavailable), entry.places.take(StatusUnavailable), entry.lock:
            if entry.fetched is not None and entry.fetched.is_fresh(now_ms):
                return entry.fetched
            if entry.refusal is not None and abs(now_ms - entry.refused_at_ms) < _REFUSAL_KEPT_MS:
                raise entry.refusal()
            try:
                entry.fetched = self._fetch_list(reference, issuer, now_ms)
            except IdentityError as error:
                entry.fetched, entry.refusal, entry.refused_at_ms = None, type(error), now_ms
                raise
            finally:
                self._evict()
            entry.refusal = None
            return entry.fetched

    def _fetch_list(self, reference: AnyReference, issuer: str, now_ms: int) -> "_FetchedList":
        is_bitstring, uri = isinstance(reference, BitstringReference), reference.uri
        accept = BITSTRING_MEDIA_TYPES if is_bitstring else STATUS_LIST_MEDIA_TYPE
        try:
            body = self._fetcher.fetch(uri, accept, max_bytes=MAX_TOKEN_CHARS)
        except FetchFailed:
            raise StatusUnavailable from None
        try:
            token = body.decode("utf-8" if is_bitstring else "ascii")
        except UnicodeDecodeError:
            raise BadStatusList from None
        status_list: StatusList | BitstringList
        if is_bitstring:
            status_list = verify_bitstring_list(
                token, uri=uri, issuer=issuer, dids=self._dids, linked_data=self._linked_data, now_ms=now_ms
            )
        else:
            status_list = verify_status_list(token, uri=uri, issuer=issuer, dids=self._dids, now_ms=now_ms)
        cached_until_ms = now_ms + min(status_list.ttl_s or _DEFAULT_TTL_S, _MAX_AGE_S) * 1000
        fresh_until_ms = min(cached_until_ms, status_list.expires_at_ms)
        return _FetchedList(status_list=status_list, fetched_at_ms=now_ms, fresh_until_ms=fresh_until_ms)

    def _evict(self) -> None:
        """Forget the oldest lists beyond the bounds; an entry in use lives on with whoever uses it."""
        with self._lock:
            sizes = {key: entry.size_bytes for key, entry in self._cache.items()}
            total_bytes = sum(sizes.values())
            for key, size_bytes in sizes.items():
                if len(self._cache) <= _MAX_CACHED_LISTS and total_bytes <= _MAX_CACHED_BYTES:
                    break
                del self._cache[key]
                total_bytes -= size_bytes


@dataclass(frozen=True, kw_only=True)
class _FetchedList:
    status_list: StatusList | BitstringList
    fetched_at_ms: int
    fresh_until_ms: int

    def is_fresh(self, now_ms: int) -> bool:
        # A caller's `now` may lie a little before the fetch that another caller made.
        return self.fetched_at_ms - _REFUSAL_KEPT_MS <= now_ms < self.fresh_until_ms


@dataclass(kw_only=True)
class _CacheEntry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    places: Places = field(default_factory=lambda: Places(_MOST_WAITING_FOR_ONE))
    fetched: _FetchedList | None = None
    refusal: type[IdentityError] | None = None
    refused_at_ms: int = 0

    @property
    def size_bytes(self) -> int:
        fetched = self.fetched
        return 0 if fetched is None else fetched.status_list.size_bytes


def _read_list(payload: JsonObject) -> StatusList:
    issued_at_ms, expires_at_ms = time_claim_ms(payload, "iat"), time_claim_ms(payload, "exp")
    if issued_at_ms is None:
        raise MissingClaim
    if expires_at_ms is None:
        # Without any end, whoever serves the list could serve the one from before a revocation for ever.
        expires_at_ms = issued_at_ms + _MAX_AGE_S * 1000
    ttl_s = payload.get("ttl")
    if ttl_s is not None and (isinstance(ttl_s, bool) or not isinstance(ttl_s, int) or ttl_s <= 0):
        raise BadStatusList
    bits, packed = _unpack(payload.get("status_list"))
    return StatusList(bits=bits, packed=packed, issued_at_ms=issued_at_ms, expires_at_ms=expires_at_ms, ttl_s=ttl_s)


def _unpack(value: JsonValue) -> tuple[int, bytes]:
    if not isinstance(value, dict) or not {"bits", "lst"} <= value.keys() <= {"bits", "lst", "aggregation_uri"}:
        raise BadStatusList
    bits, compressed = value["bits"], value["lst"]
    if (
        isinstance(bits, bool)
        or bits not in (1, 2, 4, 8)
        or not isinstance(bits, int)
        or not isinstance(compressed, str)
    ):
        raise BadStatusList
    inflater = zlib.decompressobj()
    try:
        packed = inflater.decompress(decode_base64url(compressed), MAX_INFLATED_BYTES + 1)
    except zlib.error:
        raise BadStatusList from None
    if len(packed) > MAX_INFLATED_BYTES:
        raise StatusListTooLarge
    if not inflater.eof or inflater.unused_data:
        raise BadStatusList
    return bits, packed
