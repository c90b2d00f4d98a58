"""The README's tour, run as a reader would, and its promises about the demo."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from api.cli.local_service import free_port

ROOT = Path(__file__).resolve().parents[2]
PORT_OF_THE_TOUR = "8700"


@pytest.mark.slow
def test_the_demo_and_then_every_command_of_the_tour_do_what_the_readme_says(tmp_path: Path) -> None:
    for shared in (".venv", "docs"):
        (tmp_path / shared).symlink_to(ROOT / shared)
    port = str(free_port())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDENCE_")}
    environment |= {"CREDENCE_PORT": port, "CREDENCE_CHAIN_PORT": str(free_port())}

    demo = subprocess.run(
        [ROOT / ".venv/bin/credence", "demo"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    verified = subprocess.run(
        [ROOT / ".venv/bin/credence", "verify", "var/demo/score.json"], cwd=tmp_path, env=environment, timeout=60
    )
    assert verified.returncode == 0

    tour = "\n".join(re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE))
    assert tour.count("curl ") == 8
    script = "set -euo pipefail\n" + tour.replace(PORT_OF_THE_TOUR, port)
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # the service that the tour leaves running ends with its group
    )
    try:
        shell.wait(timeout=180)
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
    output, _ = shell.communicate(timeout=30)
    log = tmp_path / "var" / "serve.log"
    assert shell.returncode == 0, output + (log.read_text() if log.exists() else "")
    assert '"seq":0' in output.replace(" ", "")
