"""Kill the service at random points under load, while its chain goes away, comes back and reorganises.

    python -m bench.crash [--kills 100] [--seed 1] [--database URL]

Lenders present real signed presentations over HTTP; an answer that was lost is asked for again. Each kill is a SIGKILL,
counted by the state that the newest anchoring transaction was in; every second one is aimed at the state that was hit
least, by holding back what would end it. At the end the chain comes back, and within 60 seconds every score that was
acknowledged must lie under an anchored checkpoint, and all that anybody can verify must verify. Prints a table and a
line of JSON; exits 1 where anything was lost, stands twice, or does not verify.
"""

import argparse
import itertools
import json
import multiprocessing
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from api.app import create_app
from api.cli.local_service import free_port
from api.clock import now_ms
from api.keystore import load_or_create_keyring
from api.settings import Settings
from api.store.anchors import ANCHORED
from api.store.tables import anchor_transactions
from bench.crash_chain import Chain, Weather
from bench.crash_checks import await_anchors, check_everything
from bench.crash_load import Findings, Lender, append_clients
from bench.rpc_proxy import RpcProxy
from chain.anchor import AnchorClient
from chain.anvil import Anvil, find_anvil
from chain.node import Fees, parse_account_key
from identity.keys import SigningKey
from scoring.artifact import write_artifact
from scoring.card import LedgerReference, Mechanism, ModelCard, Privacy
from scoring.schema import parse_schema
from scoring.scorecard import Scorecard, points_table

ROOT = Path(__file__).resolve().parent.parent
STATES = ("prepared", "sent", "mined", "finalized", "replaced", "failed")
LENDERS = 4
START_WITHIN_S = 60.0
AIM_WITHIN_S = 15.0
SENDS = "eth_sendRawTransaction"
ASKS_FEES = "eth_maxPriorityFeePerGas"  # what a step asks last before it prepares a transaction
REVERTING_CODE = "0xfe"


def serve(settings: Settings) -> None:
    """The process that is killed: the application that `credence serve` runs, but not as it runs it.

    uvicorn has its defaults here, not that command's limits and timeouts, and the chain is started apart.
    """
    uvicorn.run(create_app(settings), host=settings.bind, port=settings.port, log_level="critical", access_log=False)


class ServiceProcess:
    """The service in a process of its own, forked from one that has imported everything, so that it starts quickly."""

    def __init__(self, settings: Settings) -> None:
        self.restarts_s: list[float] = []
        self._settings = settings
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["api.app", "uvicorn", "identity.holder", "bench.rpc_proxy"])
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        began = time.monotonic()
        self._process = self._context.Process(target=serve, args=(self._settings,), daemon=True)
        self._process.start()
        while True:
            try:
                if httpx.get(f"{self._settings.base_url}/v1/healthz", timeout=5, trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if self._process.exitcode is not None or time.monotonic() - began > START_WITHIN_S:
                raise RuntimeError("the service did not start")
            time.sleep(0.01)
        self.restarts_s.append(time.monotonic() - began)

    def kill(self) -> None:
        """SIGKILL it."""
        assert self._process is not None
        self._process.kill()
        self._process.join()


class Killer:
    """Kills the service, and knows in which state the newest anchoring transaction was."""

    def __init__(
        self,
        *,
        service: ServiceProcess,
        chain: Chain,
        proxy: RpcProxy,
        weather: Weather,
        engine: Engine,
        key: bytes,
        seed: int,
    ) -> None:
        self.hits: Counter[str] = Counter()
        self.aimed: Counter[str] = Counter()
        self._service = service
        self._chain = chain
        self._proxy = proxy
        self._weather = weather
        self._engine = engine
        self._key = key
        self._random = random.Random(seed)

    def await_first(self) -> None:
        """Wait until contract and log are made, and a first transaction is stored."""
        if not self._await(lambda _: True, within_s=60):
            raise RuntimeError("nothing was ever anchored")

    def kill_at_random(self) -> None:
        """Kill whatever it is doing, soon or later."""
        time.sleep(self._random.uniform(0.0, 4.0))
        self._kill()

    def kill_in_rarest_state(self) -> None:
        """Kill in the state that was hit least; where it does not come about in time, kill all the same."""
        state = min(STATES, key=lambda each: self.hits[each])
        with self._weather.calm:
            self._proxy.longest_delay_s, self._proxy.drop_percent = 0.0, 0
            reached = self._reach(state)
            if reached:
                self.aimed[state] += 1
                time.sleep(self._random.uniform(0.0, 0.01))
            self._kill()
            self._proxy.held = frozenset()
            self._chain.standing_still = False

    def _kill(self) -> None:
        self._service.kill()
        newest = self._newest()
        self.hits["none" if newest is None else str(newest.state)] += 1

    def _reach(self, state: str) -> bool:
        """Bring the newest transaction into a state and keep it there."""
        # What the last blow undid is mended first: a held call would hold that up, too.
        if not self._await(lambda newest: newest.state in ANCHORED):
            return False
        if state == "prepared":
            self._proxy.held = frozenset({SENDS})
            return self._await(lambda newest: newest.state == "prepared" and SENDS in self._proxy.waiting)
        if state in ("mined", "finalized"):
            self._proxy.held = frozenset({ASKS_FEES})
            return self._await(lambda newest: newest.state == state)
        self._chain.standing_still = True
        if not self._await(lambda newest: newest.state == "sent") or state == "sent":
            return state == "sent"
        newest = self._newest()
        self._proxy.held = frozenset({ASKS_FEES})
        self._overtake(newest) if state == "replaced" else self._revert(newest)
        return self._await(lambda newest: newest.state == state)

    def _overtake(self, newest: Any) -> None:
        """Another transaction of the account, with the nonce of the newest and at a higher fee."""
        other = AnchorClient(
            rpc_url=self._chain.anvil.rpc_url,
            chain_id=newest.chain_id,
            contract_address="0x" + "11" * 20,
            log_id=bytes(32),
            key=self._key,
        )
        fees = Fees(max_fee_per_gas=10**13, max_priority_fee_per_gas=10**13)
        transaction = other.build_anchor_transaction(size=1, root=bytes(32), nonce=newest.nonce, fees=fees)
        self._chain.anvil.request("eth_sendRawTransaction", ["0x" + transaction.raw.hex()])
        self._chain.anvil.request("evm_mine", [])

    def _revert(self, newest: Any) -> None:
        """A block in which the contract refuses everything."""
        code = self._chain.anvil.request("eth_getCode", [newest.contract, "latest"])
        self._chain.anvil.request("anvil_setCode", [newest.contract, REVERTING_CODE])
        self._chain.anvil.request("evm_mine", [])
        self._chain.anvil.request("anvil_setCode", [newest.contract, code])

    def _await(self, condition: Callable[[Any], bool], within_s: float = AIM_WITHIN_S) -> bool:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            newest = self._newest()
            if newest is not None and condition(newest):
                return True
            time.sleep(0.01)
        return False

    def _newest(self) -> Any:
        statement = select(anchor_transactions).order_by(anchor_transactions.c.prepared_at_ms.desc()).limit(1)
        try:
            with self._engine.connect() as connection:
                return connection.execute(statement).one_or_none()
        except SQLAlchemyError:  # being recovered after the kill
            time.sleep(0.05)
            with self._engine.connect() as connection:
                return connection.execute(statement).one_or_none()


def run(*, kills: int, seed: int, database: str, directory: Path) -> dict[str, Any]:
    """Kill `kills` times, then check everything; the figures, with `violations` empty where all is well."""
    began = time.monotonic()
    write_model(directory / "model")
    keyring = load_or_create_keyring(directory / "keys", now_ms())
    key = keyring.active("anchor").secret
    anvil = Anvil(binary=find_anvil(ROOT), state_directory=directory / "chain", port=free_port())
    chain = Chain(anvil, publisher=parse_account_key(key).address, seed=seed)
    proxy = RpcProxy(node_port=anvil.port, seed=seed)
    proxy.start()
    settings = Settings(
        var=directory,
        port=free_port(),
        database_url=database or f"sqlite:///{directory}/credence.sqlite3",
        keystore_url=f"sqlite:///{directory}/keystore.sqlite3",
        model=directory / "model",
        rpc_url=proxy.url,
        anchor_confirmations=4,
        anchor_interval_ms=300,
        anchor_poll_ms=100,
        anchor_resend_after_ms=1500,
        checkpoint_interval_ms=100,
    )
    institution = SigningKey.generate()
    clients = append_clients(settings, institution)
    service = ServiceProcess(settings)
    weather = Weather(chain, proxy, seed=seed)
    engine = create_engine(settings.database_url)
    killer = Killer(service=service, chain=chain, proxy=proxy, weather=weather, engine=engine, key=key, seed=seed)
    findings = Findings()

    def note(ended: threading.ExceptHookArgs) -> None:
        """Without its weather or its miner the bench would show less than it says."""
        findings.violations[f"a thread of the bench ended: {ended.exc_type.__name__}"] += 1

    threading.excepthook = note
    tenants = itertools.cycle(clients.items())
    lenders = [
        Lender(
            base_url=settings.base_url,
            tenant=tenant,
            client=client,
            institution=institution,
            findings=findings,
            seed=seed * 1000 + number,
        )
        for number, (tenant, client) in zip(range(LENDERS), tenants, strict=False)
    ]
    try:
        chain.start()
        service.start()
        for lender in lenders:
            lender.start()
        killer.await_first()
        weather.start()
        for number in range(kills):
            if number % 2:
                killer.kill_in_rarest_state()
            else:
                killer.kill_at_random()
            service.start()
            print(f"\r{number + 1} kills, {len(findings.acknowledged)} scores", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)

        # The chain goes away once more, the service is killed without it, and only then does the chain come back.
        weather.stop()
        chain.kill()
        time.sleep(2)
        service.kill()
        service.start()
        for lender in lenders:
            lender.finish()
        for lender in lenders:
            lender.join()
        chain.start()
        returned = time.monotonic()
        with httpx.Client(base_url=settings.base_url, timeout=30, trust_env=False) as http:
            anchored_after_s = await_anchors(http, clients, findings, since=returned)
            read = check_everything(
                http=http, anvil=anvil, findings=findings, clients=clients, origin=settings.log_origin
            )
    finally:
        service.kill()
        chain.stop()
        proxy.stop()
    if any(killer.hits[state] == 0 for state in STATES) and kills >= 2 * len(STATES):
        findings.violations["a state was never hit"] += 1
    with engine.connect() as connection:
        sent = connection.execute(select(anchor_transactions.c.nonce, anchor_transactions.c.state)).all()
    return {
        "kills": kills,
        "seed": seed,
        "database": engine.dialect.name,
        "seconds": round(time.monotonic() - began, 1),
        "acknowledged": len(findings.acknowledged),
        "asked_again": findings.asked_again,
        "kills_by_state": {state: killer.hits[state] for state in (*STATES, "none")},
        "aimed": dict(killer.aimed),
        "restart_p50_ms": round(1000 * statistics.median(service.restarts_s)),
        "restart_max_ms": round(1000 * max(service.restarts_s)),
        "chain_kills": chain.counts["kills"],
        "reorganisations_by_depth": {str(depth): chain.depths[depth] for depth in sorted(chain.depths)},
        "rpc_calls": proxy.calls,
        "rpc_dropped": proxy.dropped,
        "transactions_by_state": dict(Counter(str(row.state) for row in sent)),
        "nonces": len({row.nonce for row in sent}),
        "anchored_after_s": anchored_after_s,
        **read,
        "violations": {what: count for what, count in findings.violations.items() if count},
    }


def write_model(directory: Path) -> None:
    """A model written by hand: what it says of a person is nothing, and nobody's data is in it."""
    schema = parse_schema((ROOT / "scoring" / "schemas" / "taiwan.toml").read_bytes())
    tables = tuple(
        points_table(
            schema,
            column.name,
            bins=tuple(range(column.cells.count)),
            points=tuple((7 * cell) % 23 - 11 for cell in range(column.cells.count)),
        )
        for column in schema.inputs
    )
    privacy = Privacy(
        epsilon_micro=1_000_000,
        delta_e12=1_000_000,
        rows_per_person=1,
        institutions=1,
        sampler="os",
        mechanisms=(Mechanism(name="none", releases=1, sensitivity_squared=1, scale=1, sigma_micro=20_000_000),),
        ledger=(LedgerReference(id="1", sha256="0" * 64),),
    )
    card = ModelCard(name="handwritten", created_at_ms=1, data_kind="synthetic", population="nobody", privacy=privacy)
    write_artifact(directory, scorecard=Scorecard(schema=schema, tables=tables, offset=560), card=card)


def main() -> int:
    """Run, print, and say by the exit status whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="SQLAlchemy URL of an empty database; SQLite by default")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="credence-crash-"))
    print(f"Everything is in {directory}, and stays there unless all is well.", file=sys.stderr)
    figures = run(kills=arguments.kills, seed=arguments.seed, database=arguments.database, directory=directory)
    if not figures["violations"]:
        shutil.rmtree(directory)
    for name, value in figures.items():
        print(f"{name:26} {value}")
    print(json.dumps(figures))
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
