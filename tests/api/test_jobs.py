"""Leases: one holder at a time, a dead one's given up by itself, and nothing written by who lost it."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from api.store.database import open_engine, write_transaction
from api.store.jobs import JobStore, Lease, LeaseLost, verify_lease
from api.store.tables import jobs
from api.workers.loop import RecurringStep, WorkerLoop

NOW_MS = 1_790_000_000_000
TERMS = {"lease_ms": 3_000, "longest_wait_ms": 10_000}


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    opened = open_engine(database)
    yield opened
    opened.dispose()


@pytest.fixture
def ours(engine: Engine) -> JobStore:
    store = JobStore(engine=engine, owner="ours")
    store.append_job("work", NOW_MS)
    return store


@pytest.fixture
def theirs(engine: Engine) -> JobStore:
    return JobStore(engine=engine, owner="theirs")


def take(store: JobStore, at_ms: int = NOW_MS) -> Lease | None:
    return store.lease("work", now_ms=at_ms, **TERMS)


def row(engine: Engine) -> object:
    with engine.connect() as connection:
        return connection.execute(select(jobs)).one()


def test_a_job_is_made_once(engine, ours, theirs) -> None:
    theirs.append_job("work", NOW_MS + 1)
    assert row(engine).run_at_ms == NOW_MS


def test_one_process_at_a_time_holds_a_job(ours, theirs) -> None:
    assert take(ours) is not None
    assert take(theirs) is None
    assert take(theirs, NOW_MS + TERMS["lease_ms"] - 1) is None
    assert take(theirs, NOW_MS + TERMS["lease_ms"]) is not None


def test_a_renewed_lease_is_kept(ours, theirs) -> None:
    lease = take(ours)
    ours.renew(lease, now_ms=NOW_MS + 2_000, lease_ms=3_000)
    assert take(theirs, NOW_MS + 4_999) is None
    assert take(theirs, NOW_MS + 5_000) is not None
    ours.renew(lease, now_ms=NOW_MS + 6_000, lease_ms=3_000)  # too late: it is theirs
    assert take(theirs, NOW_MS + 6_000) is not None


def test_a_job_is_not_taken_before_it_is_due(ours, theirs) -> None:
    ours.release(take(ours), run_at_ms=NOW_MS + 100, failed=False)
    assert take(ours, NOW_MS + 99) is None
    assert take(theirs, NOW_MS + 100) is not None


def test_failures_are_counted_until_a_run_succeeds(engine, ours) -> None:
    for failed, failures in ((True, 1), (True, 2), (False, 0), (True, 1)):
        lease = take(ours)
        ours.release(lease, run_at_ms=NOW_MS, failed=failed)
        assert row(engine).failures == failures


def test_who_lost_the_lease_can_neither_write_nor_release(engine, ours, theirs) -> None:
    lost = take(ours)
    held = take(theirs, NOW_MS + TERMS["lease_ms"])
    before = row(engine)
    ours.release(lost, run_at_ms=0, failed=True)
    assert row(engine) == before
    with pytest.raises(LeaseLost), write_transaction(engine) as transaction:
        verify_lease(transaction, lost)
    with write_transaction(engine) as transaction:
        verify_lease(transaction, held)


def test_a_clock_set_back_does_not_stop_a_job(ours, theirs) -> None:
    ours.release(take(ours), run_at_ms=NOW_MS + TERMS["longest_wait_ms"], failed=False)
    hours_ago = NOW_MS - 2 * 3_600_000
    assert take(ours, NOW_MS - 1) is None  # clocks differ by that
    assert take(ours, hours_ago) is not None
    assert take(theirs, hours_ago) is None
    assert take(theirs, hours_ago - 2 * 3_600_000) is not None


def test_of_many_that_reach_for_a_job_at_once_one_gets_it(engine, ours) -> None:
    for number in range(5):
        stores = [JobStore(engine=engine, owner=f"{number}") for number in range(8)]
        at_ms = NOW_MS + number * TERMS["lease_ms"]
        barrier = threading.Barrier(len(stores))
        taken: list[Lease] = []

        def reach(store: JobStore, at_ms: int = at_ms, barrier=barrier, taken=taken) -> None:
            barrier.wait()
            lease = take(store, at_ms)
            if lease is not None:
                taken.append(lease)

        threads = [threading.Thread(target=reach, args=[store]) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1


# The loop


class Clock:
    now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def loop_of(store: JobStore, clock, **steps) -> WorkerLoop:
    return WorkerLoop(
        jobs=store, steps={name: RecurringStep(run=run, every_ms=1_000) for name, run in steps.items()}, clock=clock
    )


def test_a_step_that_fails_is_run_again_ever_later_and_soon_after_it_succeeds(engine, ours, caplog) -> None:
    clock, waits, fail = Clock(), [], True

    def work(_lease: Lease, _now_ms: int) -> None:
        if fail:
            raise RuntimeError("+62 812 3456 7890")

    loop = loop_of(ours, clock, work=work)
    with caplog.at_level(logging.DEBUG):
        for _ in range(6):
            assert loop.run_due("work")
            waits.append(row(engine).run_at_ms - clock.now_ms)
            clock.now_ms = row(engine).run_at_ms
    assert waits == [1_000, 2_000, 4_000, 5_000, 5_000, 5_000]
    assert "RuntimeError" in caplog.text
    assert "3456" not in caplog.text
    fail = False
    assert loop.run_due("work")
    assert (row(engine).failures, row(engine).run_at_ms - clock.now_ms) == (0, 1_000)
    assert not loop.run_due("work")


def test_a_long_step_keeps_its_lease(engine, ours, theirs) -> None:
    clock, taken = Clock(), []

    def work(_lease: Lease, _now_ms: int) -> None:
        for _ in range(3):
            held_until = row(engine).lease_until_ms
            clock.now_ms = held_until - 1
            deadline = time.monotonic() + 30
            while row(engine).lease_until_ms == held_until:
                assert time.monotonic() < deadline, "it was not renewed"
                time.sleep(0.01)
            taken.append(take(theirs, held_until))

    assert loop_of(ours, clock, work=work).run_due("work")
    assert taken == [None] * 3


def test_a_step_that_hangs_loses_its_lease_and_holds_up_no_stop(engine, ours, theirs, monkeypatch) -> None:
    monkeypatch.setattr("api.workers.loop._LONGEST_STEP_MS", 0)
    monkeypatch.setattr("api.workers.loop._STOP_WAIT_S", 0.5)
    hung, began = threading.Event(), threading.Event()

    def hang(_lease: Lease, _now_ms: int) -> None:
        began.set()
        hung.wait(60)

    loop = loop_of(ours, Clock(), work=hang)
    loop.start()
    assert began.wait(30)
    held_until = row(engine).lease_until_ms
    loop.stop()
    (worker,) = loop._threads
    assert worker.is_alive()
    time.sleep(1.5)  # longer than from one renewal to the next
    assert take(theirs, held_until) is not None
    hung.set()
    worker.join()


def test_a_step_that_hangs_holds_up_no_other(ours) -> None:
    hung, worked = threading.Event(), threading.Event()
    loop = loop_of(
        ours,
        lambda: int(time.time() * 1000),
        hang=lambda _lease, _now_ms: hung.wait(60),
        checkpoint=lambda _lease, _now_ms: worked.set(),
    )
    loop.start()
    assert worked.wait(30)
    worked.clear()
    assert worked.wait(30)
    hung.set()
    loop.stop()
