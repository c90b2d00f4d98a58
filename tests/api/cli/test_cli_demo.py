"""credence demo: the whole way with real parts, quick the second time, and nothing of it left running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chain.anvil import find_anvil
from chain.errors import AnvilMissing

ROOT = Path(__file__).resolve().parents[3]


def demo(cwd: Path, *options: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDENCE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli.main", "demo", *options],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_in(folder: Path) -> list[str]:
    """The command lines of every process that works in a folder, or keeps a chain in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_the_demo_runs_twice_and_leaves_a_score_that_verifies(tmp_path: Path) -> None:
    try:
        find_anvil(ROOT)
    except AnvilMissing as missing:
        pytest.skip(str(missing))
    first = demo(tmp_path)
    out, err = first.communicate(timeout=300)
    assert first.returncode == 0, err
    assert "SYNTHETIC" in out
    assert "VERIFIED" in out
    assert processes_in(tmp_path) == []

    score = tmp_path / "var/demo/score.json"
    # Before the first score stand the entries of whom its tenant trusts; the second finds all of that done.
    log_index = json.loads(score.read_bytes())["log"]["index"]
    began_s = time.monotonic()
    second = demo(tmp_path, "--json")
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    assert time.monotonic() - began_s < 60
    result = json.loads(out)
    assert (result["synthetic"], result["charged_epsilon_micro"]) == (True, 0)
    assert result["log_index"] == log_index + 1
    assert result["verification"]["verified"] is True
    document = json.loads(score.read_bytes())
    assert document["anchor"]["transaction"] == result["transaction"]
    assert document["test_mode"] is True
    assert (tmp_path / "var/trust.json").exists()

    # Ctrl-C, while the service and its chain are up.
    third = demo(tmp_path)
    log = tmp_path / "var/demo/service.log"
    began_ns = time.time_ns()
    while not (log.stat().st_mtime_ns > began_ns and b"startup complete" in log.read_bytes()):
        assert third.poll() is None
        time.sleep(0.02)
    os.killpg(third.pid, signal.SIGINT)
    out, err = third.communicate(timeout=60)
    assert third.returncode != 0
    assert "Traceback" not in err
    assert processes_in(tmp_path) == []
