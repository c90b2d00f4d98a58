"""Recurring jobs with leases: at most one process runs a step, and one that died gives it up by itself.

A lease is short and renewed while its step runs. Every write of a step is fenced: it is refused once another process
has taken the job, however late the first one finds out.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from api.store.database import StoreError, read_transaction, write_transaction
from api.store.tables import jobs

#: Clocks of two hosts differ by less. A time that lies further ahead than anybody waits plus this was written before
#: the clock was set back, and does not count.
_CLOCK_SKEW_MS = 60_000


class LeaseLost(StoreError):
    """The lease ran out and another process took the job; what was about to be written is not."""

    code = "lease_lost"

    def __init__(self) -> None:
        super().__init__("The lease of the job was lost.")


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to run a job's step; ``fence`` tells it from every earlier and later lease of the job."""

    name: str
    owner: str
    fence: int
    failures: int


class JobStore:
    """Takes, renews and gives back leases; `owner` is this process, and no other."""

    def __init__(self, *, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._owner = owner

    def append_job(self, name: str, now_ms: int) -> None:
        """Make the job where it is not there."""
        with read_transaction(self._engine) as transaction:
            if transaction.execute(select(jobs.c.name).where(jobs.c.name == name)).first() is not None:
                return
        try:
            with write_transaction(self._engine) as transaction:
                transaction.execute(
                    insert(jobs).values(name=name, run_at_ms=now_ms, lease_until_ms=0, fence=0, failures=0)
                )
        except IntegrityError:
            return

    def lease(self, name: str, *, now_ms: int, lease_ms: int, longest_wait_ms: int) -> Lease | None:
        """Take the job if it is due and nobody else holds it; it never waits longer than `longest_wait_ms`."""
        at, until = jobs.c.run_at_ms, jobs.c.lease_until_ms
        due = or_(at <= now_ms, at > now_ms + longest_wait_ms + _CLOCK_SKEW_MS)
        free = or_(until <= now_ms, until > now_ms + lease_ms + _CLOCK_SKEW_MS, jobs.c.lease_owner == self._owner)
        with read_transaction(self._engine) as transaction:
            if transaction.execute(select(jobs.c.name).where(jobs.c.name == name, due, free)).first() is None:
                return None
        with write_transaction(self._engine) as transaction:
            row = transaction.execute(
                update(jobs)
                .where(jobs.c.name == name, due, free)
                .values(lease_owner=self._owner, lease_until_ms=now_ms + lease_ms, fence=jobs.c.fence + 1)
                .returning(jobs.c.fence, jobs.c.failures)
            ).one_or_none()
        if row is None:
            return None
        return Lease(name=name, owner=self._owner, fence=row.fence, failures=row.failures)

    def renew(self, lease: Lease, *, now_ms: int, lease_ms: int) -> None:
        """Hold the job for longer; does nothing where the lease is no longer held."""
        with write_transaction(self._engine) as transaction:
            transaction.execute(
                update(jobs)
                .where(jobs.c.name == lease.name, jobs.c.fence == lease.fence, jobs.c.lease_owner == lease.owner)
                .values(lease_until_ms=now_ms + lease_ms)
            )

    def release(self, lease: Lease, *, run_at_ms: int, failed: bool) -> None:
        """Give the job back, to be run again at `run_at_ms`; does nothing where the lease is no longer held."""
        with write_transaction(self._engine) as transaction:
            transaction.execute(
                update(jobs)
                .where(jobs.c.name == lease.name, jobs.c.fence == lease.fence)
                .values(
                    run_at_ms=run_at_ms,
                    lease_owner=None,
                    lease_until_ms=0,
                    failures=jobs.c.failures + 1 if failed else 0,
                )
            )


def verify_lease(transaction: Connection, lease: Lease) -> None:
    """Raises `LeaseLost` unless nobody took the job since; locks its row until the transaction ends."""
    fence = transaction.execute(select(jobs.c.fence).where(jobs.c.name == lease.name).with_for_update()).scalar_one()
    if fence != lease.fence:
        raise LeaseLost
