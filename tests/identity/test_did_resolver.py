"""The resolver: keys of did:web over the cache, rotation, outages, and who is never asked."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from identity.did_resolver import DidResolver
from identity.errors import (
    AddressNotPublic,
    BadDid,
    BadDidDocument,
    DidDeactivated,
    DidDocumentMismatch,
    DidNotFound,
    DidUnavailable,
    DidWebPortNotAllowed,
    FetchFailed,
    FetchTimeout,
    IdentityError,
    IssuerKeyMismatch,
    KeyNotForRelationship,
    RedirectNotFollowed,
    ResponseTooLarge,
    UnknownKid,
    UrlNotAllowed,
    UrlNotFound,
    WrongContentType,
)
from identity.fetch import GuardedFetcher
from identity.keys import PublicKey, SigningKey

DID = "did:web:issuer.example"
URL = "https://issuer.example/.well-known/did.json"
NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000
OLD, NEW = SigningKey.generate(), SigningKey.generate("EdDSA")


class Documents(GuardedFetcher):
    """Answers from a function instead of the network, and writes down what was asked."""

    def __init__(self, answer: Callable[[str], bytes], **options: Any) -> None:
        super().__init__(**options)
        self.answer = answer
        self.fetched: list[str] = []

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        assert accept == "application/did, application/did+json, application/did+ld+json, application/json"
        assert max_bytes is None  # the fetcher's own 64 KB
        self.fetched.append(url)
        return self.answer(url)


def written(keys: Mapping[str, SigningKey], did: str = DID, **members: Any) -> bytes:
    methods = [
        {"id": f"{did}#{name}", "type": "JsonWebKey", "controller": did, "publicKeyJwk": key.public.jwk}
        for name, key in keys.items()
    ]
    document = {"id": did, "verificationMethod": methods, "assertionMethod": [each["id"] for each in methods]}
    return json.dumps({**document, **members}).encode()


def publish(keys: Mapping[str, SigningKey], **members: Any) -> Callable[[str], bytes]:
    return lambda _: written(keys, **members)


def failing(error: type[IdentityError]) -> Callable[[str], bytes]:
    def answer(_: str) -> bytes:
        raise error

    return answer


def key_of(dids: DidResolver, kid: str | None, *, now_ms: int = NOW_MS, did: str = DID) -> PublicKey:
    return dids.resolve_key(did=did, kid=kid, relationship="assertionMethod", now_ms=now_ms)


def test_a_did_web_is_resolved_to_its_keys() -> None:
    fetcher = Documents(publish({"old": OLD, "new": NEW}))
    dids = DidResolver(fetcher)
    assert key_of(dids, f"{DID}#old") == OLD.public
    assert key_of(dids, "#new") == NEW.public
    assert set(dids.resolve(DID, now_ms=NOW_MS).verification_methods) == {f"{DID}#old", f"{DID}#new"}
    assert fetcher.fetched == [URL]
    with pytest.raises(KeyNotForRelationship):
        dids.resolve_key(did=DID, kid="#old", relationship="authentication", now_ms=NOW_MS)


def test_dids_that_are_their_own_documents_are_never_fetched() -> None:
    fetcher = Documents(publish({}))
    assert key_of(DidResolver(fetcher), "#0", did=OLD.did) == OLD.public
    with pytest.raises(BadDid):
        DidResolver(fetcher).resolve("did:ion:EiA", now_ms=NOW_MS)
    assert fetcher.fetched == []


def test_a_development_origin_is_reached_over_http() -> None:
    did = "did:web:localhost%3A8443:bank"
    fetcher = Documents(lambda _: written({"k": OLD}, did), allow_http_origins=frozenset({"http://localhost:8443"}))
    assert key_of(DidResolver(fetcher), f"{did}#k", did=did) == OLD.public
    assert fetcher.fetched == ["http://localhost:8443/bank/did.json"]
    with pytest.raises(DidWebPortNotAllowed):
        key_of(DidResolver(Documents(publish({}))), None, did=did)


def test_a_did_that_names_no_place_is_neither_fetched_nor_remembered() -> None:
    fetcher = Documents(publish({}))
    dids = DidResolver(fetcher)
    for number in range(20):
        with pytest.raises(IdentityError):
            dids.resolve(f"did:web:10.0.0.{number}", now_ms=NOW_MS)
    assert fetcher.fetched == []
    assert dids._cache == {}


# Rotation


def test_a_document_counts_for_five_minutes() -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    for elapsed_ms, fetches in ((0, 1), (5 * MINUTE_MS - 1, 1), (5 * MINUTE_MS, 2)):
        assert key_of(dids, "#old", now_ms=NOW_MS + elapsed_ms) == OLD.public
        assert len(fetcher.fetched) == fetches


def test_input_51_a_key_that_was_rotated_out_is_unknown_when_the_document_counts_no_more() -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    key_of(dids, "#old")
    fetcher.answer = publish({"new": NEW})
    assert key_of(dids, "#old", now_ms=NOW_MS + 5 * MINUTE_MS - 1) == OLD.public
    with pytest.raises(UnknownKid):
        key_of(dids, "#old", now_ms=NOW_MS + 5 * MINUTE_MS)
    assert key_of(dids, "#new", now_ms=NOW_MS + 5 * MINUTE_MS) == NEW.public
    assert len(fetcher.fetched) == 2


def test_a_key_that_was_rotated_in_counts_at_once_and_takes_the_old_one_with_it() -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    key_of(dids, "#old")
    fetcher.answer = publish({"new": NEW})
    assert key_of(dids, "#new", now_ms=NOW_MS + MINUTE_MS) == NEW.public
    with pytest.raises(UnknownKid):
        key_of(dids, "#old", now_ms=NOW_MS + MINUTE_MS)


def test_a_key_that_comes_to_serve_for_assertions_counts_at_once() -> None:
    fetcher = Documents(publish({"old": OLD}, assertionMethod=[]))
    dids = DidResolver(fetcher)
    for kid in ("#old", None):
        fetcher.answer = publish({"old": OLD}, assertionMethod=[])
        dids = DidResolver(fetcher)
        with pytest.raises(IdentityError):
            key_of(dids, kid)
        fetcher.answer = publish({"old": OLD})
        assert key_of(dids, kid, now_ms=NOW_MS + MINUTE_MS) == OLD.public


def test_unknown_kids_cost_one_fetch_a_minute() -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    for elapsed_ms, fetches in ((0, 1), (1, 1), (MINUTE_MS - 1, 1), (MINUTE_MS, 2), (2 * MINUTE_MS - 1, 2)):
        for number in range(10):
            with pytest.raises(UnknownKid):
                key_of(dids, f"#{number}", now_ms=NOW_MS + elapsed_ms)
        assert len(fetcher.fetched) == fetches


def test_the_kid_of_another_did_costs_no_fetch_beyond_the_first() -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    for elapsed_ms in (0, 2 * MINUTE_MS):
        with pytest.raises(IssuerKeyMismatch):
            key_of(dids, "did:web:other.example#old", now_ms=NOW_MS + elapsed_ms)
    assert fetcher.fetched == [URL]


def test_while_the_host_is_gone_known_keys_count_until_their_time_and_unknown_ones_are_retriable() -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    key_of(dids, "#old")
    fetcher.answer = failing(FetchTimeout)
    with pytest.raises(DidUnavailable):
        key_of(dids, "#new", now_ms=NOW_MS + MINUTE_MS)
    assert key_of(dids, "#old", now_ms=NOW_MS + 5 * MINUTE_MS - 1) == OLD.public
    with pytest.raises(DidUnavailable):
        key_of(dids, "#old", now_ms=NOW_MS + 5 * MINUTE_MS)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [(publish({"old": OLD}, deactivated=True), DidDeactivated), (failing(UrlNotFound), DidNotFound)],
)
def test_input_51_a_deactivation_that_was_seen_counts_at_once(
    answer: Callable[[str], bytes], refusal: type[IdentityError]
) -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    key_of(dids, "#old")
    fetcher.answer = answer
    with pytest.raises(refusal):
        key_of(dids, "#new", now_ms=NOW_MS + MINUTE_MS)
    with pytest.raises(refusal):
        key_of(dids, "#old", now_ms=NOW_MS + MINUTE_MS + 1)
    with pytest.raises(refusal):
        key_of(dids, "#old", now_ms=NOW_MS + 2 * MINUTE_MS)


# Refusals and faults


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (failing(FetchFailed), DidUnavailable),
        (failing(FetchTimeout), DidUnavailable),
        (failing(UrlNotFound), DidNotFound),
        (failing(AddressNotPublic), AddressNotPublic),
        (failing(RedirectNotFollowed), RedirectNotFollowed),
        (failing(ResponseTooLarge), ResponseTooLarge),
        (failing(WrongContentType), WrongContentType),
        (failing(UrlNotAllowed), UrlNotAllowed),
        (lambda _: b"<html>", BadDidDocument),
        (lambda _: written({"k": OLD}, "did:web:other.example"), DidDocumentMismatch),
    ],
)
def test_input_48_a_refusal_is_remembered_for_five_seconds(
    answer: Callable[[str], bytes], refusal: type[IdentityError]
) -> None:
    fetcher = Documents(answer)
    dids = DidResolver(fetcher)
    for elapsed_ms, fetches in ((0, 1), (4_999, 1), (5_000, 2)):
        with pytest.raises(refusal) as refused:
            key_of(dids, None, now_ms=NOW_MS + elapsed_ms)
        assert type(refused.value) is refusal
        assert refused.value.retriable == (refusal is DidUnavailable)
        assert len(fetcher.fetched) == fetches
    fetcher.answer = publish({"old": OLD})
    assert key_of(dids, None, now_ms=NOW_MS + 10_000) == OLD.public


def test_a_now_before_the_fetch_is_answered_and_one_long_before_is_not() -> None:
    fetcher = Documents(publish({"old": OLD}))
    dids = DidResolver(fetcher)
    for now_ms, fetches in ((NOW_MS, 1), (NOW_MS - 5_000, 1), (NOW_MS - 5_001, 2)):
        assert key_of(dids, None, now_ms=now_ms) == OLD.public
        assert len(fetcher.fetched) == fetches


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identity.did_resolver._MAX_CACHED_DOCUMENTS", 3)
    fetcher = Documents(lambda url: written({"k": OLD}, "did:web:" + url.split("/")[2]))
    dids = DidResolver(fetcher)
    for number in range(5):
        key_of(dids, None, did=f"did:web:a{number}.example")
    assert list(dids._cache) == [f"did:web:a{number}.example" for number in (2, 3, 4)]
    key_of(dids, None, did="did:web:a4.example")
    assert len(fetcher.fetched) == 5
    fetcher.answer = failing(FetchFailed)
    for number in range(9):  # nor do refusals add up
        with pytest.raises(DidUnavailable):
            key_of(dids, None, did=f"did:web:b{number}.example")
    assert len(dids._cache) == 3


def test_many_threads_fetch_a_document_once_and_hold_up_no_other() -> None:
    slow = threading.Event()
    fetched: list[str] = []

    def answer(url: str) -> bytes:
        fetched.append(url)
        if url == URL:
            assert slow.wait(30)
        return written({"old": OLD}, "did:web:" + url.split("/")[2])

    dids = DidResolver(Documents(answer))
    seen: list[PublicKey] = []
    threads = [threading.Thread(target=lambda: seen.append(key_of(dids, "#old"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    while not fetched:
        time.sleep(0.001)
    assert key_of(dids, "#old", did="did:web:other.example") == OLD.public
    assert seen == []
    slow.set()
    for thread in threads:
        thread.join(30)
    assert seen == [OLD.public] * 8
    assert fetched.count(URL) == 1


def test_slow_hosts_take_some_threads_and_not_all() -> None:
    slow = threading.Event()
    hosts = [f"did:web:{name}.example" for name in ("one", "two", "other")]

    def answer(url: str) -> bytes:
        assert slow.wait(30)
        return written({"old": OLD}, "did:web:" + url.split("/")[2])

    dids = DidResolver(Documents(answer))
    waiting, refused = [], threading.Semaphore(0)

    def ask(did: str) -> None:
        try:
            key_of(dids, "#old", did=did)
        except DidUnavailable:
            refused.release()

    for did, sent_away in zip(hosts, (2, 2, 10), strict=True):  # eight wait for one host, and sixteen in all
        waiting += [threading.Thread(target=ask, args=(did,)) for _ in range(10)]
        for thread in waiting[-10:]:
            thread.start()
        for _ in range(sent_away):
            assert refused.acquire(timeout=30)
    assert not refused.acquire(blocking=False)
    slow.set()
    for thread in waiting:
        thread.join(30)
    assert all(key_of(dids, "#old", did=did) == OLD.public for did in hosts)
