"""Kill the service at random points under load, while its chain goes away, comes back and reorganises.

    python -m bench.crash [--kills 100] [--seed 1] [--database URL]

Lenders present real signed presentations over HTTP; an answer that was lost is asked for again. Each kill is a SIGKILL,
counted by the state that the newest anchoring transaction was in; every second one is aimed at the state that was hit
least, by holding back what would end it. At the end the chain comes back, and within 60 seconds every score that was
acknowledged must lie under an anchored checkpoint, and all that anybody can verify must verify. Prints a table and a
line of JSON; exits 1 where anything was lost, stands twice, or does not verify.
"""

import argparse
import importlib.util
import itertools
import json
import multiprocessing
import random
import secrets
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from api.app import create_app
from api.clock import now_ms
from api.keystore import load_or_create_keyring
from api.score_document import ScoreDocumentError, Trust, parse_trust, verify_document
from api.settings import Settings
from api.store.anchors import ANCHORED
from api.store.tables import anchor_transactions
from bench.rpc_proxy import RpcProxy
from chain.anchor import AnchorClient
from chain.anvil import Anvil, find_anvil
from chain.node import Fees, parse_account_key
from chain.note import format_verifier_key
from identity.credential_types.types import load_credential_types
from identity.holder import present
from identity.issuance import issue_credential
from identity.keys import SigningKey
from identity.openid4vp import verify_request_object
from identity.trust import TrustedIssuer
from scoring.artifact import write_artifact
from scoring.card import LedgerReference, Mechanism, ModelCard, Privacy
from scoring.schema import parse_schema
from scoring.scorecard import Scorecard, points_table

ROOT = Path(__file__).resolve().parent.parent
VCT = "urn:credence:repayment-history:1"
DAY_MS = 86_400_000
STATES = ("prepared", "sent", "mined", "finalized", "replaced", "failed")
TENANTS = ("lender one", "lender two")
LENDERS = 4
ANCHORED_WITHIN_S = 60.0
START_WITHIN_S = 60.0
AIM_WITHIN_S = 15.0
ANSWER_WITHIN_S = 120.0
SENDS = "eth_sendRawTransaction"
ASKS_FEES = "eth_maxPriorityFeePerGas"  # what a step asks last before it prepares a transaction
REVERTING_CODE = "0xfe"
CLAIMS: Mapping[str, Any] = {
    "period_from": "2026-04-01",
    "period_to": "2026-09-30",
    "currency": "TWD",
    "evidence_level": "system_of_record",
    "credit_line_minor": 20_000_00,
    "statement_minor": [3913_00, 3102_00, 689_00, 0, 0, 0],
    "paid_minor": [0, 689_00, 0, 0, 0, 0],
    "delay_months": [2, 2, -1, -1, -2, -2],
}


# The service, which is killed


def serve(settings: Settings) -> None:
    """The process that is killed: the service, as `credence serve` runs it."""
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


# The chain, which goes away and reorganises


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
        """SIGKILL anvil: it loses what it had not written, up to two seconds of blocks."""
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


# The lenders, who must not lose anything


@dataclass
class Findings:
    """What the lenders saw, and what was found wrong."""

    acknowledged: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    asked_again: int = 0
    violations: Counter[str] = field(default_factory=Counter)


class Lender(threading.Thread):
    """Asks, presents and scores over HTTP; what it does not hear the answer to, it sends again."""

    def __init__(
        self,
        *,
        base_url: str,
        tenant: str,
        client: tuple[str, str],
        institution: SigningKey,
        findings: Findings,
        seed: int,
    ) -> None:
        super().__init__(name=f"lender {seed}", daemon=True)
        self._http = httpx.Client(base_url=base_url, timeout=10, trust_env=False)
        self._tenant = tenant
        self._client = client
        self._findings = findings
        self._random = random.Random(seed)
        self._done = threading.Event()
        self._token: dict[str, str] = {}
        self._holder = SigningKey.generate()
        issued_at_ms = now_ms() - DAY_MS
        self._credential = issue_credential(
            type=load_credential_types()[VCT],
            claims=CLAIMS,
            holder=self._holder.public,
            key=institution,
            now_ms=issued_at_ms,
            expires_at_ms=issued_at_ms + 30 * DAY_MS,
            status=None,
        )

    def finish(self) -> None:
        """End after the score that is on its way."""
        self._done.set()

    def run(self) -> None:
        """One score after another."""
        while not self._done.is_set():
            try:
                self._score()
            except Exception as error:  # noqa: BLE001  (whatever it is, it is a finding)
                self._findings.violations[f"lender: {type(error).__name__}: {error}"] += 1
            self._done.wait(self._random.uniform(0.05, 0.25))

    def _score(self) -> None:
        request = self._send("POST", "/v1/presentation-requests", {"purpose": "credit_application", "query": QUERY})
        request_object = self._send("GET", f"/v1/presentation-requests/{request['id']}/object", None)
        asked = verify_request_object(request_object, client_id=request["audience"], now_ms=now_ms())
        vp_token = present(request=asked, credentials=(self._credential,), key=self._holder, now_ms=now_ms())
        body = {"request_id": request["id"], "vp_token": dict(vp_token)}
        score = self._send("POST", "/v1/scores", body)
        self._findings.acknowledged[score["id"]] = (self._tenant, score)
        if self._random.random() < 0.1:
            again = self._send("POST", "/v1/scores", body)
            if (again["id"], again["credential"], again["log"]["index"]) != (
                score["id"],
                score["credential"],
                score["log"]["index"],
            ):
                self._findings.violations["the same presentation got another answer"] += 1

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """The answer, however often it is lost on the way."""
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                if not self._token:
                    self._token = bearer(self._http, self._client)
                answer = self._http.request(method, path, json=body, headers=self._token)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                self._findings.asked_again += 1
                time.sleep(0.05)
                continue
            if answer.status_code == 401:
                self._token = {}
                continue
            if answer.status_code not in (200, 201):
                raise RuntimeError(f"{method} answered {answer.status_code}")
            return answer.json() if "json" in answer.headers["content-type"] else answer.text


def bearer(http: httpx.Client, client: tuple[str, str]) -> dict[str, str]:
    """The headers of a client that has just got a token."""
    answer = http.post("/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=client)
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


QUERY = {
    "credentials": [
        {
            "id": "history",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [VCT]},
            "claims": [
                {"path": [name]} for name in ("credit_line_minor", "statement_minor", "paid_minor", "delay_months")
            ],
        }
    ]
}


# The kills


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


# What must be true at the end


def check_everything(
    *,
    http: httpx.Client,
    anvil: Anvil,
    findings: Findings,
    clients: Mapping[str, tuple[str, str]],
    origin: str,
) -> dict[str, int]:
    """Read all there is as lenders, auditors and strangers do, and note each thing that is not as it must be."""
    violations = findings.violations
    trust = parse_trust(json.dumps(http.get("/v1/keys").raise_for_status().json()).encode())
    (place,) = trust.anchors
    chain = AnchorClient(
        rpc_url=anvil.rpc_url,
        chain_id=place.chain_id,
        contract_address=place.contract,
        log_id=place.log_id,
        key=secrets.token_bytes(32),
    )
    log = read_log_as_a_stranger(http, trust, origin, violations)

    # The chain: no size stands there twice, and every root is that of the log at its size.
    events = [
        each
        for each in anvil.request(
            "eth_getLogs",
            [{"fromBlock": "0x0", "address": place.contract, "topics": [None, "0x" + place.log_id.hex()]}],
        )
        if len(each["topics"]) == 3 and len(each["data"]) == 2 + 128
    ]
    anchored = Counter(int(each["topics"][2], 16) for each in events)
    violations["a size stands twice on the chain"] += sum(count - 1 for count in anchored.values())
    leaves = log.leaf_hashes()
    for each in events:
        root = sys.modules["spec_log_client"].merkle_tree_hash(leaves[: int(each["topics"][2], 16)])
        violations["an anchored root is not the log's"] += each["data"][2:66] != root.hex()

    # The lenders: every score that was acknowledged is there, verifies, and its anchor is on the chain.
    roots: dict[int, bytes | None] = {}
    tokens = {tenant: bearer(http, client) for tenant, client in clients.items()}
    for score_id, (tenant, score) in findings.acknowledged.items():
        answer = http.get(f"/v1/scores/{score_id}", headers=tokens[tenant])
        if answer.status_code != 200:
            violations["an acknowledged score is lost"] += 1
            continue
        try:
            document = verify_document(answer.content, trust)
        except ScoreDocumentError as error:
            violations[f"a document does not verify: {error}"] += 1
            continue
        if document.members["id"] != score_id or document.index != score["log"]["index"]:
            violations["a document is not the one that was acknowledged"] += 1
        if document.anchor is None:
            violations["an acknowledged score has no anchor"] += 1
            continue
        size = document.checkpoint.size
        if size not in roots:
            found = chain.load_anchor(size)
            canonical = chain.check_canonical(document.anchor.block_number, document.anchor.block_hash)
            roots[size] = found.root if found is not None and canonical else None
        violations["an anchor is not on the canonical chain"] += roots[size] != document.checkpoint.root

    # The auditors: no entry of a tenant's is missing, and all together are the log.
    entries = 0
    for tenant in clients:
        seqs, ids = read_audit(http, tokens[tenant])
        entries += len(seqs)
        violations["a gap in a tenant's entries"] += seqs != list(range(seqs[0], seqs[0] + len(seqs)))
        owned = {score_id for score_id, (owner, _) in findings.acknowledged.items() if owner == tenant}
        violations["an acknowledged score is not in the audit trail"] += len(owned - ids)
    violations["the log is not as long as its entries are many"] += entries != log.size
    return {"log_size": log.size, "anchored": len(events), "tiles_read": len(log.paths)}


def read_audit(http: httpx.Client, token: dict[str, str]) -> tuple[list[int], set[str]]:
    """The sequence numbers of all of a tenant's entries, and the ids of its scores."""
    seqs: list[int] = []
    ids: set[str] = set()
    cursor: int | None = 0
    while cursor is not None:
        answer = http.get("/v1/audit/entries", params={"cursor": cursor, "limit": 200}, headers=token)
        page = answer.raise_for_status().json()
        seqs += [each["seq"] for each in page["entries"]]
        ids |= {each["score"]["id"] for each in page["entries"] if each["score"] is not None}
        cursor = page["next_cursor"]
    return seqs, ids


def read_log_as_a_stranger(http: httpx.Client, trust: Trust, origin: str, violations: Counter[str]) -> Any:
    """The whole log, by the client that is written from the specifications alone."""
    client = load_spec_log_client()
    vkey = format_verifier_key(trust.log_keys[0])
    log = client.read_log(lambda path: http.get(f"/v1/log/{path}").raise_for_status().content, vkey)
    violations["the log is of another origin"] += log.origin != origin
    return log


def load_spec_log_client() -> ModuleType:
    """tests/chain/spec_log_client.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("spec_log_client", ROOT / "tests" / "chain" / "spec_log_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["spec_log_client"] = module
    spec.loader.exec_module(module)
    return module


# The whole run


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


def await_anchors(
    http: httpx.Client, clients: Mapping[str, tuple[str, str]], findings: Findings, *, since: float
) -> float:
    """Seconds from the chain's return until the last acknowledged score has an anchor."""
    last = max(findings.acknowledged, key=lambda each: findings.acknowledged[each][1]["log"]["index"])
    token = bearer(http, clients[findings.acknowledged[last][0]])
    while http.get(f"/v1/scores/{last}", headers=token).raise_for_status().json()["anchor"] is None:
        if time.monotonic() - since > ANCHORED_WITHIN_S:
            findings.violations["not anchored within 60 s of the chain's return"] += 1
            break
        time.sleep(0.1)
    return round(time.monotonic() - since, 1)


def append_clients(settings: Settings, institution: SigningKey) -> dict[str, tuple[str, str]]:
    """A client of each tenant's, with every scope that the bench needs."""
    tenants = create_app(settings).state.service.tenants
    clients = {}
    for name in TENANTS:
        tenant_id = tenants.load_or_append_tenant(name, now_ms())
        tenants.append_trusted_issuer(tenant_id, TrustedIssuer(did=institution.did, vct=VCT, valid_from_ms=0))
        client = tenants.append_client(
            tenant_id=tenant_id, name="bench", scopes=frozenset({"lender", "compliance"}), now_ms=now_ms()
        )
        clients[name] = (client.client_id, client.client_secret)
    return clients


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
        epsilon_micro=1,
        delta_e12=1,
        rows_per_person=1,
        institutions=1,
        sampler="os",
        mechanisms=(Mechanism(name="none", releases=1, sensitivity_squared=1, scale=1, sigma_micro=1),),
        ledger=(LedgerReference(id="1", sha256="0" * 64),),
    )
    card = ModelCard(name="handwritten", created_at_ms=1, data_kind="synthetic", population="nobody", privacy=privacy)
    write_artifact(directory, scorecard=Scorecard(schema=schema, tables=tables, offset=560), card=card)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Run, print, and say by the exit status whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="SQLAlchemy URL of an empty database; SQLite by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="credence-crash-") as directory:
        figures = run(
            kills=arguments.kills, seed=arguments.seed, database=arguments.database, directory=Path(directory)
        )
    for name, value in figures.items():
        print(f"{name:26} {value}")
    print(json.dumps(figures))
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
