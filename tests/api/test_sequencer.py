"""The sequencer: one gapless log out of many threads and processes, whatever fails in between."""

import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import event, func, insert, select, update

from api.store import sequencer as sequencer_module
from api.store.appends import (
    AlreadyAnswered,
    AlreadyChanged,
    AppendChange,
    AppendConsentChange,
    Appended,
    AppendRefusal,
    AppendScore,
    NotRecorded,
)
from api.store.consents import ConsentWithdrawn, consent_id_of
from api.store.database import StoreUnavailable, open_engine, read_transaction, write_transaction
from api.store.idempotency import Idempotency, IdempotencyKeyReused
from api.store.requests import Refusal, RequestStore
from api.store.sequencer import MAX_REFUSALS_PER_REQUEST, OtherOrigin, Sequencer, SequencerStopped
from api.store.tables import (
    consent_receipts,
    consents,
    idempotency_keys,
    log_entries,
    log_head,
    log_tiles,
    presentation_requests,
    scores,
    subjects,
    tenants,
)
from chain.merkle import Frontier, leaf_hash
from chain.tiles import append_leaves
from identity.errors import NonceUsed, RequestExpired

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "log.example/test"
NOW_MS = 1_000
EXPIRES_MS = 9_000
QUERY = (
    '{"credentials":[{"claims":[{"path":["currency"]}],"format":"dc+sd-jwt","id":"a",'
    '"meta":{"vct_values":["urn:credence:repayment-history:1"]},"multiple":false}]}'
)


class Log:
    """A log over a database, with tenants and requests made by the dozen."""

    def __init__(self, engine, origin=ORIGIN):
        self.engine = engine
        self.origin = origin
        self.batches = []
        self.sequencer = self.another_sequencer()
        self.made = 0

    def another_sequencer(self):
        requests = RequestStore(engine=self.engine, audience="a", base_url="http://b")
        return Sequencer(engine=self.engine, requests=requests, origin=self.origin, observe_batch=self.batches.append)

    def add_tenant(self, name):
        with write_transaction(self.engine) as transaction:
            row = {"id": name, "name": name, "log_ref": f"ref-{name}", "next_seq": 0, "created_at_ms": 0}
            transaction.execute(insert(tenants).values(row))
            subject = {"id": f"sub-{name}", "tenant_id": name, "holder_mac": name.encode(), "created_at_ms": 0}
            transaction.execute(insert(subjects).values(subject))

    def add_requests(self, tenant, count):
        numbers = range(self.made, self.made + count)
        self.made += count
        rows = [
            {
                "id": f"req_{number}",
                "tenant_id": tenant,
                "nonce": f"nonce {number}",
                "state": "state",
                "purpose": "credit_application",
                "query": QUERY,
                "holder_policy": "same_key",
                "status": "requested",
                "created_at_ms": 0,
                "expires_at_ms": EXPIRES_MS,
                "refusals": 0,
            }
            for number in numbers
        ]
        with write_transaction(self.engine) as transaction:
            transaction.execute(insert(presentation_requests), rows)
        return [row["id"] for row in rows]

    def score(self, tenant, request_id, **changes):
        item = AppendScore(
            tenant_id=tenant,
            request_id=request_id,
            purpose="credit_application",
            receipt_id=f"rcp of {changes.get('score_id', request_id)}",
            presentation_mac=b"mac",
            at_ms=NOW_MS,
            score_id=f"sco of {request_id}",
            subject_id=f"sub-{tenant}",
            subject_key=b"k" * 32,
            status_list_id="list",
            status_index=1,
            valid_until_ms=2,
            body={"request_id": request_id},
            answer={"members": {}},
        )
        return replace(item, **changes)

    def refusal(self, tenant, request_id, code="bad_signature", **changes):
        refusal = Refusal(code=code, detail="Not verified.", step="proof", query_id="a", at_ms=NOW_MS)
        item = AppendRefusal(tenant_id=tenant, request_id=request_id, at_ms=NOW_MS, refusal=refusal, key=b"k" * 32)
        return replace(item, **changes)

    def change(self, tenant, apply):
        return AppendChange(tenant_id=tenant, at_ms=NOW_MS, type="trust", tenant_key=b"k" * 32, change=apply)

    def append_together(self, items):
        """Append items in one batch; an item's outcome, or the error that it got."""
        (first,) = self.add_requests("blocker", 1)
        blocker, *others = [(item, Future()) for item in (self.refusal("blocker", first), *items)]
        append_batch, gathered = self.sequencer._append_batch, threading.Event()

        def append_noted(batch, **named):
            gathered.set()
            append_batch(batch, **named)

        self.sequencer._append_batch = append_noted
        # The head's lock is held while the items arrive, behind one whose batch waits for it.
        with write_transaction(self.engine) as transaction:
            transaction.execute(select(log_head).with_for_update()).one()
            self.sequencer._waiting.put(blocker)
            assert gathered.wait(30)
            for each in others:
                self.sequencer._waiting.put(each)
        return [future.exception(30) or future.result() for _, future in others]

    def verify(self):
        """Check the whole log against its entries; gives (tenant, seq, log_index, type) of each, by index."""
        with read_transaction(self.engine) as transaction:
            head = transaction.execute(select(log_head)).one()
            entries = transaction.execute(select(log_entries).order_by(log_entries.c.log_index)).all()
            tiles = {(r.level, r.tile_index): r.hashes for r in transaction.execute(select(log_tiles))}
            next_seqs = dict(transaction.execute(select(tenants.c.id, tenants.c.next_seq)).all())
            issued = transaction.execute(select(scores.c.log_index).order_by(scores.c.log_index)).scalars().all()
            answered = transaction.execute(
                select(presentation_requests.c.score_id, presentation_requests.c.id)
                .where(presentation_requests.c.status == "submitted")
                .order_by(presentation_requests.c.score_id)
            ).all()
            by_score = transaction.execute(select(scores.c.id, scores.c.request_id).order_by(scores.c.id)).all()
            refused = transaction.execute(select(func.sum(presentation_requests.c.refusals))).scalar_one() or 0
        assert [entry.log_index for entry in entries] == list(range(head.size))
        rebuilt = append_leaves(Frontier.empty(), [leaf_hash(e.commitment) for e in entries], lambda _keys: {})
        assert Frontier.from_bytes(head.frontier) == rebuilt.frontier
        assert rebuilt.frontier.size == head.size
        assert tiles == dict(rebuilt.tiles)
        for tenant, next_seq in next_seqs.items():
            assert [entry.seq for entry in entries if entry.tenant_id == tenant] == list(range(next_seq))
        assert issued == [entry.log_index for entry in entries if entry.type == "score"]
        assert sorted(map(tuple, answered)) == sorted(map(tuple, by_score))
        assert refused == sum(entry.type == "refusal" for entry in entries)
        return [(entry.tenant_id, entry.seq, entry.log_index, entry.type) for entry in entries]


@pytest.fixture
def engine(database):
    engine = open_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def log(engine):
    log = Log(engine)
    for tenant in ("a", "b", "blocker"):
        log.add_tenant(tenant)
    log.sequencer.start()
    yield log
    log.sequencer.stop()


def test_entries_of_a_tenant_are_numbered_from_nought_and_the_log_runs_on(log):
    outcomes = [log.sequencer.append(log.score(t, log.add_requests(t, 1)[0])) for t in ("a", "b", "a")]
    assert [(o.log_index, o.seq) for o in outcomes] == [(0, 0), (1, 0), (2, 1)]
    assert log.verify() == [("a", 0, 0, "score"), ("b", 0, 1, "score"), ("a", 1, 2, "score")]


def test_eight_threads_make_one_log_without_a_gap(log):
    items = [
        item
        for tenant in ("a", "b")
        for request_id in log.add_requests(tenant, 150)
        for item in (log.refusal(tenant, request_id), log.score(tenant, request_id))
    ]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(log.sequencer.append, items))
    appended = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
    # A refusal may arrive after its request's score, and is then not recorded.
    assert len(appended) + sum(isinstance(outcome, NotRecorded) for outcome in outcomes) == 600
    assert sorted(outcome.log_index for outcome in appended) == list(range(len(appended)))
    assert len(log.verify()) == len(appended) >= 300
    assert max(log.batches) > 1


def test_a_batch_is_one_transaction(log):
    items = [log.score("a", request_id) for request_id in log.add_requests("a", 40)]
    outcomes = log.append_together(items)
    assert [outcome.log_index for outcome in outcomes] == list(range(1, 41))
    assert log.batches == [1, 40]
    log.verify()


def test_the_same_presentation_in_one_batch_is_answered_once(log):
    (request_id,) = log.add_requests("a", 1)
    items = [log.score("a", request_id, score_id=f"sco {n}") for n in range(5)]
    first, *others = log.append_together(items)
    assert isinstance(first, Appended)
    assert others == [AlreadyAnswered(score_id="sco 0")] * 4
    assert log.sequencer.append(items[3]) == AlreadyAnswered(score_id="sco 0")
    assert len(log.verify()) == 2


def test_another_presentation_in_the_same_batch_finds_the_nonce_used(log):
    (request_id,) = log.add_requests("a", 1)
    items = [log.score("a", request_id, presentation_mac=mac, score_id=f"sco {mac}") for mac in (b"1", b"2", b"1")]
    first, second, third = log.append_together(items)
    assert isinstance(first, Appended)
    assert isinstance(second, NonceUsed)
    assert third == AlreadyAnswered(score_id=items[0].score_id)
    with pytest.raises(NonceUsed):
        log.sequencer.append(items[1])
    log.verify()


def test_a_score_after_the_request_expired_is_refused_and_not_stored(log):
    (request_id,) = log.add_requests("a", 1)
    with pytest.raises(RequestExpired):
        log.sequencer.append(log.score("a", request_id, at_ms=EXPIRES_MS))
    assert log.sequencer.append(log.refusal("a", request_id, at_ms=EXPIRES_MS)) == NotRecorded()
    assert log.verify() == []


def test_refusals_are_entries_up_to_a_few_a_request(log):
    first, second = log.add_requests("a", 2)
    outcomes = log.append_together([log.refusal("a", first, code=f"code_{n}") for n in range(8)])
    recorded = MAX_REFUSALS_PER_REQUEST
    assert all(isinstance(outcome, Appended) for outcome in outcomes[:recorded])
    assert outcomes[recorded:] == [NotRecorded()] * (8 - recorded)
    assert log.sequencer.append(log.refusal("a", first)) == NotRecorded()
    assert isinstance(log.sequencer.append(log.refusal("a", second)), Appended)
    with read_transaction(log.engine) as transaction:
        row = transaction.execute(select(presentation_requests).where(presentation_requests.c.id == first)).one()
    assert (row.refusals, row.last_refusal) == (recorded, f"code_{recorded - 1}")
    listed = log.sequencer._requests.load_refusals(first, tenant_id="a")
    assert [each.code for each in listed] == [f"code_{n}" for n in range(recorded)]
    assert {(each.step, each.query_id, each.detail, each.at_ms) for each in listed} == {
        ("proof", "a", "Not verified.", NOW_MS)
    }
    assert log.sequencer._requests.load_refusals(first, tenant_id="b") == ()
    # However often it was refused, it can still be answered.
    assert isinstance(log.sequencer.append(log.score("a", first)), Appended)
    log.verify()


def test_a_refusal_after_the_score_is_not_recorded(log):
    (request_id,) = log.add_requests("a", 1)
    outcomes = log.append_together([log.score("a", request_id), log.refusal("a", request_id)])
    assert isinstance(outcomes[0], Appended)
    assert outcomes[1] == NotRecorded()
    log.verify()


def idempotency(key, body):
    return Idempotency(key_mac=key, body_mac=body, operation="createScore")


def test_an_idempotency_key_makes_one_score_and_no_other(log):
    first, second = log.add_requests("a", 2)
    with_key = log.score("a", first, idempotency=idempotency(b"key", b"body"))
    other_body = log.score("a", second, idempotency=idempotency(b"key", b"other body"))
    outcomes = log.append_together([with_key, replace(with_key, score_id="sco 2"), other_body])
    assert isinstance(outcomes[0], Appended)
    assert outcomes[1] == AlreadyAnswered(score_id=with_key.score_id)
    assert isinstance(outcomes[2], IdempotencyKeyReused)
    assert log.sequencer.append(with_key) == AlreadyAnswered(score_id=with_key.score_id)
    with pytest.raises(IdempotencyKeyReused):
        log.sequencer.append(other_body)
    # The same key of another tenant is another key.
    (others,) = log.add_requests("b", 1)
    assert isinstance(log.sequencer.append(log.score("b", others, idempotency=with_key.idempotency)), Appended)
    log.verify()


@pytest.mark.parametrize(
    "poison",
    [
        {"subject_id": "nobody"},  # the database refuses it
        {"body": {"points": 1.5}},  # the log refuses it
        {"subject_key": b"short"},  # a foreign library refuses it
        {"request_id": "req_unknown"},  # a fault of our own
    ],
)
def test_one_item_that_cannot_be_appended_does_not_take_its_neighbours_down(log, poison):
    items = [log.score("a", request_id) for request_id in log.add_requests("a", 7)]
    items[3] = replace(items[3], **poison)
    outcomes = log.append_together(items)
    assert isinstance(outcomes.pop(3), Exception)
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert len(log.verify()) == 7


def change(log, tenant, at_ms, *, withdraws):
    return AppendConsentChange(
        tenant_id=tenant,
        subject_id=f"sub-{tenant}",
        subject_key=b"k" * 32,
        purpose="credit_application",
        withdraws=withdraws,
        receipt_id=f"rcp of {tenant} at {at_ms}",
        at_ms=at_ms,
        body={"consent_id": consent_id_of(f"sub-{tenant}", "credit_application")},
        answer={},
    )


def test_a_withdrawal_and_scores_in_one_batch_stand_in_the_order_in_which_they_came(log):
    requests = log.add_requests("a", 4)
    log.sequencer.append(log.score("a", requests[0]))
    outcomes = log.append_together(
        [
            log.score("a", requests[1]),
            change(log, "a", 5, withdraws=True),
            log.score("a", requests[2]),
            change(log, "a", 6, withdraws=True),
            change(log, "a", 7, withdraws=False),
            log.score("a", requests[3]),
            change(log, "a", 8, withdraws=True),
        ]
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Appended, Appended, ConsentWithdrawn, AlreadyChanged, Appended, Appended, Appended]
    with read_transaction(log.engine) as transaction:
        (consent,) = transaction.execute(select(consents)).all()
        receipts = transaction.execute(select(consent_receipts.c.log_index)).scalars().all()
    assert (consent.given_at_ms, consent.withdrawn_at_ms) == (7, 8)
    told = [each for each in log.verify() if each[3] != "refusal"]
    assert sorted(receipts) == [each[2] for each in told]
    assert [each[3] for each in told] == [
        "score", "score", "consent_withdrawn", "consent_renewed", "score", "consent_withdrawn",
    ]  # fmt: skip
    # The request whose score was refused can be answered still, by somebody who consents.
    with pytest.raises(ConsentWithdrawn):
        log.sequencer.append(log.score("a", requests[2]))
    assert isinstance(log.sequencer.append(log.score("a", requests[2], purpose="credit_review")), Appended)


def test_a_consent_that_another_presented_key_withdrew_stops_a_score(log):
    ours, theirs = log.add_requests("a", 1) + log.add_requests("b", 1)
    log.sequencer.append(log.score("b", theirs))
    log.sequencer.append(change(log, "b", 5, withdraws=True))
    with pytest.raises(ConsentWithdrawn):
        log.sequencer.append(log.score("a", ours, presented_subject_ids=("sub-a", "sub-b")))
    assert isinstance(log.sequencer.append(log.score("a", ours, presented_subject_ids=("sub-a",))), Appended)


def statements_of(engine, work):
    """How many statements `work` sends to the database."""
    counted = []
    listener = lambda *arguments: counted.append(arguments[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", listener)
    work()
    event.remove(engine, "before_cursor_execute", listener)
    return counted


def fail_at(engine, place, when, error):
    """Make the statement at `place` fail before or after the database took it; None once that happened."""
    seen = [0]
    lock = threading.Lock()

    def on_statement(conn, cursor, statement, *rest):
        with lock:
            seen[0] += 1
            if seen[0] == place + 1:
                raise error

    event.listen(engine, f"{when}_cursor_execute", on_statement)
    return lambda: event.remove(engine, f"{when}_cursor_execute", on_statement)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", ["away", "unforeseen"])
def test_a_write_that_fails_anywhere_leaves_nothing_half_written(log, when, error):
    raised = {
        "away": sqlalchemy.exc.OperationalError("statement", {}, Exception("the connection is gone")),
        "unforeseen": RuntimeError("a bug"),
    }[error]
    expected = StoreUnavailable if error == "away" else RuntimeError

    def item():
        (request_id,) = log.add_requests("a", 1)
        log.sequencer.append(log.refusal("a", request_id))
        # Each under a consent of its own, so that every one has every statement.
        return log.score("a", request_id, purpose=request_id, idempotency=idempotency(request_id.encode(), b"body"))

    warm = item()
    steps = len(statements_of(log.engine, lambda: log.sequencer.append(warm)))
    assert steps > 10
    for place in range(steps):
        prepared, before = item(), log.verify()
        undo = fail_at(log.engine, place, when, raised)
        with pytest.raises(expected):
            log.sequencer.append(prepared)
        undo()
        assert log.verify() == before
        assert isinstance(log.sequencer.append(prepared), Appended)
        log.verify()


def rename(tenant, name, body):
    """A change that gives a tenant another name, and tells of it."""

    def apply(transaction):
        transaction.execute(update(tenants).where(tenants.c.id == tenant).values(name=name))
        return body

    return apply


def names_of(log):
    with read_transaction(log.engine) as transaction:
        return dict(transaction.execute(select(tenants.c.id, tenants.c.name)).all())


def test_a_change_and_its_entry_become_durable_together(log):
    appended = log.sequencer.append(log.change("a", rename("a", "renamed", {"to": "renamed"})))
    assert (appended.log_index, appended.seq) == (0, 0)
    assert log.verify() == [("a", 0, 0, "trust")]
    assert names_of(log)["a"] == "renamed"


def test_where_nothing_is_to_be_changed_there_is_nothing_to_tell(log):
    assert log.sequencer.append(log.change("a", lambda _transaction: None)) == NotRecorded()
    assert log.verify() == []


def test_a_change_that_is_refused_undoes_its_own_statements_only(log):
    def refuse(transaction):
        rename("b", "half done", {})(transaction)
        raise SequencerStopped

    first, second = log.add_requests("a", 2)
    outcomes = log.append_together(
        [
            log.score("a", first),
            log.change("b", refuse),
            log.change("a", rename("a", "renamed", {})),
            log.score("a", second),
        ]
    )
    assert [type(each) for each in outcomes] == [Appended, SequencerStopped, Appended, Appended]
    assert [entry[3] for entry in log.verify()] == ["refusal", "score", "trust", "score"]
    assert names_of(log) == {"a": "renamed", "b": "b", "blocker": "blocker"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_that_fails_at_any_statement_changes_nothing(log, when):
    def item(name):
        return log.change("a", rename("a", name, {"to": name}))

    steps = len(statements_of(log.engine, lambda: log.sequencer.append(item("warm"))))
    assert steps > 5
    for place in range(steps):
        before, names = log.verify(), names_of(log)
        undo = fail_at(log.engine, place, when, sqlalchemy.exc.OperationalError("x", {}, Exception("gone")))
        with pytest.raises(StoreUnavailable):
            log.sequencer.append(item(f"name {place}"))
        undo()
        assert (log.verify(), names_of(log)) == (before, names)
        assert isinstance(log.sequencer.append(item(f"name {place}")), Appended)


@pytest.mark.parametrize("persisted", [False, True])
def test_a_commit_that_is_not_confirmed_is_answered_when_it_is_tried_again(log, monkeypatch, persisted):
    (request_id,) = log.add_requests("a", 1)
    prepared = log.score("a", request_id)
    commit = log.engine.dialect.do_commit

    def lose_the_answer(connection):
        if threading.current_thread().name == "sequencer":
            if persisted:
                commit(connection)
            raise sqlalchemy.exc.OperationalError("COMMIT", {}, Exception("the connection is gone"))
        commit(connection)

    with monkeypatch.context() as patch:
        patch.setattr(log.engine.dialect, "do_commit", lose_the_answer)
        with pytest.raises(StoreUnavailable):
            log.sequencer.append(prepared)
    assert len(log.verify()) == (1 if persisted else 0)
    again = log.sequencer.append(replace(prepared, score_id="sco again"))
    assert isinstance(again, AlreadyAnswered if persisted else Appended)
    assert len(log.verify()) == 1


def test_a_full_disk_loses_nothing_and_is_gone_on_from(log):
    if log.engine.dialect.name != "sqlite":
        pytest.skip("no disk of PostgreSQL's can be filled from here")
    most_pages = 1  # which SQLite reads as: no more than there are

    def on_begin(connection):
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most_pages}")

    def append(item):
        try:
            return isinstance(log.sequencer.append(item), Appended)
        except StoreUnavailable:
            return False

    items = [log.score("a", request_id) for request_id in log.add_requests("a", 50)]
    event.listen(log.engine, "begin", on_begin)
    stored = [append(item) for item in items]
    assert not all(stored)
    assert len(log.verify()) == sum(stored)
    most_pages = 2**30
    assert all(append(item) for item, done in zip(items, stored, strict=True) if not done)
    assert len(log.verify()) == len(items)


def test_a_whole_batch_hears_of_a_database_that_is_away_and_nothing_is_tried_item_by_item(log):
    items = [log.score("a", request_id) for request_id in log.add_requests("a", 20)]
    tries = []

    def be_away(conn):
        if threading.current_thread().name == "sequencer":
            tries.append(1)
            if len(tries) > 1:  # the first is the one that holds up the batch
                raise sqlalchemy.exc.OperationalError("BEGIN", {}, Exception("the connection is gone"))

    event.listen(log.engine, "begin", be_away)
    outcomes = log.append_together(items)
    event.remove(log.engine, "begin", be_away)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert len(tries) == 2
    assert len(log.verify()) == 1


def test_stopping_appends_what_waits_and_refuses_what_comes(log):
    items = [log.score("a", request_id) for request_id in log.add_requests("a", 100)]
    outcomes = []

    def append(item):
        try:
            outcomes.append(log.sequencer.append(item))
        except SequencerStopped as stopped:
            outcomes.append(stopped)

    threads = [threading.Thread(target=append, args=[item]) for item in items]
    for thread in threads[:50]:
        thread.start()
    stopping = threading.Thread(target=log.sequencer.stop)
    stopping.start()
    for thread in threads[50:]:
        thread.start()
    for thread in (*threads, stopping):
        thread.join(10)
    assert len(outcomes) == 100, "a request waits for an answer that never comes"
    assert len(log.verify()) == sum(isinstance(outcome, Appended) for outcome in outcomes)
    with pytest.raises(SequencerStopped):
        log.sequencer.append(items[0])


def test_a_log_goes_on_where_another_process_left_it(log):
    first, second = log.add_requests("a", 2)
    log.sequencer.append(log.score("a", first))
    log.sequencer.stop()
    log.sequencer = log.another_sequencer()
    log.sequencer.start()
    assert log.sequencer.append(log.score("a", second)).log_index == 1
    log.verify()


def test_a_log_of_another_origin_is_not_touched(log):
    other = Log(log.engine, origin="log.example/other")
    with pytest.raises(OtherOrigin):
        other.sequencer.start()


def test_sequencers_that_start_together_make_one_head(engine):
    sequencers = [Log(engine).sequencer for _ in range(6)]
    together = threading.Barrier(len(sequencers))

    def start(each):
        together.wait()
        each.start()
        each.stop()

    with ThreadPoolExecutor(len(sequencers)) as threads:
        list(threads.map(start, sequencers))
    with read_transaction(engine) as transaction:
        assert transaction.execute(select(log_head.c.origin, log_head.c.size)).all() == [(ORIGIN, 0)]


def test_a_batch_larger_than_the_largest_is_split(log, monkeypatch):
    monkeypatch.setattr(sequencer_module, "MAX_BATCH", 4)
    items = [log.score("a", request_id) for request_id in log.add_requests("a", 10)]
    assert all(isinstance(outcome, Appended) for outcome in log.append_together(items))
    assert log.batches == [1, 4, 4, 2]
    log.verify()


def append_from_two_processes(log, database, count):
    log.add_tenant("a")
    log.add_requests("a", count)
    half = count // 2
    program = Path(__file__).with_name("sequencer_process.py")
    processes = [
        subprocess.Popen(
            [sys.executable, program, database, "a", "sub-a", str(first), str(half)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, half)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for _ in range(5):
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout.readline() == "done\n"
    said = [process.stdout.read() for process in processes]
    assert [process.wait() for process in processes] == [0, 0]
    indices = [[int(index) for index in each.split(",")] for each in said]
    assert sorted(indices[0] + indices[1]) == list(range(count))
    # They took turns.
    assert min(indices[0]) < max(indices[1])
    assert min(indices[1]) < max(indices[0])
    assert len(log.verify()) == count
    with read_transaction(log.engine) as transaction:
        assert transaction.execute(select(func.count()).select_from(idempotency_keys)).scalar_one() == 0


@pytest.mark.slow
def test_two_processes_append_to_one_log_without_gap_or_fork(engine, database):
    log = Log(engine, origin="log.example/shared")
    append_from_two_processes(log, database, 4_000 if engine.dialect.name == "postgresql" else 1_000)
