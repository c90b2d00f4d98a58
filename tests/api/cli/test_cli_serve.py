"""credence serve: refuses what cannot work, brings its chain up and down with it, and logs no content."""

import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.local_service import free_port
from api.cli.serve import configure_logging
from chain.anvil import find_anvil
from chain.errors import AnvilMissing

ROOT = Path(__file__).resolve().parents[3]
Credence = Callable[..., Any]


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_without_a_model_it_says_what_to_do(credence: Credence) -> None:
    ran = credence("serve")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "credence train" in ran.err
    assert "credence demo" in ran.err


def test_a_port_that_is_taken_is_one_line(credence: Credence, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("CREDENCE_MODEL", str(model))
        monkeypatch.setenv("CREDENCE_PORT", str(taken.getsockname()[1]))
        before, handlers = signal.getsignal(signal.SIGTERM), logging.getLogger().handlers[:]
        try:
            ran = credence("serve")
        finally:
            signal.signal(signal.SIGTERM, before)
            logging.getLogger().handlers[:] = handlers
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "CREDENCE_PORT" in ran.err


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_embedded_chain_comes_and_goes_with_the_service(
    model: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    try:
        find_anvil(ROOT)
    except AnvilMissing as missing:
        pytest.skip(str(missing))
    port, chain_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDENCE_")}
    environment |= {"PYTHONPATH": str(ROOT), "CREDENCE_PORT": str(port), "CREDENCE_CHAIN_PORT": str(chain_port)}
    environment["CREDENCE_MODEL"] = str(model)
    with (tmp_path / "log").open("wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", "serve", "--log-format", "json"],
            cwd=tmp_path,
            env=environment,
            stderr=log,
        )
        try:
            deadline_s = time.monotonic() + 60
            while not answers(f"http://127.0.0.1:{port}/v1/healthz"):
                assert service.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline_s, "it does not answer"
                time.sleep(0.05)
            assert listening(chain_port)
            answer = httpx.get(f"http://127.0.0.1:{port}/v1/log/checkpoint", trust_env=False)
            assert "server" not in answer.headers
        finally:
            service.send_signal(ending)
            assert service.wait(60) == 0
    assert not listening(chain_port)
    assert not listening(port)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"at", "level", "logger", "message"} <= lines[0].keys()
    assert any(line["logger"] == "credence.access" for line in lines)
    shutil.rmtree(tmp_path / "var")


@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_is_logged_by_its_type_and_place_not_its_message(as_json: bool) -> None:
    handlers, stream = logging.getLogger().handlers[:], io.StringIO()
    try:
        configure_logging(as_json=as_json)
        handler = logging.getLogger().handlers[0]
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(stream)
        try:
            raise ValueError("+254700000000")
        except ValueError:
            logging.getLogger("credence.http").exception("internal error")
        logging.getLogger("somebody.else").info("chatter")
    finally:
        logging.getLogger().handlers[:] = handlers
    (line,) = stream.getvalue().splitlines()
    assert "ValueError" in line
    assert "test_cli_serve.py" in line
    assert "254700000000" not in line
