"""Status indices: each allotted once, and the lists that say what became of each credential."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, insert, select, update

from api.store import status as status_module
from api.store.database import open_engine, read_transaction, write_transaction
from api.store.status import CAPACITY, StatusStore
from api.store.tables import status_indices, status_lists, tenants
from identity.did_resolver import DidResolver
from identity.errors import BadStatusIndex, StatusListIssuerMismatch, StatusListSubjectMismatch
from identity.keys import SigningKey
from identity.status_list import StatusChecker, StatusReference, verify_status_list


@pytest.fixture
def engine(database):
    engine = open_engine(database)
    with write_transaction(engine) as transaction:
        for name in ("a", "b"):
            row = {"id": name, "name": name, "log_ref": name, "next_seq": 0, "created_at_ms": 0}
            transaction.execute(insert(tenants).values(row))
    yield engine
    engine.dispose()


def test_no_index_is_allotted_twice_by_threads_or_processes(engine):
    stores = [StatusStore(engine=engine, issuer="did:example:us") for _ in range(4)]  # each process has one of its own
    with ThreadPoolExecutor(8) as threads:
        allotted = list(threads.map(lambda number: stores[number % 4].allot("a", 0), range(600)))
    assert len(set(allotted)) == 600
    assert all(0 <= each.index < CAPACITY for each in allotted)


def test_indices_tell_nothing_of_their_order(engine):
    store = StatusStore(engine=engine, issuer="did:example:us")
    indices = [store.allot("a", 0).index for _ in range(100)]
    assert indices != sorted(indices)
    assert max(indices) > CAPACITY // 2


def test_tenants_have_lists_of_their_own(engine):
    store = StatusStore(engine=engine, issuer="did:example:us")
    lists = {tenant: {store.allot(tenant, 0).list_id for _ in range(70)} for tenant in ("a", "b")}
    assert len(lists["a"]) == len(lists["b"]) == 1
    assert lists["a"] != lists["b"]


def test_a_list_is_closed_before_it_is_full_and_its_indices_are_all_different(engine, monkeypatch):
    monkeypatch.setattr(status_module, "CAPACITY", 128)
    monkeypatch.setattr(status_module, "MAX_ALLOTTED", 64)
    store = StatusStore(engine=engine, issuer="did:example:us")
    allotted = {store.allot("a", 0) for _ in range(300)}
    assert len(allotted) == 300
    assert len({each.list_id for each in allotted}) >= 3
    with read_transaction(engine) as transaction:
        counts = transaction.execute(
            select(status_indices.c.list_id, func.count()).group_by(status_indices.c.list_id)
        ).all()
        assert {tuple(row) for row in counts} == {
            tuple(row) for row in transaction.execute(select(status_lists.c.id, status_lists.c.allotted))
        }


def test_two_processes_that_draw_the_same_indices_do_not_share_them(engine):
    def counting():
        numbers = iter(range(10_000))
        return lambda _limit: next(numbers)

    stores = [StatusStore(engine=engine, issuer="did:example:us", random_below=counting()) for _ in range(2)]
    StatusStore(engine=engine, issuer="did:example:us").allot(
        "a", 0
    )  # the list is there: only its indices are fought for
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda store: {store.allot("a", 0) for _ in range(100)}, stores)
    assert len({each.list_id for each in first | second}) == 1
    assert len(first) == len(second) == 100
    assert first.isdisjoint(second)


class ServedLists:
    """Fetches status lists from the service under test, as anybody would over the network."""

    def __init__(self, harness):
        self.harness = harness

    def fetch(self, url, accept, max_bytes):
        answer = self.harness.http.get(url, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, accept)
        assert len(answer.content) <= max_bytes
        return answer.content


def revoke(harness, reference):
    with write_transaction(harness.service.health._engine) as transaction:
        changed = transaction.execute(
            update(status_indices)
            .where(
                status_indices.c.list_id == reference.uri.rpartition("/")[2],
                status_indices.c.list_index == reference.index,
            )
            .values(status=1)
        )
    assert changed.rowcount == 1


def test_our_own_checker_takes_the_served_list_and_sees_what_was_revoked(harness):
    first, second = (StatusReference(**harness.score()["status"]) for _ in range(2))
    assert first.uri == second.uri
    assert first.index != second.index
    issuer = harness.service.rooms.attest_key.did

    def check(reference):
        checker = StatusChecker(ServedLists(harness), DidResolver(None))
        return checker.check_status(reference, issuer=issuer, now_ms=harness.clock()).status

    assert (check(first), check(second)) == ("valid", "valid")
    revoke(harness, first)
    assert (check(first), check(second)) == ("invalid", "valid")


def test_a_list_is_signed_by_the_issuer_of_the_scores_for_its_own_address(shared):
    reference = shared.score()["status"]
    token = shared.http.get(reference["uri"]).text
    issuer = shared.service.rooms.attest_key.did
    verified = verify_status_list(
        token, uri=reference["uri"], issuer=issuer, dids=DidResolver(None), now_ms=shared.clock()
    )
    assert verified.status(reference["index"]) == 0
    assert verified.status(CAPACITY - 1) == 0
    with pytest.raises(BadStatusIndex):
        verified.status(CAPACITY)
    with pytest.raises(StatusListIssuerMismatch):
        verify_status_list(
            token, uri=reference["uri"], issuer=SigningKey.generate().did, dids=DidResolver(None), now_ms=shared.clock()
        )
    with pytest.raises(StatusListSubjectMismatch):
        verify_status_list(
            token, uri=reference["uri"] + "0", issuer=issuer, dids=DidResolver(None), now_ms=shared.clock()
        )


@pytest.mark.parametrize(("list_id", "status"), [("0" * 16, 404), ("0" * 15, 422), ("x" * 16, 422), ("..", 404)])
def test_a_list_that_is_not_there_is_not_served(shared, list_id, status):
    assert shared.http.get(f"/v1/status-lists/{list_id}").status_code == status
