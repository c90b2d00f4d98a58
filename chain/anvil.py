"""anvil as the embedded chain: one process whose chain outlives stops, restarts and SIGKILL."""

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, Self

from chain.errors import (
    AnvilFailed,
    AnvilMissing,
    AnvilPortInUse,
    AnvilRunning,
    AnvilStateDamaged,
    ChainRefused,
    ChainUnavailable,
)

_HOST = "127.0.0.1"
_STATE_INTERVAL_S = 1
_POLL_S = 0.02
_REQUEST_TIMEOUT_S = 10.0
_PREDECESSOR_GRACE_S = 10.0

# States of past blocks that stay in memory, so that a reorganisation may go this deep. Without a limit anvil writes
# the state of every block to disk, gigabytes in a day; blocks, transactions and receipts are all kept either way.
_HISTORY_BLOCKS = 64

# anvil makes a first block of its own at every start and keeps it beside the one of the state that it loads: both have
# to be the same, or block 0 is now one and now the other.
_GENESIS_TIME_S = 1_700_000_000

# anvil in the background, asked to stop (and so to write its state) when our end of the pipe closes: it never
# outlives us, however we end.
_SUPERVISOR = """
exec 3<&0
"$@" 3<&- </dev/null &
anvil=$!
(read -r _ <&3; kill -TERM $anvil) 2>/dev/null &
watch=$!
wait $anvil
status=$?
kill $watch 2>/dev/null
exit $status
"""


def find_anvil(project_root: Path) -> Path:
    """The anvil binary in the platform package that `npm ci` installed; raises AnvilMissing."""
    for binary in sorted((project_root / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*")):
        return binary
    raise AnvilMissing


class Anvil:
    """An anvil process on loopback whose state lies in `state_directory`.

    With `block_time_s` a block is mined every so many seconds, else one per transaction. Every block adds 1.5 KB to a
    state that is written out whole each second, so a chain that is to live for weeks leaves the block time out.
    A SIGKILL of anvil loses at most about three seconds of the chain, as a reorganisation does. No account is funded,
    because anvil's own have keys that everyone knows: use `fund`.
    """

    def __init__(
        self,
        *,
        binary: Path,
        state_directory: Path,
        port: int,
        chain_id: int = 31337,
        block_time_s: int | None = None,
        start_timeout_s: float = 30.0,
    ) -> None:
        self.binary = binary
        self.state_directory = state_directory
        self.port = port
        self.chain_id = chain_id
        self.block_time_s = block_time_s
        self.start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()

    @property
    def rpc_url(self) -> str:
        """Where the chain answers."""
        return f"http://{_HOST}:{self.port}"

    def start(self) -> None:
        """Starts anvil on the state of its last run and waits until it answers.

        An anvil whose owner was killed gets a few seconds to end. Raises AnvilRunning where another one keeps the
        state, AnvilPortInUse, AnvilStateDamaged, or AnvilFailed where anvil ends or is not ready in time.
        """
        self.state_directory.mkdir(parents=True, exist_ok=True)
        with (self.state_directory / "anvil.log").open("ab") as log:
            self._await_predecessor(log)
            log.truncate(0)
            state = self._newest_state()
            first, second = self._copies
            self._dump_to(second if state == first else first)
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SUPERVISOR, "anvil", *self._command(state)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + self.start_timeout_s
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AnvilFailed
            time.sleep(_POLL_S)
        try:
            self.request("evm_setTime", [int(time.time())])
        except (ChainUnavailable, ChainRefused):
            self.kill()
            raise AnvilFailed from None
        self._stopping = threading.Event()
        threading.Thread(target=self._alternate_dumps, args=[self._stopping], name="anvil-dumps", daemon=True).start()

    def stop(self, *, timeout_s: float = 30.0) -> None:
        """Asks anvil to write its state and end; kills it after `timeout_s`."""
        if self._process is None:
            return
        self._stopping.set()
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """Ends anvil with SIGKILL, which writes no state."""
        if self._process is None:
            return
        self._stopping.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    def fund(self, address: str, *, wei: int = 10**20) -> None:
        """Sets an account's balance."""
        self.request("anvil_setBalance", [address, hex(wei)])

    def request(self, method: str, params: list[Any]) -> Any:
        """One JSON-RPC request, for anvil's own methods; raises ChainUnavailable, or ChainRefused."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=_REQUEST_TIMEOUT_S)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            raise ChainUnavailable from None
        finally:
            connection.close()
        if not isinstance(answer, dict) or "result" not in answer:
            raise ChainRefused
        return answer["result"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _await_predecessor(self, log: BinaryIO) -> None:
        # The log is the lock: anvil holds it open, so that it is free exactly when no anvil writes this state.
        deadline = time.monotonic() + _PREDECESSOR_GRACE_S
        while True:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AnvilRunning from None
                time.sleep(_POLL_S)
        with socket.socket() as probe:
            if probe.connect_ex((_HOST, self.port)) == 0:
                raise AnvilPortInUse

    def _command(self, state: Path | None) -> list[str]:
        command = [str(self.binary), "--quiet", "--no-cors", "--accounts", "0"]
        command += ["--host", _HOST, "--port", str(self.port), "--chain-id", str(self.chain_id)]
        # From Prague on every block adds to a system contract (EIP-2935) whose storage anvil copies block by block,
        # which makes a chain of thousands of blocks a thousand times slower to extend.
        command += ["--hardfork", "cancun"]
        command += ["--timestamp", str(_GENESIS_TIME_S)]
        command += ["--dump-state", str(self._dump_link), "--state-interval", str(_STATE_INTERVAL_S)]
        command += ["--prune-history", str(_HISTORY_BLOCKS), "--cache-path", str(self.state_directory / "cache")]
        if state is not None:
            command += ["--load-state", str(state)]
        if self.block_time_s is not None:
            command += ["--block-time", str(self.block_time_s)]
        return command

    def _ready(self) -> bool:
        try:
            return bool(self.request("eth_chainId", []) == hex(self.chain_id))
        except (ChainUnavailable, ChainRefused):
            return False

    # anvil truncates the state file and writes it anew every second, so a SIGKILL may leave half a file. It therefore
    # writes through a link that points at one of two files in turn: while one is written, the other is whole.

    @property
    def _copies(self) -> tuple[Path, Path]:
        return self.state_directory / "state-0.json", self.state_directory / "state-1.json"

    @property
    def _dump_link(self) -> Path:
        return self.state_directory / "state.json"

    def _newest_state(self) -> Path | None:
        present = sorted((copy for copy in self._copies if copy.exists()), key=_modified_ns, reverse=True)
        newest_whole = None
        for copy in present:
            state = _load_whole(copy)
            # anvil gathers a state piece by piece, and goes on mining meanwhile: the pieces may be of two chains.
            if _is_of_one_chain(state):
                return copy
            if state is not None and newest_whole is None:
                newest_whole = copy
        if newest_whole is not None:
            return newest_whole  # not lost: whoever sets nonces of a development chain by hand has no other state
        if len(present) == len(self._copies):
            raise AnvilStateDamaged
        return None  # a chain that never lived long enough to be written once

    def _alternate_dumps(self, stopping: threading.Event) -> None:
        target = self._dump_link.resolve()
        seen = _modified_ns(target)
        while not stopping.wait(_STATE_INTERVAL_S):
            if _modified_ns(target) == seen:
                continue  # not written since it became the target, so the other may be the only whole one
            (target,) = (copy for copy in self._copies if copy.name != target.name)
            seen = _modified_ns(target)
            self._dump_to(target)

    def _dump_to(self, copy: Path) -> None:
        new_link = self._dump_link.with_suffix(".new")
        new_link.unlink(missing_ok=True)
        new_link.symlink_to(copy.name)
        new_link.replace(self._dump_link)


def _modified_ns(copy: Path) -> int:
    return copy.stat().st_mtime_ns if copy.exists() else 0


def _load_whole(copy: Path) -> Any:
    """The state in a copy, None where its writing was cut short."""
    try:
        return json.loads(copy.read_bytes())
    except ValueError:
        return None


def _is_of_one_chain(state: Any) -> bool:
    """Whether head, blocks, transactions and accounts of a state belong together.

    They do where the head is the highest block, no height above the first stands twice, and each account that is no
    contract has sent as many transactions as there are of it.
    """
    try:
        best = state["best_block_number"]
        heights = [int(block["header"]["number"], 16) for block in state["blocks"]]
        sent = Counter(transaction["info"]["from"] for transaction in state["transactions"])
        nonces = {address: each["nonce"] for address, each in state["accounts"].items() if each["code"] == "0x"}
        return bool(
            int(state["block"]["number"], 16) == best == max(heights)
            and sorted(height for height in heights if height) == list(range(1, best + 1))
            and all(nonce == sent[address] for address, nonce in nonces.items())
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
