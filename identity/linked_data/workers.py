"""LinkedDataWorkers: what the service knows of JSON-LD: a few processes, a short queue, and an end to every wait."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import identity
from identity.encoding import JsonObject
from identity.errors import (
    BadLinkedData,
    BadSignature,
    ContextNotAllowed,
    IdentityError,
    LinkedDataBusy,
    LinkedDataFailed,
    RdfTooComplex,
    RelativeIri,
    UndefinedTerm,
    UnsupportedSuite,
)
from identity.linked_data.contexts import load_contexts
from identity.linked_data.frames import receive_frame, send_frame
from identity.linked_data.legacy_proof import Kind, verify_legacy_proof_claims
from identity.linked_data.structure import verify_structure

_START_TIMEOUT_S = 30.0
_ENVIRONMENT = {
    "PYTHONPATH": str(Path(identity.__file__).resolve().parents[1]),
    "PYTHONDONTWRITEBYTECODE": "1",
    # Address space is bounded, and each arena of a thread takes a great deal of it.
    "MALLOC_ARENA_MAX": "2",
}
#: A worker runs when nobody else wants the CPU, so that on a busy machine its CPU time takes longer than that.
_WALL_PER_CPU = 3
_REFUSALS: Mapping[str, type[IdentityError]] = {
    refusal.code: refusal
    for refusal in (
        BadLinkedData,
        BadSignature,
        ContextNotAllowed,
        RdfTooComplex,
        RelativeIri,
        UndefinedTerm,
        UnsupportedSuite,
    )
}


class LinkedDataWorkers:
    """Canonicalizes JSON-LD and checks linked-data proofs in `processes` of their own; safe to share between threads.

    A document gets `timeout_s` of CPU time, and three times that by the clock. At most `most_waiting` callers wait
    for a free process. `extra_contexts` (context documents by URL) are for tests alone. Processes start with the
    first document, and end with `close` or with the process that started them.
    """

    def __init__(
        self,
        *,
        processes: int = 1,
        most_waiting: int = 4,
        timeout_s: float = 2.0,
        extra_contexts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._contexts = {**load_contexts(), **(extra_contexts or {})}
        self._most_waiting = most_waiting
        self._cpu_s = timeout_s
        self._wall_s = timeout_s * _WALL_PER_CPU
        self._changed = threading.Condition()
        self._free_slots = processes
        self._idle: list[_WorkerProcess] = []
        self._started: set[_WorkerProcess] = set()
        self._waiting = 0
        self._is_closed = False

    def canonicalize(self, document: JsonObject) -> bytes:
        """The canonical N-Quads of a JSON-LD document (RDFC-1.0) in UTF-8.

        Raises as `verify_structure`; UndefinedTerm, RelativeIri or BadLinkedData where expansion would lose a part of
        it or refuse it; RdfTooComplex when it takes too long; and, retriable, LinkedDataBusy or LinkedDataFailed.
        """
        verify_structure(document, contexts=self._contexts)
        n_quads: str = self._ask({"document": document})["n_quads"]
        return n_quads.encode()

    def verify_legacy_proof(
        self, document: JsonObject, *, kind: Kind, challenge: str | None = None, domain: str | None = None
    ) -> None:
        """Verifies the linked-data proof of a W3C VC 1.1 credential or presentation, or raises.

        A presentation has to be for `challenge` and `domain`. What is verified is that the issuer, or holder, signed
        this document; not its dates, its status, or the credentials inside a presentation, which have proofs of their
        own. Raises as `verify_legacy_proof_claims` and `canonicalize`, BadSignature, and UnsupportedSuite too where
        there is no didkit: it has no wheel for Python 3.13 and later.
        """
        verify_structure(document, contexts=self._contexts)
        options = verify_legacy_proof_claims(document, kind=kind, challenge=challenge, domain=domain)
        self._ask({"document": document, "legacy_proof": {"kind": kind, "options": options}})

    def close(self) -> None:
        """End the processes, whatever they are at; a caller who waits for one gets LinkedDataFailed."""
        with self._changed:
            self._is_closed = True
            started = list(self._started)
            self._changed.notify_all()
        for process in started:
            process.kill()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._take_process()
        is_reusable = False
        try:
            answer = process.ask(request, cpu_s=self._cpu_s, wall_s=self._wall_s)
            is_reusable = answer.get("is_last") is False
        finally:
            self._give_back(process, is_reusable=is_reusable)
        if "refused" in answer:
            raise _REFUSALS.get(answer["refused"], LinkedDataFailed)
        return answer

    def _take_process(self) -> "_WorkerProcess":
        """A process for one document; raises LinkedDataBusy when too many wait already, or the wait is too long."""
        deadline = time.monotonic() + self._wall_s
        with self._changed:
            if not self._free_slots and self._waiting >= self._most_waiting:
                raise LinkedDataBusy
            self._waiting += 1
            try:
                while not self._free_slots and not self._is_closed:
                    if not self._changed.wait(deadline - time.monotonic()):
                        raise LinkedDataBusy
            finally:
                self._waiting -= 1
            if self._is_closed:
                raise LinkedDataFailed
            process = self._idle.pop() if self._idle else self._start_process()
            self._free_slots -= 1
            return process

    def _give_back(self, process: "_WorkerProcess", *, is_reusable: bool) -> None:
        if not is_reusable:
            process.end()
        with self._changed:
            if is_reusable and not self._is_closed:
                self._idle.append(process)
            else:
                self._started.discard(process)
                if not self._is_closed:
                    # Started now, it is warm by the time that the next document comes; else it is tried again then.
                    with contextlib.suppress(LinkedDataFailed):
                        self._idle.append(self._start_process())
            self._free_slots += 1
            self._changed.notify()

    def _start_process(self) -> "_WorkerProcess":
        try:
            process = _WorkerProcess(self._contexts)
        except OSError:  # no memory, no process or no file descriptor is left
            raise LinkedDataFailed from None
        self._started.add(process)
        return process


class _WorkerProcess:
    """One worker process and our end of the socket to it; used by one thread at a time, but for `kill`."""

    def __init__(self, contexts: Mapping[str, Mapping[str, Any]]) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            # Not a fork of this process, which has threads, and not its environment, which has secrets.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "identity.linked_data.worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                # Out of the way of the terminal's Ctrl-C. Not a session of its own: Linux may weigh sessions and not
                # processes against each other (sched_autogroup), and the priority below would count for nothing.
                process_group=0,
            )
        # From its first instruction: what it loads before it can ask for less takes as long as a document.
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 19)
        self._contexts = contexts
        self._is_ready = False

    def ask(self, request: Mapping[str, Any], *, cpu_s: float, wall_s: float) -> dict[str, Any]:
        """The worker's answer; raises RdfTooComplex when its CPU time is up, LinkedDataFailed at any other end."""
        try:
            if not self._is_ready:
                deadline = time.monotonic() + _START_TIMEOUT_S
                send_frame(self._connection, {"contexts": self._contexts}, deadline=deadline)
                receive_frame(self._connection, deadline=deadline)
                self._is_ready = True
            deadline = time.monotonic() + wall_s
            limits = {"cpu_s": cpu_s, "wall_s": wall_s + 1}
            send_frame(self._connection, {**request, **limits}, deadline=deadline)
            return receive_frame(self._connection, deadline=deadline)
        except (OSError, EOFError, ValueError, RecursionError):
            if self.kill() == -signal.SIGPROF:
                raise RdfTooComplex from None
            raise LinkedDataFailed from None

    def kill(self) -> int:
        """End the process at whatever instruction it is; returns how it ended, which may have been before."""
        self._process.kill()
        return self._process.wait()

    def end(self) -> None:
        """End the process and our side of it."""
        self.kill()
        self._connection.close()
