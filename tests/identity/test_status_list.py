"""Token Status List: the draft's examples, then round trips, then the lists to refuse, then the cache."""

import json
import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did_resolver import DidResolver
from identity.encoding import decode_base64url, encode_base64url, encode_json
from identity.errors import (
    AlgNotAllowed,
    BadDid,
    BadJws,
    BadKid,
    BadSignature,
    BadStatusIndex,
    BadStatusList,
    BadTime,
    CannotIssue,
    FetchFailed,
    FetchTimeout,
    IdentityError,
    IssuedInFuture,
    MissingClaim,
    RedirectNotFollowed,
    StatusListExpired,
    StatusListIssuerMismatch,
    StatusListSubjectMismatch,
    StatusListTooLarge,
    StatusUnavailable,
    TooLarge,
    UnknownStatusValue,
    UrlNotAllowed,
    WrongTyp,
)
from identity.fetch import GuardedFetcher
from identity.jws import parse_jws, sign_jws
from identity.keys import SigningKey
from identity.status_list import (
    MAX_INFLATED_BYTES,
    CheckedStatus,
    StatusChecker,
    StatusList,
    StatusReference,
    _unpack,
    issue_status_list,
    pack_statuses,
    parse_status_reference,
    verify_status_list,
)

DATA = Path(os.environ.get("CREDENCE_TEST_DATA", "")) / "vectors/token-status-list/_texts.json"
HAS_DATA = "CREDENCE_TEST_DATA" in os.environ
needs_vectors = pytest.mark.skipif(not HAS_DATA, reason="CREDENCE_TEST_DATA is not set")
EXAMPLES: dict[str, str] = json.loads(DATA.read_bytes()) if HAS_DATA else {}

ISSUER = SigningKey.generate()
DIDS = DidResolver(None)
URI = "https://issuer.example/status/1"
NOW_S = 1_790_000_000
NOW_MS = NOW_S * 1000
LIST = encode_base64url(zlib.compress(b"\x24"))  # in two bits: 0, 1, 2, 0


def example(name: str) -> dict[str, Any]:
    """A JSON example, without the words before it and the line breaks within it."""
    text = EXAMPLES[f"examples/{name}.md"]
    parsed: dict[str, Any] = json.loads("".join(line.strip() for line in text[text.index("{") :].splitlines()))
    return parsed


# The examples of the draft


@needs_vectors
def test_example_of_one_bit() -> None:
    """Section 4.1: sixteen statuses in the bytes b9 a3."""
    bits, packed = _unpack(example("status_list_encoding_json"))
    statuses = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    assert (bits, packed.hex()) == (1, "b9a3")
    assert pack_statuses(bytes(statuses), 1) == packed
    assert _statuses(bits, packed) == statuses


@needs_vectors
def test_example_of_two_bits() -> None:
    bits, packed = _unpack(example("status_list_encoding2_json"))
    statuses = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]
    assert (bits, packed.hex()) == (2, "c944f9")
    assert pack_statuses(bytes(statuses), 2) == packed
    assert _statuses(bits, packed) == statuses


# The test vectors of the draft's appendix: every status that is not 0, in lists of 2**20 statuses.
LONG = {
    "status_list_encoding1_long_json": {
        0: 1, 1993: 1, 25460: 1, 159495: 1, 495669: 1, 554353: 1, 645645: 1, 723232: 1, 854545: 1, 934534: 1, 1000345: 1
    },
    "status_list_encoding2_long_json": {
        0: 1, 1993: 2, 25460: 1, 159495: 3, 495669: 1, 554353: 1, 645645: 2, 723232: 1, 854545: 1, 934534: 2, 1000345: 3
    },
    "status_list_encoding4_json": {
        0: 1, 1993: 2, 35460: 3, 459495: 4, 595669: 5, 754353: 6, 845645: 7, 923232: 8, 924445: 9, 934534: 10,
        1004534: 11, 1000345: 12, 1030203: 13, 1030204: 14, 1030205: 15
    },
}  # fmt: skip


@needs_vectors
@pytest.mark.parametrize("name", LONG)
def test_long_examples(name: str) -> None:
    bits, packed = _unpack(example(name))
    assert len(packed) == 2**20 * bits // 8
    statuses = bytearray(2**20)
    for index, value in LONG[name].items():
        statuses[index] = value
    assert {index: value for index, value in enumerate(_statuses(bits, packed)) if value} == LONG[name]
    assert pack_statuses(bytes(statuses), bits) == packed


@needs_vectors
def test_long_example_of_eight_bits() -> None:
    bits, packed = _unpack(example("status_list_encoding8_json"))
    assert (bits, len(packed)) == (8, 2**20)
    # Every value but 0 is there once or more; each status is a byte of its own.
    assert set(packed) == set(range(256))
    assert pack_statuses(packed, 8) == packed


@needs_vectors
def test_the_drafts_own_token_is_refused_for_its_kid() -> None:
    """Its issuer is an https URL and its kid "12": nobody whom a DID names, so nothing that we could bind to."""
    token = "".join(EXAMPLES["examples/status_list_jwt_raw.md"].split())
    assert parse_jws(token).header == {"alg": "ES256", "kid": "12", "typ": "statuslist+jwt"}
    with pytest.raises(BadDid):
        verify_status_list(
            token, uri="https://example.com/statuslists/1", issuer="https://example.com", dids=DIDS, now_ms=NOW_MS
        )
    with pytest.raises(BadKid):
        verify_status_list(token, uri="https://example.com/statuslists/1", issuer=ISSUER.did, dids=DIDS, now_ms=NOW_MS)


def _statuses(bits: int, packed: bytes) -> list[int]:
    listed = StatusList(bits=bits, packed=packed, issued_at_ms=0, expires_at_ms=0, ttl_s=None)
    return [listed.status(index) for index in range(len(packed) * 8 // bits)]


# Publishing and verifying


def published(statuses: bytes = b"\0\1\2\0", bits: int = 2, **changes: Any) -> str:
    arguments = {"ttl_s": 60, "expires_in_s": 3600, "now_ms": NOW_MS, "key": ISSUER, "uri": URI, **changes}
    return issue_status_list(statuses=statuses, bits=bits, **arguments)


def signed(*, key: SigningKey = ISSUER, header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {"sub": URI, "iat": NOW_S, "exp": NOW_S + 60, "status_list": {"bits": 2, "lst": LIST}, **changes}
    body = encode_json({name: value for name, value in claims.items() if value is not ...})
    return sign_jws({"typ": "statuslist+jwt", "kid": key.kid, **(header or {})}, body, key)


def verify(token: str, *, now_ms: int = NOW_MS, uri: str = URI, issuer: str = ISSUER.did) -> StatusList:
    return verify_status_list(token, uri=uri, issuer=issuer, dids=DIDS, now_ms=now_ms)


@given(
    bits=st.sampled_from([1, 2, 4, 8]),
    data=st.data(),
)
def test_round_trip(bits: int, data: st.DataObject) -> None:
    statuses = bytes(data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=40)))
    listed = verify(published(statuses, bits))
    assert [listed.status(index) for index in range(len(statuses))] == list(statuses)
    assert (listed.issued_at_ms, listed.expires_at_ms, listed.ttl_s) == (NOW_MS, NOW_MS + 3_600_000, 60)
    with pytest.raises(BadStatusIndex):
        listed.status(len(listed.packed) * 8 // bits)


def test_a_reference_round_trips() -> None:
    reference = StatusReference(uri=URI, index=5)
    assert parse_status_reference(reference.to_claim()) == reference


@pytest.mark.parametrize(
    ("statuses", "bits"), [(b"\2", 1), (b"\4", 2), (b"\x10", 4), (b"\0", 3), (b"\0", 0), (b"", 16)]
)
def test_statuses_that_do_not_fit_are_not_published(statuses: bytes, bits: int) -> None:
    with pytest.raises(CannotIssue):
        published(statuses, bits)


TOKEN = published()


@given(place=st.integers(0, len(TOKEN) - 1), character=st.sampled_from("AQgwz09-_.") | st.characters(codec="utf-8"))
def test_one_altered_character_is_refused(place: int, character: str) -> None:
    altered = TOKEN[:place] + character + TOKEN[place + 1 :]
    if altered == TOKEN:
        return
    with pytest.raises(IdentityError):
        verify(altered)


@given(
    value=st.dictionaries(
        st.sampled_from(["bits", "lst", "aggregation_uri", "x"]),
        st.sampled_from([1, 2, 3, True, 1.0, "eNrbuRgAAhcBXQ", "", "*", None])
        | st.binary(max_size=9).map(encode_base64url),
    )
    | st.none()
    | st.text()
)
def test_hostile_lists_with_a_good_signature_raise_only_our_errors(value: Any) -> None:
    try:
        listed = verify(signed(status_list=value))
    except IdentityError:
        return
    assert listed.bits in (1, 2)
    assert value["lst"]


def test_input_15_another_typ_is_no_status_list() -> None:
    for typ in ("JWT", "dc+sd-jwt", "statuslist+cwt"):
        with pytest.raises(WrongTyp):
            verify(signed(header={"typ": typ}))


def bomb(length: int) -> str:
    deflater = zlib.compressobj(9)
    megabyte = bytes(2**20)
    pieces = [deflater.compress(megabyte) for _ in range(length // 2**20)] + [deflater.compress(bytes(length % 2**20))]
    return encode_base64url(b"".join(pieces) + deflater.flush())


def test_input_53_a_list_that_inflates_without_end_is_refused() -> None:
    hostile = bomb(200 * 2**20)
    started = time.perf_counter()
    with pytest.raises(StatusListTooLarge):
        _unpack({"bits": 1, "lst": hostile})
    assert time.perf_counter() - started < 2
    assert len(_unpack({"bits": 1, "lst": bomb(MAX_INFLATED_BYTES)})[1]) == MAX_INFLATED_BYTES
    with pytest.raises(StatusListTooLarge):
        _unpack({"bits": 1, "lst": bomb(MAX_INFLATED_BYTES + 1)})


def test_input_53_a_huge_token_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        verify("a" * (4 * 2**20 + 1))


@pytest.mark.parametrize("index", [-1, 4, 5, 2**40])
def test_input_54_an_index_beyond_the_list_is_refused(index: int) -> None:
    with pytest.raises(BadStatusIndex):
        verify(published()).status(index)


def test_input_55_an_unsigned_list_is_refused() -> None:
    head, body, _ = published().split(".")
    with pytest.raises(AlgNotAllowed):
        verify(f"{encode_base64url(encode_json({'alg': 'none', 'typ': 'statuslist+jwt'}))}.{body}.")
    with pytest.raises(BadJws):
        verify(decode_base64url(body).decode())
    with pytest.raises(BadSignature):
        verify(f"{head}.{body}.{encode_base64url(bytes(63) + b'1')}")


def test_input_55_a_list_signed_by_another_issuer_is_refused() -> None:
    other = SigningKey.generate()
    with pytest.raises(StatusListIssuerMismatch):
        verify(published(key=other))
    with pytest.raises(StatusListIssuerMismatch):
        verify(signed(key=other))
    with pytest.raises(BadSignature):
        verify(signed(key=other, header={"kid": ISSUER.kid}))
    with pytest.raises(BadSignature):
        verify(signed(key=other, header={"kid": "#0"}))
    with pytest.raises(StatusListIssuerMismatch):
        verify(signed(iss=other.did))
    with pytest.raises(StatusListIssuerMismatch):
        verify(published(), issuer=other.did)


@pytest.mark.parametrize("sub", [URI + "/", URI.upper(), "", None, ..., 1, [URI]], ids=str)
def test_input_55_a_list_for_another_url_is_refused(sub: Any) -> None:
    with pytest.raises(StatusListSubjectMismatch):
        verify(signed(sub=sub))


def test_input_55_an_expired_list_is_refused() -> None:
    assert verify(published(), now_ms=NOW_MS + 3_599_999).bits == 2
    with pytest.raises(StatusListExpired):
        verify(published(), now_ms=NOW_MS + 3_600_000)


def test_input_55_a_list_without_an_end_is_not_believed_for_ever() -> None:
    """Whoever serves it could otherwise serve the list from before a revocation until the end of time."""
    for ttl in (..., 60, 10**9):
        token = signed(exp=..., ttl=ttl)
        assert verify(token, now_ms=NOW_MS + 86_399_999).expires_at_ms == NOW_MS + 86_400_000
        with pytest.raises(StatusListExpired):
            verify(token, now_ms=NOW_MS + 86_400_000)


def test_input_55_a_cached_list_without_an_end_is_used_for_a_day_at_most() -> None:
    fetcher = ScriptedFetcher(lambda _: signed(exp=..., ttl=10**9))
    checker = StatusChecker(fetcher, DIDS)
    assert check(checker, now_ms=NOW_MS + 86_300_000).status == "valid"
    with pytest.raises(StatusListExpired):
        check(checker, now_ms=NOW_MS + 86_400_000)


@pytest.mark.parametrize("exp", [True, "1790000060", -1, None, 1e300], ids=str)
def test_input_19_a_status_list_time_that_is_no_time_is_refused(exp: Any) -> None:
    with pytest.raises(BadTime):
        verify(signed(exp=exp))


def test_a_list_of_the_future_or_without_its_time_is_refused() -> None:
    with pytest.raises(IssuedInFuture):
        verify(signed(iat=NOW_S + 61))
    with pytest.raises(MissingClaim):
        verify(signed(iat=...))


@pytest.mark.parametrize("ttl", [0, -1, True, "60", 60.5, []], ids=str)
def test_a_ttl_that_is_no_ttl_is_refused(ttl: Any) -> None:
    with pytest.raises(BadStatusList):
        verify(signed(ttl=ttl))


@pytest.mark.parametrize(
    "value",
    [
        ...,
        None,
        {},
        [],
        {"bits": 1},
        {"lst": LIST},
        {"bits": 3, "lst": LIST},
        {"bits": True, "lst": LIST},
        {"bits": 1.0, "lst": LIST},
        {"bits": "1", "lst": LIST},
        {"bits": 1, "lst": 5},
        {"bits": 1, "lst": LIST, "more": 1},
        {"bits": 1, "lst": ""},
        {"bits": 1, "lst": encode_base64url(b"not zlib")},
        {"bits": 1, "lst": encode_base64url(zlib.compress(b"\0" * 100)[:-3])},
        {"bits": 1, "lst": encode_base64url(zlib.compress(b"\0") + b"more")},
    ],
    ids=str,
)
def test_a_malformed_list_is_refused(value: Any) -> None:
    with pytest.raises(BadStatusList):
        verify(signed(status_list=value))


# Checking, with the cache


class ScriptedFetcher(GuardedFetcher):
    """Answers from a function instead of the network, and counts how often."""

    def __init__(self, answer: Callable[[str], str | bytes]) -> None:
        super().__init__()
        self.answer = answer
        self.fetched: list[str] = []

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        assert accept == "application/statuslist+jwt"
        self.fetched.append(url)
        body = self.answer(url)
        return body.encode() if isinstance(body, str) else body


def check(checker: StatusChecker, index: int = 0, *, now_ms: int = NOW_MS, uri: str = URI) -> CheckedStatus:
    return checker.check_status(StatusReference(uri=uri, index=index), issuer=ISSUER.did, now_ms=now_ms)


def failing(error: type[IdentityError]) -> Callable[[str], str]:
    def answer(_: str) -> str:
        raise error

    return answer


def test_statuses_and_when_they_were_checked() -> None:
    fetcher = ScriptedFetcher(lambda _: published())
    checker = StatusChecker(fetcher, DIDS)
    assert check(checker, 0) == CheckedStatus(status="valid", checked_at_ms=NOW_MS)
    assert check(checker, 1, now_ms=NOW_MS + 1000) == CheckedStatus(status="invalid", checked_at_ms=NOW_MS)
    assert check(checker, 2).status == "suspended"
    assert fetcher.fetched == [URI]
    with pytest.raises(BadStatusIndex):
        check(checker, 4)


def test_a_list_is_fetched_again_after_its_ttl() -> None:
    fetcher = ScriptedFetcher(lambda _: published(b"\0"))
    checker = StatusChecker(fetcher, DIDS)
    assert check(checker).status == "valid"
    fetcher.answer = lambda _: published(b"\1", now_ms=NOW_MS + 60_000)
    assert check(checker, now_ms=NOW_MS + 59_999).status == "valid"
    assert check(checker, now_ms=NOW_MS + 60_000) == CheckedStatus(status="invalid", checked_at_ms=NOW_MS + 60_000)
    assert len(fetcher.fetched) == 2


def test_a_list_is_never_used_past_its_exp_or_a_day() -> None:
    fetcher = ScriptedFetcher(lambda _: published(ttl_s=10**9, expires_in_s=30))
    checker = StatusChecker(fetcher, DIDS)
    assert check(checker).status == "valid"
    with pytest.raises(StatusListExpired):
        check(checker, now_ms=NOW_MS + 30_000)
    fetcher.answer = lambda _: published(ttl_s=10**9, expires_in_s=10**9)
    assert check(checker, now_ms=NOW_MS + 40_000).status == "valid"
    check(checker, now_ms=NOW_MS + 40_000 + 86_399_999)
    assert len(fetcher.fetched) == 3
    check(checker, now_ms=NOW_MS + 40_000 + 86_400_000)
    assert len(fetcher.fetched) == 4


def test_a_list_without_ttl_and_exp_is_kept_for_five_minutes() -> None:
    fetcher = ScriptedFetcher(lambda _: signed(exp=...))
    checker = StatusChecker(fetcher, DIDS)
    for elapsed_ms, fetches in ((0, 1), (299_999, 1), (300_000, 2)):
        assert check(checker, now_ms=NOW_MS + elapsed_ms).status == "valid"
        assert len(fetcher.fetched) == fetches


@pytest.mark.parametrize("url", ["http://issuer.example/1", "https://10.0.0.1/1", "https://localhost/1"])
def test_input_52_a_list_url_outside_the_rules_is_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        check(StatusChecker(GuardedFetcher(), DIDS), uri=url)


def test_input_52_a_list_url_that_redirects_is_refused() -> None:
    with pytest.raises(RedirectNotFollowed):
        check(StatusChecker(ScriptedFetcher(failing(RedirectNotFollowed)), DIDS))


def test_input_55_a_cached_list_past_its_ttl_is_not_used_when_the_issuer_is_gone() -> None:
    fetcher = ScriptedFetcher(lambda _: published())
    checker = StatusChecker(fetcher, DIDS)
    check(checker)
    fetcher.answer = failing(FetchTimeout)
    assert check(checker, now_ms=NOW_MS + 59_999).status == "valid"
    with pytest.raises(StatusUnavailable):
        check(checker, now_ms=NOW_MS + 60_000)


def test_input_56_a_status_of_another_purpose_is_refused() -> None:
    """A token status list has no purposes; the values that an application defines for itself are as unknown to us."""
    checker = StatusChecker(ScriptedFetcher(lambda _: published(b"\3\x0b\0", bits=4)), DIDS)
    for index in (0, 1):
        with pytest.raises(UnknownStatusValue):
            check(checker, index)
    assert check(checker, 2).status == "valid"


@pytest.mark.parametrize("error", [FetchFailed, FetchTimeout])
def test_input_57_an_unreachable_list_fails_closed_and_is_retriable(error: type[IdentityError]) -> None:
    fetcher = ScriptedFetcher(failing(error))
    checker = StatusChecker(fetcher, DIDS)
    with pytest.raises(StatusUnavailable) as refusal:
        check(checker)
    assert refusal.value.retriable
    # A dead host is not waited for again within five seconds, and asked again after them.
    with pytest.raises(StatusUnavailable):
        check(checker, now_ms=NOW_MS + 4_999)
    assert len(fetcher.fetched) == 1
    fetcher.answer = lambda _: published()
    assert check(checker, now_ms=NOW_MS + 5_000).status == "valid"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"\xff\xfe", BadStatusList),
        ("<html>", BadJws),
        (published(key=SigningKey.generate()), StatusListIssuerMismatch),
        (published(uri=URI + "2"), StatusListSubjectMismatch),
        (published(now_ms=NOW_MS - 10**10), StatusListExpired),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_input_55_a_bad_answer_is_refused_and_not_cached_as_a_list(
    body: str | bytes, error: type[IdentityError]
) -> None:
    fetcher = ScriptedFetcher(lambda _: body)
    checker = StatusChecker(fetcher, DIDS)
    with pytest.raises(error):
        check(checker)
    fetcher.answer = lambda _: published()
    with pytest.raises(error):
        check(checker, now_ms=NOW_MS + 1)
    assert check(checker, now_ms=NOW_MS + 5_000).status == "valid"


def test_one_issuers_list_does_not_answer_for_another() -> None:
    other = SigningKey.generate()
    checker = StatusChecker(ScriptedFetcher(lambda _: published()), DIDS)
    check(checker)
    with pytest.raises(StatusListIssuerMismatch):
        checker.check_status(StatusReference(uri=URI, index=0), issuer=other.did, now_ms=NOW_MS)


def test_many_threads_share_one_fetch_and_do_not_wait_for_other_lists() -> None:
    release = threading.Event()

    def slow_for_one(url: str) -> str:
        if url == URI:
            release.wait(10)
        return published(uri=url)

    fetcher = ScriptedFetcher(slow_for_one)
    checker = StatusChecker(fetcher, DIDS)
    results: list[CheckedStatus] = []
    threads = [threading.Thread(target=lambda: results.append(check(checker, 1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert check(checker, 1, uri=URI + "/other").status == "invalid"
    assert results == []
    release.set()
    for thread in threads:
        thread.join(10)
    assert results == [CheckedStatus(status="invalid", checked_at_ms=NOW_MS)] * 8
    assert sorted(fetcher.fetched) == [URI, URI + "/other"]


def test_the_cache_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identity.status_list._MAX_CACHED_BYTES", 2500)
    fetcher = ScriptedFetcher(lambda url: published(bytes(1000), bits=8, uri=url))
    checker = StatusChecker(fetcher, DIDS)
    for number in (1, 2, 3, 3, 2):
        check(checker, uri=f"{URI}/{number}")
    assert len(fetcher.fetched) == 3
    check(checker, uri=f"{URI}/1")
    assert len(fetcher.fetched) == 4


def test_the_cache_is_bounded_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identity.status_list._MAX_CACHED_LISTS", 10)
    fetcher = ScriptedFetcher(lambda url: published(uri=url))
    checker = StatusChecker(fetcher, DIDS)
    for number in range(50):
        check(checker, uri=f"{URI}/{number}")
    assert len(checker._cache) == 10
    fetcher.answer = failing(FetchFailed)
    for number in range(50, 100):
        with pytest.raises(StatusUnavailable):
            check(checker, uri=f"{URI}/{number}")
    assert len(checker._cache) == 10


def test_slow_hosts_take_some_threads_and_not_all() -> None:
    release = threading.Event()

    def slow(url: str) -> str:
        release.wait(30)
        return published(uri=url)

    checker = StatusChecker(ScriptedFetcher(slow), DIDS)
    waiting, refused = [], threading.Semaphore(0)

    def ask(uri: str) -> None:
        try:
            check(checker, 1, uri=uri)
        except StatusUnavailable:
            refused.release()

    for name, sent_away in (("one", 2), ("two", 2), ("other", 10)):  # eight wait for one list, and sixteen in all
        waiting += [threading.Thread(target=ask, args=(f"{URI}/{name}",)) for _ in range(10)]
        for thread in waiting[-10:]:
            thread.start()
        for _ in range(sent_away):
            assert refused.acquire(timeout=30)
    assert not refused.acquire(blocking=False)
    release.set()
    for thread in waiting:
        thread.join(30)
    assert check(checker, 1, uri=f"{URI}/other").status == "invalid"
