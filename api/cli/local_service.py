"""A `credence serve` process of our own on loopback, and a lender's way of calling it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from api.cli.terminal import CommandFailed
from api.settings import Settings

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 30.0
_POLL_S = 0.05


def free_port(preferred: int = 0) -> int:
    """A port of 127.0.0.1 that nobody listens on: the preferred one where it is free."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
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


class ApiClient:
    """An OAuth2 client of the API, with a token for all of its scopes; every refusal raises `CommandFailed`."""

    def __init__(self, base_url: str, *, client_id: str, client_secret: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=CALL_TIMEOUT_S, trust_env=False)
        answer = self._http.post(
            "/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, client_secret)
        )
        self._http.headers["Authorization"] = f"Bearer {_checked(answer).json()['access_token']}"

    def get(self, path: str, **parameters: str | int) -> httpx.Response:
        """GET a path."""
        return _checked(self._http.get(path, params=parameters))

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """POST a JSON body."""
        return _checked(self._http.post(path, json=body))

    def close(self) -> None:
        """Close its connections."""
        self._http.close()


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        code = str(answer.json().get("code", ""))
    except (ValueError, AttributeError):
        code = ""
    request = answer.request
    raise CommandFailed(f"{request.method} {request.url.path} answered {answer.status_code} {code}".rstrip() + ".")
