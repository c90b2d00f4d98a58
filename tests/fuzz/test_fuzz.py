"""A short run of every fuzz target; the nightly one is `make fuzz`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.all_targets import TARGETS

pytest.importorskip("atheris", reason="atheris is not built for this Python")

ROOT = Path(__file__).resolve().parents[2]
RUNS = 600
#: Targets that share a process to begin with: to import what atheris instruments takes longer than to fuzz a moment.
A_GROUP = 8
GROUPS = [list(TARGETS)[begin : begin + A_GROUP] for begin in range(0, len(TARGETS), A_GROUP)]


@pytest.mark.parametrize("names", GROUPS, ids=" ".join)
def test_parsers_raise_their_own_errors_only_and_take_nothing_that_was_changed(
    names: list[str], tmp_path: Path
) -> None:
    limits = ["--runs", str(RUNS), "--seconds", "10", "--folder", str(tmp_path)]
    command = [sys.executable, "-m", "tests.fuzz", *names, *limits]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=300)
    assert ended.returncode == 0, ended.stderr[-6000:]
    assert ended.stderr.count("stat::number_of_executed_units") == len(names)
