"""A `credence serve` process of our own on loopback."""

import itertools
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from api.cli.terminal import CommandFailed
from api.settings import Settings

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05

# Each is given out once, and none is one that the system gives to outgoing connections: between our look and the start
# of the server that it is for, nobody else comes by it.
_PORTS = itertools.cycle(random.sample(range(20_000, 32_000), 12_000))
_MOST_TRIES = 100


def free_port(preferred: int = 0) -> int:
    """A port of 127.0.0.1 that nobody listens on: the preferred one where it is free."""
    tried = itertools.islice(_PORTS, _MOST_TRIES)
    for port in itertools.chain([preferred], tried) if preferred else tried:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise CommandFailed("No port of 127.0.0.1 is free.")


@contextmanager
def running_service(settings: Settings, environment: Mapping[str, str], *, log: Path) -> Iterator[None]:
    """Run `credence serve` under `environment`, which `settings` were loaded from, while the context lasts.

    Its log goes to a file. Raises `CommandFailed` where it does not come up.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", "serve"],
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
        )
        try:
            _await_answer(process, f"{settings.base_url}/v1/healthz", log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise CommandFailed(f"The service did not start: {lines[-1].removeprefix('credence: ')} (see {log})")
        try:
            if httpx.get(url, timeout=1.0, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline_s:
            raise CommandFailed(f"The service did not answer within {START_TIMEOUT_S:.0f} s (see {log}).")
        time.sleep(_POLL_S)
