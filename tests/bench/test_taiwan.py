"""Real credit records through the whole service: every score that HTTP returns equals the offline score of its row."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chain.anvil import find_anvil
from chain.errors import AnvilMissing

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_500_scores_over_http_equal_the_offline_ones(test_data: Path) -> None:
    try:
        find_anvil(ROOT)
    except AnvilMissing as missing:
        pytest.skip(str(missing))
    command = [sys.executable, "-m", "bench.taiwan", "--rows", "500", "--json"]
    environment = {**os.environ, "CREDENCE_TEST_DATA": str(test_data)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads(ended.stdout)
    assert result["equal"] == result["rows"] == 500
    for rows in ("rows_through_http", "whole_fold"):
        assert set(result["auc"][rows]) == {"credence", "lightgbm"}
    assert result["auc"]["whole_fold"]["credence"] > 0.7
    assert result["auc"]["whole_fold"]["lightgbm"] > 0.7
