"""The resolver: from a DID to its document, and to the key that signed, with did:web behind a cache."""

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from identity.did import DidDocument, Relationship, resolve_did
from identity.did_web import MEDIA_TYPES, METHOD, did_web_url, parse_did_document
from identity.errors import (
    DidNotFound,
    DidUnavailable,
    FetchFailed,
    IdentityError,
    KeyAmbiguous,
    KeyNotForRelationship,
    UnknownKid,
    UrlNotFound,
)
from identity.keys import PublicKey
from identity.places import Places

if TYPE_CHECKING:  # a DID that is its own document needs no HTTP client
    from identity.fetch import GuardedFetcher

# The longest that a key which was taken out of a document still verifies.
_KEPT_MS = 300_000
# A document at least this old is fetched anew for a key that it lacks, so that a key which was added counts at once.
_RENEWABLE_AFTER_MS = 60_000
_REFUSAL_KEPT_MS = 5_000
_MAX_CACHED_DOCUMENTS = 1_024
# The most callers that wait for others' servers, in all and for one DID: whose servers are slow, by malice or not,
# gets no more of the service's threads.
_MOST_WAITING, _MOST_WAITING_FOR_ONE = 16, 8


@lru_cache(_MAX_CACHED_DOCUMENTS)
def _own_document(did: str) -> DidDocument:
    """The document of an issuer's DID that is its own, which never changes; of issuers, who are few and no persons."""
    return resolve_did(did)


class DidResolver:
    """Resolves DIDs; safe to share between threads. It reads no clock: `now_ms` is the caller's.

    Without a fetcher it knows only DIDs that are their own documents. Whoever asks has decided before that the DID
    may be fetched: a resolver trusts nobody. A document of did:web counts for five minutes; one fetch a DID at a time,
    and a refusal or failure is remembered for five seconds, so that a dead host is not waited for by everyone. When too
    many wait already, the next gets DidUnavailable at once.
    """

    def __init__(self, fetcher: "GuardedFetcher | None") -> None:
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._cache: dict[str, _CacheEntry] = {}
        self._places = Places(_MOST_WAITING)

    def resolve(self, did: str, *, now_ms: int) -> DidDocument:
        """The document of a DID.

        Raises as `resolve_did`, and for did:web DidUnavailable (retriable), DidNotFound, the leaves of FetchRefused,
        and as `did_web_url` and `parse_did_document`.
        """
        if self._fetcher is None or not did.startswith(METHOD):
            return resolve_did(did)
        return self._cached(self._fetcher, did, now_ms, lacking=None)

    def resolve_key(self, *, did: str, kid: str | None, relationship: Relationship, now_ms: int) -> PublicKey:
        """The key of `did` that `kid` names, or its only one for `relationship`, at `now_ms`.

        Raises as `resolve` and as `DidDocument.key`.
        """
        if relationship == "assertionMethod" and not did.startswith(METHOD):
            return _own_document(did).key(kid=kid, relationship=relationship, now_ms=now_ms)
        document = self.resolve(did, now_ms=now_ms)
        try:
            return document.key(kid=kid, relationship=relationship, now_ms=now_ms)
        except (UnknownKid, KeyAmbiguous, KeyNotForRelationship):
            if self._fetcher is None or not did.startswith(METHOD):
                raise
            newer = self._cached(self._fetcher, did, now_ms, lacking=document)
            return newer.key(kid=kid, relationship=relationship, now_ms=now_ms)

    def _cached(self, fetcher: "GuardedFetcher", did: str, now_ms: int, *, lacking: DidDocument | None) -> DidDocument:
        """The document of a did:web, newer than the one that was found `lacking` unless that is hardly a minute old."""
        url = did_web_url(did, allow_http_origins=fetcher.allow_http_origins)
        with self._lock:
            entry = self._cache.setdefault(did, _CacheEntry())
        fetched = entry.fetched
        if fetched is not None and fetched.answers(now_ms, lacking):
            return fetched.document
        # One fetch a DID at a time; the others wait for its outcome, if they are not too many.
        with self._places.take(DidUnavailable), entry.places.take(DidUnavailable), entry.lock:
            if entry.fetched is not None and entry.fetched.answers(now_ms, lacking):
                return entry.fetched.document
            if entry.refusal is not None and abs(now_ms - entry.refused_at_ms) < _REFUSAL_KEPT_MS:
                raise entry.refusal()
            try:
                entry.fetched = _Fetched(document=_fetch_document(fetcher, url, did), fetched_at_ms=now_ms)
            except IdentityError as error:
                entry.refusal, entry.refused_at_ms = type(error), now_ms
                if not error.retriable:  # what was said before counts no more
                    entry.fetched = None
                raise
            finally:
                self._evict()
            entry.refusal = None
            return entry.fetched.document

    def _evict(self) -> None:
        """Forget the oldest documents beyond the bound; an entry in use lives on with whoever uses it."""
        with self._lock:
            for did in list(self._cache)[: max(0, len(self._cache) - _MAX_CACHED_DOCUMENTS)]:
                del self._cache[did]


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    document: DidDocument
    fetched_at_ms: int

    def answers(self, now_ms: int, lacking: DidDocument | None) -> bool:
        """Whether it counts at `now_ms`, for one who found the document `lacking` wanting."""
        kept_ms = _RENEWABLE_AFTER_MS if self.document is lacking else _KEPT_MS
        # A caller's `now` may lie a little before the fetch that another caller made.
        return self.fetched_at_ms - _REFUSAL_KEPT_MS <= now_ms < self.fetched_at_ms + kept_ms


@dataclass(kw_only=True)
class _CacheEntry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    places: Places = field(default_factory=lambda: Places(_MOST_WAITING_FOR_ONE))
    fetched: _Fetched | None = None
    refusal: type[IdentityError] | None = None
    refused_at_ms: int = 0


def _fetch_document(fetcher: "GuardedFetcher", url: str, did: str) -> DidDocument:
    try:
        body = fetcher.fetch(url, MEDIA_TYPES)
    except UrlNotFound:
        raise DidNotFound from None  # how a did:web is deactivated: its document is taken away
    except FetchFailed:
        raise DidUnavailable from None
    return parse_did_document(body, did=did)
