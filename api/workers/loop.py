"""The worker thread: runs each job's step when it is due, under a lease, and tries again later when one fails."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api.store.jobs import JobStore, Lease

_LOG = logging.getLogger("credence.workers")
_TICK_S = 0.1
_LONGEST_BACKOFF_MS = 30_000


@dataclass(frozen=True, kw_only=True)
class RecurringStep:
    """A step and its rhythm; `lease_ms` is more than the step ever takes."""

    run: Callable[[Lease, int], None]
    every_ms: int
    lease_ms: int


class WorkerLoop:
    """Runs recurring steps in one thread of this process, sharing them with every other process by leases."""

    def __init__(self, *, jobs: JobStore, steps: Mapping[str, RecurringStep], clock: Callable[[], int]) -> None:
        self._jobs = jobs
        self._steps = steps
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)

    def start(self) -> None:
        """Make the jobs where they are not there, and begin."""
        for name in self._steps:
            self._jobs.append_job(name, self._clock())
        self._thread.start()

    def stop(self) -> None:
        """Finish the running step, then end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def run_due(self) -> None:
        """Run every step that is due, once."""
        for name, step in self._steps.items():
            try:
                lease = self._jobs.lease(name, now_ms=self._clock(), lease_ms=step.lease_ms)
                if lease is not None:
                    self._run_step(step, lease)
            except Exception:  # the loop outlives every failure of a step or of the database
                _LOG.exception("worker step could not be run", extra={"job": name})

    def _run_step(self, step: RecurringStep, lease: Lease) -> None:
        wait_ms, failed = step.every_ms, False
        try:
            step.run(lease, self._clock())
        except Exception as error:  # noqa: BLE001  (a step may fail in any way; it is run again from what is stored)
            failed = True
            wait_ms = min(step.every_ms * 2 ** min(lease.failures, 16), max(_LONGEST_BACKOFF_MS // 10, step.every_ms))
            _LOG.warning("step failed; trying again", extra={"job": lease.name, "error": type(error).__name__})
        self._jobs.release(lease, run_at_ms=self._clock() + wait_ms, failed=failed)

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            self.run_due()
