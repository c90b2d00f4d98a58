from typing import Any

import pytest

from identity.errors import NonceUsed, RequestExpired, ResponseUriMismatch, StateMismatch
from identity.presentation import Expired, Requested, Retrieved, Submitted, at_time, retrieve, submit


def test_a_request_goes_from_requested_to_retrieved_to_submitted(scene: Any) -> None:
    request, now_ms = scene.request(), scene.now_ms
    retrieved = retrieve(Requested(request=request), now_ms)
    assert retrieved == Retrieved(request=request, retrieved_at_ms=now_ms)
    assert retrieve(retrieved, now_ms + 1) == retrieved
    submitted = submit(retrieved, b"one", now_ms + 2)
    assert submitted == Submitted(request=request, submitted_at_ms=now_ms + 2, fingerprint=b"one")
    # A lender that carries the presentation itself needs no wallet to fetch the request.
    assert submit(Requested(request=request), b"one", now_ms + 2) == submitted


def test_33_another_presentation_under_a_used_nonce(scene: Any) -> None:
    submitted = submit(Requested(request=scene.request()), b"one", scene.now_ms)
    with pytest.raises(NonceUsed):
        submit(submitted, b"another", scene.now_ms)
    with pytest.raises(NonceUsed):
        retrieve(submitted, scene.now_ms)


def test_33_the_same_presentation_again_finds_itself_there_at_any_time(scene: Any) -> None:
    request = scene.request()
    submitted = submit(Requested(request=request), b"one", scene.now_ms)
    assert submit(submitted, b"one", request.expires_at_ms + 1) == submitted


def test_nothing_is_retrieved_or_submitted_too_late(scene: Any) -> None:
    request = scene.request()
    for state in (Requested(request=request), Retrieved(request=request, retrieved_at_ms=scene.now_ms)):
        assert at_time(state, request.expires_at_ms - 1) == state
        assert at_time(state, request.expires_at_ms) == Expired(request=request)
        with pytest.raises(RequestExpired):
            submit(state, b"one", request.expires_at_ms)
        with pytest.raises(RequestExpired):
            retrieve(state, request.expires_at_ms)
    with pytest.raises(RequestExpired):
        submit(Expired(request=request), b"one", scene.now_ms)


def test_34_an_answer_of_another_session(scene: Any) -> None:
    request = scene.request()
    request.verify_session(state=request.state, response_uri=request.response_uri)
    with pytest.raises(StateMismatch):
        request.verify_session(state=scene.request(state="other").state, response_uri=request.response_uri)
    with pytest.raises(ResponseUriMismatch):
        request.verify_session(state=request.state, response_uri=request.response_uri.replace("r1", "r2"))
