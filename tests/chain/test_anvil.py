"""The embedded chain, with real processes: what outlives a stop, a SIGKILL and the death of its owner."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from chain.anvil import Anvil, find_anvil
from chain.errors import (
    AnvilFailed,
    AnvilMissing,
    AnvilPortInUse,
    AnvilRunning,
    AnvilStateDamaged,
    ChainRefused,
    ChainUnavailable,
)

ACCOUNT = "0x" + "11" * 20

NewAnvil = Callable[..., Anvil]


@pytest.fixture
def new_anvil(anvil_binary: Path, free_port: Callable[[], int], tmp_path: Path) -> Iterator[NewAnvil]:
    made = []

    def make(**options: Any) -> Anvil:
        defaults = {"binary": anvil_binary, "state_directory": tmp_path / "chain", "port": free_port()}
        made.append(Anvil(**(defaults | options)))
        return made[-1]

    yield make
    for anvil in made:
        anvil.kill()


def height(anvil: Anvil) -> int:
    return int(anvil.request("eth_blockNumber", []), 16)


def mine(anvil: Anvil, blocks: int) -> None:
    anvil.request("anvil_mine", [hex(blocks)])


def wait_until(happened: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def written_heights(anvil: Anvil) -> list[int]:
    """The height in each copy of the state, 0 where it is not there or not whole."""
    heights = []
    for number in range(2):
        try:
            written = json.loads((anvil.state_directory / f"state-{number}.json").read_bytes())
            heights.append(int(written["best_block_number"]))
        except (OSError, ValueError):
            heights.append(0)
    return heights


def test_a_stop_keeps_the_chain(new_anvil: NewAnvil) -> None:
    anvil = new_anvil()
    anvil.start()
    anvil.fund(ACCOUNT, wei=5)
    mine(anvil, 7)
    block = anvil.request("eth_getBlockByNumber", ["0x6", False])
    anvil.stop()
    with pytest.raises(ChainUnavailable):
        anvil.request("eth_chainId", [])
    with anvil:
        assert height(anvil) == 7
        assert anvil.request("eth_getBlockByNumber", ["0x6", False]) == block
        assert anvil.request("eth_getBalance", [ACCOUNT, "latest"]) == "0x5"


def test_sigkill_loses_no_more_than_was_not_yet_written(new_anvil: NewAnvil) -> None:
    anvil = new_anvil()
    anvil.start()
    mine(anvil, 9)
    wait_until(lambda: written_heights(anvil) == [9, 9])  # one of which may be being written again
    anvil.kill()
    with anvil:
        assert height(anvil) == 9


def test_sigkill_at_any_moment_leaves_a_chain_to_start_from(new_anvil: NewAnvil) -> None:
    anvil = new_anvil()
    kept = 0
    for round_number in range(3):
        anvil.start()
        assert height(anvil) == kept
        mine(anvil, 1000)
        kept = height(anvil)
        wait_until(lambda kept=kept: written_heights(anvil) == [kept, kept])
        time.sleep(0.95 + 0.05 * round_number)  # about when the state is being written
        anvil.kill()
    assert kept == 3000


def test_a_half_written_state_gives_way_to_the_other(new_anvil: NewAnvil) -> None:
    anvil = new_anvil()
    copies = [anvil.state_directory / f"state-{number}.json" for number in range(2)]
    with anvil:
        mine(anvil, 3)
        wait_until(lambda: all(copy.exists() for copy in copies))
        mine(anvil, 4)
    newest = max(copies, key=lambda copy: copy.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-1])
    with anvil:
        assert height(anvil) in (3, 7)
    for copy in copies:
        copy.write_bytes(copy.read_bytes()[:100])
    with pytest.raises(AnvilStateDamaged):
        anvil.start()


def behind_its_blocks(state: Any) -> None:
    state["best_block_number"] -= 1


def ahead_of_its_blocks(state: Any) -> None:
    highest = max(state["blocks"], key=lambda block: int(block["header"]["number"], 16))
    state["blocks"].remove(highest)


def with_a_block_that_was_undone(state: Any) -> None:
    undone = deepcopy(next(block for block in state["blocks"] if block["header"]["number"] == "0x2"))
    undone["header"]["timestamp"] = "0x7fffffff"
    state["blocks"].append(undone)


def with_accounts_of_another_chain(state: Any) -> None:
    state["accounts"][ACCOUNT]["nonce"] += 1


@pytest.mark.parametrize(
    "spoil",
    [behind_its_blocks, ahead_of_its_blocks, with_a_block_that_was_undone, with_accounts_of_another_chain],
)
def test_a_state_whose_pieces_are_of_two_chains_gives_way_to_the_other(
    new_anvil: NewAnvil, spoil: Callable[[Any], None]
) -> None:
    anvil = new_anvil()
    with anvil:
        anvil.fund(ACCOUNT)
        mine(anvil, 3)
        wait_until(lambda: written_heights(anvil) == [3, 3])
    copies = [anvil.state_directory / f"state-{number}.json" for number in range(2)]
    older, newest = sorted(copies, key=lambda copy: copy.stat().st_mtime_ns)
    assert anvil._newest_state() == newest
    state = json.loads(newest.read_bytes())
    spoil(state)
    newest.write_text(json.dumps(state))
    assert anvil._newest_state() == older
    with anvil:
        assert height(anvil) == 3
    for copy in copies:
        state = json.loads(copy.read_bytes())
        spoil(state)
        copy.write_text(json.dumps(state))
    assert anvil._newest_state() == copies[1]  # written last: better than no chain


def test_the_first_block_is_the_same_at_every_start(new_anvil: NewAnvil, tmp_path: Path) -> None:
    # anvil would make one of its own at each, keep it beside that of its state, and show now this, now that one.
    def first_block(anvil: Anvil) -> Any:
        return anvil.request("eth_getBlockByNumber", ["0x0", False])

    with new_anvil() as anvil, new_anvil(state_directory=tmp_path / "other") as other:
        mine(anvil, 3)
        genesis_hash = first_block(anvil)["hash"]
        assert first_block(other)["hash"] == genesis_hash
        assert int(first_block(anvil)["timestamp"], 16) < time.time() - 365 * 86_400
        newest = anvil.request("eth_getBlockByNumber", ["latest", False])
        assert abs(int(newest["timestamp"], 16) - time.time()) < 60
    with anvil:
        assert height(anvil) == 3
        assert first_block(anvil)["hash"] == genesis_hash
        mine(anvil, 1)
        newest = anvil.request("eth_getBlockByNumber", ["latest", False])
        assert abs(int(newest["timestamp"], 16) - time.time()) < 60


def test_only_what_was_written_since_is_written_over(new_anvil: NewAnvil) -> None:
    anvil = new_anvil()
    first, second = (anvil.state_directory / f"state-{number}.json" for number in range(2))
    target = anvil.state_directory / "state.json"
    with anvil:
        assert target.readlink() == Path(first.name)
        wait_until(lambda: target.readlink() == Path(second.name))
        assert first.exists()
        wait_until(lambda: target.readlink() == Path(first.name))
        assert second.exists()


def test_anvil_ends_with_its_owner_and_keeps_its_state(new_anvil: NewAnvil, pytestconfig: pytest.Config) -> None:
    anvil = new_anvil()
    owner = f"""
import sys, time
from pathlib import Path
from chain.anvil import Anvil
binary, state_directory = Path({str(anvil.binary)!r}), Path({str(anvil.state_directory)!r})
anvil = Anvil(binary=binary, state_directory=state_directory, port={anvil.port})
anvil.start()
anvil.request("anvil_mine", ["0x5"])
print("mined", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", owner], cwd=pytestconfig.rootpath, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"mined\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with anvil:  # on the same port and state at once: it waits for its predecessor to end
        assert height(anvil) == 5


def test_one_state_has_one_anvil(
    new_anvil: NewAnvil, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chain.anvil._PREDECESSOR_GRACE_S", 0.1)
    with new_anvil() as anvil:
        with pytest.raises(AnvilRunning):
            new_anvil().start()
        assert height(anvil) == 0


def test_a_port_in_use_is_refused(new_anvil: NewAnvil, tmp_path: Path) -> None:
    with new_anvil() as anvil, pytest.raises(AnvilPortInUse):
        new_anvil(port=anvil.port, state_directory=tmp_path / "other").start()


def test_a_binary_that_ends_is_refused(new_anvil: NewAnvil) -> None:
    with pytest.raises(AnvilFailed):
        new_anvil(binary=Path("/bin/false")).start()


def test_a_binary_that_never_answers_is_ended(new_anvil: NewAnvil, tmp_path: Path) -> None:
    script = tmp_path / "silent"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    with pytest.raises(AnvilFailed):
        new_anvil(binary=script, start_timeout_s=0.3).start()


def test_what_answers_as_a_chain_and_is_no_anvil_is_ended(new_anvil: NewAnvil, tmp_path: Path) -> None:
    script = tmp_path / "another"
    script.write_text(f"""#!{sys.executable}
import http.server, sys
class Node(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{{"result": "0x7a69"}}' if b"eth_chainId" in asked else b'{{"error": {{}}}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Node).serve_forever()
""")
    script.chmod(0o755)
    anvil = new_anvil(binary=script)
    with pytest.raises(AnvilFailed):
        anvil.start()
    with pytest.raises(ChainUnavailable):
        anvil.request("eth_chainId", [])


def test_find_anvil_refuses_where_none_is_installed(tmp_path: Path) -> None:
    with pytest.raises(AnvilMissing):
        find_anvil(tmp_path)


def test_blocks_come_by_the_clock_when_asked(new_anvil: NewAnvil) -> None:
    with new_anvil(block_time_s=1, chain_id=4242) as anvil:
        assert anvil.request("eth_chainId", []) == hex(4242)
        wait_until(lambda: height(anvil) >= 2)


def test_no_account_with_a_known_key_is_funded(new_anvil: NewAnvil) -> None:
    with new_anvil() as anvil:
        assert anvil.request("eth_accounts", []) == []
        first_of_the_test_mnemonic = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        assert anvil.request("eth_getBalance", [first_of_the_test_mnemonic, "latest"]) == "0x0"
        with pytest.raises(ChainRefused):
            anvil.request("no_such_method", [])
