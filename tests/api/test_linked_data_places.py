"""Presentations of JSON-LD are judged so many at once, and the next is told so before anything is spent on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.http.linked_data_places import LinkedDataPlaces
from identity.errors import LinkedDataBusy
from identity.keys import SigningKey
from identity.linked_data.workers import LinkedDataWorkers
from tests.api.test_formats import W3C_QUERY, present

RDF, JCS = "ecdsa-rdfc-2019", "ecdsa-jcs-2019"


@pytest.fixture(scope="module")
def linked_data() -> Iterator[LinkedDataWorkers]:
    workers = LinkedDataWorkers()
    yield workers
    workers.close()


@pytest.fixture
def places(shared: Any) -> LinkedDataPlaces:
    found: LinkedDataPlaces = shared.service.linked_data_places
    assert not found._taken
    return found


@contextmanager
def full(places: LinkedDataPlaces, tenant_id: str) -> Iterator[None]:
    """The tenant has its share, and nothing of it comes back while the block lasts."""
    for _ in range(places._most_of_one_tenant):
        places.take(tenant_id)
    try:
        yield
    finally:
        for _ in range(places._most_of_one_tenant):
            places.give_back(tenant_id)


def tenant_id(shared: Any, name: str = "lender") -> str:
    found: str = shared.service.tenants.load_or_append_tenant(name, shared.clock())
    return found


def presented(shared: Any, linked_data: LinkedDataWorkers, way: str, tenant: str = "lender") -> tuple[Any, Any]:
    """A request, and a presentation that answers it."""
    shared.token(tenant)
    request = shared.ask(tenant, query={"credentials": [{**W3C_QUERY, "format": "ldp_vc"}]})
    return request, {"history": [present(shared, request, SigningKey.generate("ES256"), way, linked_data)]}


def count_busy(shared: Any) -> float:
    value: float = shared.service.metrics.presentations.labels("linked_data_busy")._value.get()
    return value


def test_a_tenant_has_its_share_and_all_have_no_more_than_there_is() -> None:
    places = LinkedDataPlaces(most=5, most_of_one_tenant=3)
    for _ in range(3):
        places.take("a")
    with pytest.raises(LinkedDataBusy):
        places.take("a")
    places.take("b")
    places.take("b")
    for tenant in ("b", "c"):  # has two of its three, and none
        with pytest.raises(LinkedDataBusy):
            places.take(tenant)
    places.give_back("a")
    places.take("c")
    with pytest.raises(LinkedDataBusy):
        places.take("a")
    for tenant in ("a", "a", "b", "b", "c"):
        places.give_back(tenant)
    assert not places._taken  # nobody who was here once is remembered


def test_no_two_threads_get_the_same_place() -> None:
    places = LinkedDataPlaces(most=5, most_of_one_tenant=5)
    at_once = threading.Barrier(16)
    outcomes: list[bool] = []

    def take() -> None:
        at_once.wait()
        try:
            places.take("a")
        except LinkedDataBusy:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count(True), outcomes.count(False)) == (5, 11)


def test_who_is_turned_away_costs_no_database_and_may_come_back(
    shared: Any, places: LinkedDataPlaces, linked_data: LinkedDataWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, vp_token = presented(shared, linked_data, RDF)
    busy = count_busy(shared)
    with full(places, tenant_id(shared)), monkeypatch.context() as patched:
        for store, method in (
            (shared.service.tenants, "verify_enabled"),
            (shared.service.requests, "load_request"),
            (shared.service.rooms.sequencer, "append"),
        ):
            patched.setattr(store, method, lambda *_, **__: pytest.fail("the database was asked"))
        refused = shared.submit(request, vp_token)
        assert (refused.status_code, refused.json()["code"]) == (503, "linked_data_busy")
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
    assert count_busy(shared) == busy + 1
    assert (shared.poll(request)["refusals"], shared.poll(request)["status"]) == (0, "requested")
    assert shared.submit(request, vp_token).status_code == 201
    assert not places._taken


def test_a_wallet_is_turned_away_too_and_its_request_stays_open(
    shared: Any, places: LinkedDataPlaces, linked_data: LinkedDataWorkers
) -> None:
    request, vp_token = presented(shared, linked_data, RDF)
    busy = count_busy(shared)
    with full(places, tenant_id(shared)):
        refused = shared.post_response(request, vp_token)
    assert (refused.status_code, refused.json()["code"]) == (503, "linked_data_busy")
    assert int(refused.headers["retry-after"]) > 0
    assert count_busy(shared) == busy + 1
    assert shared.poll(request)["refusals"] == 0
    assert shared.post_response(request, vp_token).status_code == 200
    assert not places._taken


def test_a_presentation_waits_a_moment_at_the_door_for_a_place(
    shared: Any, places: LinkedDataPlaces, linked_data: LinkedDataWorkers
) -> None:
    request, vp_token = presented(shared, linked_data, RDF)
    with full(places, tenant_id(shared)):
        soon = threading.Timer(0.1, places.give_back, [tenant_id(shared)])
        soon.start()
        assert shared.submit(request, vp_token).status_code == 201
        soon.join()
        places.take(tenant_id(shared))


def test_what_needs_no_canonicalizing_needs_no_place(
    shared: Any, places: LinkedDataPlaces, linked_data: LinkedDataWorkers
) -> None:
    jcs, in_jcs = presented(shared, linked_data, JCS)
    with full(places, tenant_id(shared)):
        assert shared.submit(jcs, in_jcs).status_code == 201
        assert shared.score()["outcome"] == "scored"
        jcs, in_jcs = presented(shared, linked_data, JCS)
        assert shared.post_response(jcs, in_jcs).status_code == 200


def test_one_tenants_flood_leaves_a_place_to_another(
    shared: Any, places: LinkedDataPlaces, linked_data: LinkedDataWorkers
) -> None:
    request, vp_token = presented(shared, linked_data, RDF, "neighbour")
    with full(places, tenant_id(shared)):
        assert shared.submit(request, vp_token, "neighbour").status_code == 201


def test_whoever_is_refused_gives_the_place_back(
    shared: Any, places: LinkedDataPlaces, linked_data: LinkedDataWorkers
) -> None:
    for _ in range(6):  # more often than there are places
        request, vp_token = presented(shared, linked_data, RDF)
        proof = vp_token["history"][0]["proof"]
        wrong = {"history": [{**vp_token["history"][0], "proof": {**proof, "challenge": "another"}}]}
        assert shared.submit(request, wrong).json()["code"] == "nonce_mismatch"
        assert shared.post_response(request, wrong).json()["code"] == "nonce_mismatch"
        malformed = {"request_id": "no id", "vp_token": vp_token}
        assert shared.http.post("/v1/scores", json=malformed, headers=shared.token()).status_code == 422
        assert not places._taken


def test_nobody_without_a_token_learns_of_the_places_or_takes_one(
    shared: Any, places: LinkedDataPlaces, linked_data: LinkedDataWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, vp_token = presented(shared, linked_data, RDF)
    body = {"request_id": request["id"], "vp_token": vp_token}
    monkeypatch.setattr(places, "take", lambda _tenant: pytest.fail("a place was taken"))
    for headers in ({}, {"Authorization": "Bearer " + "a.b.c"}, shared.holder(SigningKey.generate())):
        assert shared.http.post("/v1/scores", json=body, headers=headers).status_code == 401


@pytest.mark.parametrize("vp_token", [None, [], "text", {}, {"a": None}, {"a": ["text"]}, {"a": [[{}]]}, {"a": [1]}])
def test_what_is_no_vp_token_is_refused_for_that(shared: Any, places: LinkedDataPlaces, vp_token: Any) -> None:
    with full(places, tenant_id(shared)):
        body = {"request_id": "req_" + "0" * 32, "vp_token": vp_token}
        answer = shared.http.post("/v1/scores", json=body, headers=shared.token())
    assert answer.status_code in (404, 422)
