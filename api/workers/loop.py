"""The worker threads: each runs one job's step when it is due, under a lease, and tries again later when it fails."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api.store.jobs import JobStore, Lease

_LOG = logging.getLogger("credence.workers")
_TICK_S = 0.1
#: A process that was killed holds up its jobs for this long at most. One that is only slow renews its leases.
_LEASE_MS = 3_000
_LONGEST_BACKOFF_MS = 5_000
#: A step that runs for longer hangs: it keeps its lease no more, so that another process may take the job.
_LONGEST_STEP_MS = 120_000
#: How long a stop waits for running steps. They may be ended anywhere; only one that hangs is.
_STOP_WAIT_S = 15.0


@dataclass(frozen=True, kw_only=True)
class RecurringStep:
    """A step, and how long after one run the next one follows."""

    run: Callable[[Lease, int], None]
    every_ms: int

    @property
    def longest_wait_ms(self) -> int:
        """How long after a failure it is run again at the latest."""
        return max(self.every_ms, _LONGEST_BACKOFF_MS)


class WorkerLoop:
    """Runs recurring steps, each in a thread of its own, sharing them with every other process by leases.

    A thread each, because a chain that does not answer must not hold up the checkpoints.
    """

    def __init__(self, *, jobs: JobStore, steps: Mapping[str, RecurringStep], clock: Callable[[], int]) -> None:
        self._jobs = jobs
        self._steps = steps
        self._clock = clock
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[name], name=name, daemon=True) for name in steps]

    def start(self) -> None:
        """Make the jobs where they are not there, and begin."""
        for name in self._steps:
            self._jobs.append_job(name, self._clock())
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the running steps, then end; a step that hangs ends with the process."""
        self._stop.set()
        deadline = time.monotonic() + _STOP_WAIT_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def run_due(self, name: str) -> bool:
        """Run a step once if it is due and no other process runs it; returns whether it was run."""
        step = self._steps[name]
        lease = self._jobs.lease(name, now_ms=self._clock(), lease_ms=_LEASE_MS, longest_wait_ms=step.longest_wait_ms)
        if lease is None:
            return False
        done = threading.Event()
        renewal = threading.Thread(target=self._renew, args=[lease, done], name=f"{name} lease", daemon=True)
        renewal.start()
        wait_ms, failed = step.every_ms, False
        try:
            step.run(lease, self._clock())
        except Exception as error:  # noqa: BLE001  (a step may fail in any way; it is run again from what is stored)
            failed = True
            wait_ms = min(step.every_ms * 2 ** min(lease.failures, 16), step.longest_wait_ms)
            _LOG.warning("%s failed and is tried again: %s", name, type(error).__name__)
        finally:
            done.set()
            renewal.join()
        self._jobs.release(lease, run_at_ms=self._clock() + wait_ms, failed=failed)
        return True

    def _renew(self, lease: Lease, done: threading.Event) -> None:
        hangs_at = time.monotonic() + _LONGEST_STEP_MS / 1000
        while not done.wait(_LEASE_MS / 3000) and time.monotonic() < hangs_at:
            try:
                self._jobs.renew(lease, now_ms=self._clock(), lease_ms=_LEASE_MS)
            except Exception as error:  # noqa: BLE001  (not renewed is as good as lost, which the step's writes notice)
                _LOG.warning("the lease of %s was not renewed: %s", lease.name, type(error).__name__)

    def _run(self, name: str) -> None:
        while not self._stop.wait(_TICK_S):
            try:
                self.run_due(name)
            except Exception as error:  # noqa: BLE001  (the thread outlives every failure of the database)
                _LOG.warning("%s could not be run: %s", name, type(error).__name__)
