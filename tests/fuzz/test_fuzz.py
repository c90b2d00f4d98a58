"""A short run of every fuzz target; the nightly one is `make fuzz`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

pytest.importorskip("atheris", reason="atheris is not built for this Python")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_raises_its_own_errors_only_and_takes_nothing_that_was_changed(name: str, tmp_path: Path) -> None:
    # atheris instruments what it imports and ends its process: each target needs one of its own.
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(SECONDS), "--folder", tmp_path]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=120)
    assert ended.returncode == 0, ended.stderr[-6000:]
    assert "stat::number_of_executed_units" in ended.stderr
