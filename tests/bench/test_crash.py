"""A short run of the crash bench; the whole one is `python -m bench.crash`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chain.anvil import find_anvil
from chain.errors import AnvilMissing

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_few_kills_lose_nothing() -> None:
    try:
        find_anvil(ROOT)
    except AnvilMissing as missing:
        pytest.skip(str(missing))
    command = [sys.executable, "-m", "bench.crash", "--kills", "6", "--seed", "7"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert figures["violations"] == {}
    assert sum(figures["kills_by_state"].values()) == figures["kills"] == 6
    assert figures["acknowledged"] > 20
    assert figures["anchored"] > 0
