"""The chain of the crash bench: it goes away, comes back and reorganises, and the way to it is bad, at random."""

import contextlib
import random
import threading
from collections import Counter

from bench.rpc_proxy import RpcProxy
from chain.anvil import Anvil
from chain.errors import ChainUnavailable


class Chain:
    """anvil, mining at random moments; it can stand still, be killed, and reorganise what it mined since it started."""

    def __init__(self, anvil: Anvil, *, publisher: str, seed: int) -> None:
        self.anvil = anvil
        self.standing_still = False
        self.counts: Counter[str] = Counter()
        self.depths: Counter[int] = Counter()
        self._publisher = publisher
        self._random = random.Random(seed)
        self._lock = threading.RLock()
        self._up = False
        self._started_at_block = 0
        self._stop = threading.Event()
        self._miner = threading.Thread(target=self._mine, name="miner", daemon=True)

    def start(self) -> None:
        """Start anvil on the state of its last run, and mine."""
        with self._lock:
            self.anvil.start()
            self.anvil.request("evm_setAutomine", [False])
            self.anvil.fund(self._publisher)
            self._started_at_block = self._height()
            self._up = True
        if not self._miner.is_alive():
            self._miner.start()

    def kill(self) -> None:
        """SIGKILL anvil: it loses what it had not written, up to three seconds of blocks."""
        with self._lock:
            self._up = False
            self.anvil.kill()
            self.counts["kills"] += 1

    def reorganise(self) -> None:
        """Undo one to ten blocks, of those mined since the start, and mine empty ones in their place."""
        with self._lock:
            depth = min(self._random.randint(1, 10), self._height() - self._started_at_block)
            if depth > 0:
                self.anvil.request("anvil_reorg", [depth, []])
                self.depths[depth] += 1

    def stop(self) -> None:
        """End, and write the state."""
        self._stop.set()
        self._miner.join(10)
        self.anvil.stop()

    def _height(self) -> int:
        return int(self.anvil.request("eth_blockNumber", []), 16)

    def _mine(self) -> None:
        while not self._stop.wait(self._random.uniform(0.05, 0.3)):
            with self._lock:
                if self._up and not self.standing_still:
                    with contextlib.suppress(ChainUnavailable):  # on a machine that is too busy: the next time
                        self.anvil.request("evm_mine", [])


class Weather:
    """What befalls the chain and the way to it, at random moments, except while it is held still."""

    def __init__(self, chain: Chain, proxy: RpcProxy, *, seed: int) -> None:
        self.calm = threading.Lock()
        self._chain = chain
        self._proxy = proxy
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weather", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Good weather from now on."""
        self._stop.set()
        self._thread.join()
        self._chain.standing_still = False
        self._proxy.longest_delay_s, self._proxy.drop_percent = 0.0, 0

    def _run(self) -> None:
        while not self._stop.wait(self._random.uniform(0.1, 1.0)):
            with self.calm:
                self._proxy.longest_delay_s = self._random.choice((0.0, 0.02, 0.2))
                self._proxy.drop_percent = self._random.choice((0, 0, 2, 10))
                happens = self._random.random()
                if happens < 0.5:
                    self._chain.reorganise()
                elif happens < 0.65:
                    self._chain.kill()
                    self._stop.wait(self._random.uniform(0.0, 2.0))
                    self._chain.start()
                elif happens < 0.8:
                    self._chain.standing_still = True
                    self._stop.wait(self._random.uniform(0.5, 3.0))  # long enough for a higher fee
                    self._chain.standing_still = False
