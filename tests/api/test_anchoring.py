"""Anchoring against a real chain that reorganises, forgets and goes away, on every database."""

import copy
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from api.cli.local_service import free_port
from api.store.anchors import AnchorStore, ForkedLog, NotAPublisher, OtherChain, StoredAnchor, Target
from api.store.database import open_engine, write_transaction
from api.store.health import HealthStore
from api.store.jobs import JobStore, Lease, LeaseLost
from api.store.log import LogStore
from api.store.tables import anchor_targets, anchor_transactions, checkpoints, jobs, log_head
from api.workers.anchoring import MOST_TIMES_SUGGESTED, AnchorPolicy, AnchorRooms, anchor_step
from api.workers.loop import RecurringStep, WorkerLoop
from chain.anchor import AnchorClient, create_log, deploy_contract
from chain.anvil import Anvil, find_anvil
from chain.errors import AccountUnfunded, AnvilMissing, ChainUnavailable
from chain.merkle import Frontier, leaf_hash
from chain.node import Fees, load_chain, parse_account_key
from chain.note import LogSigner

CONFIRMATIONS = 3
POLICY = AnchorPolicy(confirmations=CONFIRMATIONS, interval_ms=10_000, resend_after_ms=30_000)
_logs = itertools.count()


@pytest.fixture(scope="session")
def new_anvil(pytestconfig: pytest.Config) -> Callable[[Path], Anvil]:
    def make(directory: Path) -> Anvil:
        try:
            binary = find_anvil(pytestconfig.rootpath)
        except AnvilMissing as missing:
            pytest.skip(str(missing))
        return Anvil(binary=binary, state_directory=directory, port=free_port())

    return make


@pytest.fixture(scope="module")
def shared_anvil(new_anvil: Callable[[Path], Anvil], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    with new_anvil(tmp_path_factory.mktemp("chain")) as anvil:
        yield anvil


@dataclass
class World:
    """A log without a service: its database, its account on a chain, and the anchoring step."""

    anvil: Anvil
    url: str
    policy: AnchorPolicy = POLICY
    now_ms: int = 1_790_000_000_000
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    origin: str = field(default_factory=lambda: f"credence.example/log/{next(_logs)}")
    clients: dict[tuple[str, str], AnchorClient] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account = parse_account_key(self.key).address
        self.rpc_url = self.anvil.rpc_url
        self.engine = open_engine(self.url)
        self.anchors = AnchorStore(engine=self.engine)
        self.log = LogStore(engine=self.engine, signer=LogSigner(name=self.origin, private_key=bytes(32)))
        self.jobs = JobStore(engine=self.engine, owner="this process")
        self.frontier = Frontier.empty()
        with write_transaction(self.engine) as transaction:
            for table in (anchor_targets, anchor_transactions, checkpoints, log_head):
                transaction.execute(delete(table))
            transaction.execute(insert(log_head).values(origin=self.origin, size=0, frontier=self.frontier.to_bytes()))
        self.jobs.append_job("anchor", 0)
        self.anvil.fund(self.account)

    @property
    def rooms(self) -> AnchorRooms:
        return AnchorRooms(
            anchors=self.anchors,
            log=self.log,
            policy=self.policy,
            open_target=self.open_target,
            client_for=self.client_for,
        )

    def open_target(self) -> Target:
        chain = load_chain(self.rpc_url)
        place: dict[str, Any] = {"rpc_url": self.rpc_url, "chain_id": chain.chain_id, "key": self.key}
        contract = deploy_contract(**place)
        log_id = create_log(**place, contract_address=contract, origin=self.origin, publishers=[self.account])
        return Target(chain_id=chain.chain_id, contract=contract, log_id=log_id, genesis_hash=chain.genesis_hash)

    def client_for(self, target: Target) -> AnchorClient:
        place = (target.contract, self.rpc_url)
        if place not in self.clients:
            self.clients[place] = AnchorClient(
                rpc_url=self.rpc_url,
                chain_id=target.chain_id,
                contract_address=target.contract,
                log_id=target.log_id,
                key=self.key,
                timeout_s=30.0,
            )
        return self.clients[place]

    @property
    def client(self) -> AnchorClient:
        target = self.anchors.load_target()
        assert target is not None
        return self.client_for(target)

    def grow(self, leaves: int = 1) -> int:
        """More leaves in the log, and a checkpoint over them; returns its size."""
        for _ in range(leaves):
            self.frontier = self.frontier.append(leaf_hash(secrets.token_bytes(32)))
        with write_transaction(self.engine) as transaction:
            transaction.execute(update(log_head).values(size=self.frontier.size, frontier=self.frontier.to_bytes()))
        assert self.log.append_checkpoint(self.now_ms) is not None
        return self.frontier.size

    def lease(self) -> Lease:
        """The lease of a process that took the job over, whoever held it."""
        self.now_ms += 1
        lease = self.jobs.lease("anchor", now_ms=self.now_ms, lease_ms=60_000, longest_wait_ms=0)
        assert lease is not None
        return lease

    def step(self, rooms: AnchorRooms | None = None) -> list[tuple[str, int]]:
        """One step; what is stored then, as state and size in the order of their making."""
        self.run_step(rooms)
        return self.stored()

    def run_step(self, rooms: AnchorRooms | None = None) -> None:
        anchor_step(rooms or self.rooms, self.lease(), self.now_ms)

    def stored(self) -> list[tuple[str, int]]:
        return [(each.state, each.checkpoint_size) for each in self.load_all()]

    def load_all(self) -> list[StoredAnchor]:
        with self.engine.connect() as connection:
            sizes = set(connection.execute(select(anchor_transactions.c.checkpoint_size)).scalars())
        found = [each for size in sizes for each in self.anchors.load_anchors_of_size(size)]
        return sorted(found, key=lambda each: each.prepared_at_ms)

    def mine(self, blocks: int = 1) -> None:
        self.anvil.request("anvil_mine", [hex(blocks)])

    def await_mined(self) -> None:
        """Wait until the newest transaction is mined, which anvil does only after it answered."""
        newest, deadline = self.load_all()[-1], time.monotonic() + 30
        while self.client.load_receipt(newest.hash) is None:
            assert time.monotonic() < deadline, "it was not mined"
            time.sleep(0.01)

    def automine(self, on: bool) -> None:
        self.anvil.request("evm_setAutomine", [on])

    def opened(self) -> "World":
        """The contract is there, the log too; from here on the test mines."""
        self.automine(True)
        self.step()
        self.automine(False)
        return self

    def anchored_sizes(self) -> list[int]:
        """The sizes of all Anchored events of the log on the canonical chain."""
        client = self.client
        logs = self.anvil.request(
            "eth_getLogs",
            [{"fromBlock": "0x0", "address": client.contract_address, "topics": [None, "0x" + client.log_id.hex()]}],
        )
        return [int(each["topics"][2], 16) for each in logs if len(each["topics"]) == 3 and len(each["data"]) == 130]

    def take_nonce(self) -> None:
        """Another transaction of our account, at a fee that beats ours."""
        client = self.client
        fees = Fees(max_fee_per_gas=10**12, max_priority_fee_per_gas=10**11)
        elsewhere = self.client_for(replace(self.anchors.load_target(), contract="0x" + "11" * 20))
        other = elsewhere.build_anchor_transaction(size=1, root=bytes(32), nonce=client.load_next_nonce(), fees=fees)
        client.submit_transaction(other.raw)


@pytest.fixture
def world(shared_anvil: Anvil, database: str) -> Iterator[World]:
    shared_anvil.request("evm_setAutomine", [True])
    shared_anvil.request("anvil_dropAllTransactions", [])
    made = World(anvil=shared_anvil, url=database)
    yield made
    made.engine.dispose()


# The way of a checkpoint


def test_a_checkpoint_is_prepared_sent_mined_and_finalized(world: World) -> None:
    assert world.opened().stored() == []
    size = world.grow(5)

    class Unsent(AnchorClient):
        def submit_transaction(self, raw: bytes) -> Any:
            raise ChainUnavailable

    def unsent(target: Target) -> AnchorClient:
        client = copy.copy(world.client_for(target))
        client.__class__ = Unsent
        return client

    with pytest.raises(ChainUnavailable):
        world.step(replace(world.rooms, client_for=unsent))
    assert world.stored() == [("prepared", size)]
    assert world.step() == [("sent", size)]
    assert world.step() == [("sent", size)]
    world.mine()
    assert world.step() == [("mined", size)]
    world.mine(CONFIRMATIONS - 1)
    assert world.step() == [("mined", size)]
    world.mine()
    assert world.step() == [("finalized", size)]

    anchored = world.client.load_latest_anchor()
    assert anchored is not None
    assert (anchored.size, anchored.root) == (size, world.frontier.root())
    (anchor,) = world.load_all()
    assert anchor.block_number is not None
    assert world.client.check_canonical(anchor.block_number, anchor.block_hash)
    assert world.anchors.load_anchor_over(size - 1) == anchor
    assert world.anchors.load_anchor_over(size) is None
    assert world.anchors.load_newest_anchored_size() == size


def test_an_empty_log_is_not_anchored(world: World) -> None:
    assert world.step() == []
    world.log.append_checkpoint(world.now_ms)
    assert world.step() == []


def test_only_the_newest_checkpoint_is_anchored_and_not_too_often(world: World) -> None:
    world.opened()
    world.grow()
    world.grow()
    newest = world.grow()
    world.step()
    world.mine()
    assert world.step() == [("mined", newest)]
    world.grow()
    assert world.step() == [("mined", newest)]
    world.now_ms += POLICY.interval_ms
    later = world.grow()
    assert world.step() == [("mined", newest), ("sent", later)]
    world.mine()
    world.step()
    assert world.anchored_sizes() == [newest, later]


def test_setting_up_again_finds_contract_and_log(world: World) -> None:
    world.step()
    first, nonce = world.anchors.load_target(), world.client.load_next_nonce()
    with write_transaction(world.engine) as transaction:
        transaction.execute(delete(anchor_targets))
    world.step()
    assert (world.anchors.load_target(), world.client.load_next_nonce()) == (first, nonce)


# Killed anywhere


class Killed(BaseException):
    """Not an Exception: nothing in the code may catch it, as nothing catches SIGKILL."""


@dataclass
class Killer:
    """Ends the process just before one of all calls of store and chain, so just after the effect of the one before."""

    at_call: int
    calls: int = 0

    def watch(self, watched: Any) -> Any:
        killer = self

        class Watched:
            def __getattr__(self, name: str) -> Any:
                value = getattr(watched, name)
                return killer.guard(value) if callable(value) else value

        return Watched()

    def guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at_call:
                raise Killed
            return function(*arguments, **named)

        return guarded

    def rooms(self, world: World) -> AnchorRooms:
        return AnchorRooms(
            anchors=self.watch(world.anchors),
            log=self.watch(world.log),
            policy=world.policy,
            open_target=self.guard(world.open_target),
            client_for=lambda target: self.watch(world.client_for(target)),
        )


def test_killed_at_any_call_of_the_set_up_it_goes_on_from_what_is_stored(world: World) -> None:
    for at_call in itertools.count(1):
        world = World(anvil=world.anvil, url=world.url)
        killer = Killer(at_call=at_call)
        try:
            world.step(killer.rooms(world))
        except Killed:
            world.step()
        assert world.client.load_next_nonce() == 1  # the log was created, once; the contract is an earlier world's
        if killer.calls < at_call:
            break
    assert at_call > 10


def test_killed_at_any_call_it_goes_on_from_what_is_stored(world: World) -> None:
    world.opened()
    world.automine(True)
    sizes = []
    # What a kill leaves behind is the same on both databases, and PostgreSQL is not quick to be asked.
    for at_call in itertools.count(1, 1 if world.engine.dialect.name == "sqlite" else 5):
        killer = Killer(at_call=at_call)
        sizes.append(world.grow())
        world.now_ms += POLICY.interval_ms
        for _ in ("sent", "mined", "finalized"):
            try:
                world.run_step(killer.rooms(world))
            except Killed:
                world.run_step()
            world.mine(CONFIRMATIONS - 1)
        world.run_step()
        (anchor,) = world.anchors.load_anchors_of_size(sizes[-1])
        assert anchor.state == "finalized", f"killed at call {at_call}"
        if killer.calls < at_call:
            break
    assert at_call > 40
    assert world.anchored_sizes() == sizes
    assert [each.nonce for each in world.load_all()] == list(range(1, 1 + len(sizes)))


# What becomes of a transaction that waits


def test_what_the_node_forgot_is_sent_again(world: World) -> None:
    world.opened()
    size = world.grow()
    world.step()
    (anchor,) = world.load_all()
    world.anvil.request("anvil_dropTransaction", ["0x" + anchor.hash.hex()])
    assert not world.client.transaction_known(anchor.hash)
    assert world.step() == [("sent", size)]
    assert world.client.transaction_known(anchor.hash)


def test_what_was_too_dear_is_offered_for_less_when_fees_fall(world: World) -> None:
    def set_base_fee(wei: int) -> None:
        world.anvil.request("anvil_setNextBlockBaseFeePerGas", [hex(wei)])
        world.mine()

    world.opened()
    size = world.grow()
    world.anvil.request("anvil_setBalance", [world.account, hex(10**18)])
    set_base_fee(10**14)
    for _ in range(2):
        with pytest.raises(AccountUnfunded):
            world.step()
        assert world.stored() == [("prepared", size)]
    set_base_fee(10**9)
    # Killed between two writes, the next step ends the same.
    with pytest.raises(Killed):
        world.run_step(replace(world.rooms, anchors=KilledAfterMoving(engine=world.engine)))
    assert sorted(state for state, _ in world.step()) == ["replaced", "sent"]
    world.mine()
    assert sorted(state for state, _ in world.step()) == ["mined", "replaced"]
    assert world.anchored_sizes() == [size]
    assert len({each.nonce for each in world.load_all()}) == 1


def test_what_waits_long_is_replaced_by_the_newest_checkpoint_at_a_higher_fee(world: World) -> None:
    world.opened()
    old = world.grow()
    world.step()
    new = world.grow()
    world.now_ms += POLICY.resend_after_ms - 10
    assert world.step() == [("sent", old)]
    world.now_ms += 10
    assert world.step() == [("sent", old), ("sent", new)]
    first, second = world.load_all()
    assert second.nonce == first.nonce
    assert second.max_fee_per_gas * 1000 >= first.max_fee_per_gas * 1125
    assert second.max_priority_fee_per_gas * 1000 >= first.max_priority_fee_per_gas * 1125
    assert world.step() == [("sent", old), ("sent", new)]
    world.mine()
    assert world.step() == [("sent", old), ("mined", new)]  # a reorganisation may yet let the first one through
    world.mine(CONFIRMATIONS)
    assert world.step() == [("replaced", old), ("finalized", new)]
    assert world.anchored_sizes() == [new]


def test_a_chain_that_stands_still_is_not_offered_ever_more(world: World) -> None:
    world.opened()
    world.grow()
    for _ in range(26):
        world.now_ms += POLICY.resend_after_ms
        world.step()
    suggested = world.client.suggest_fees()
    offered = [each.max_fee_per_gas for each in world.load_all()]
    assert 10 < len(offered) < 25
    assert max(offered) <= MOST_TIMES_SUGGESTED * suggested.max_fee_per_gas
    world.mine(1 + CONFIRMATIONS)
    states = [state for state, _ in world.step()]
    assert sorted(states) == ["finalized", *["replaced"] * (len(states) - 1)]
    assert world.anchored_sizes() == [1]


def test_another_transaction_of_the_account_takes_the_nonce(world: World) -> None:
    world.opened()
    size = world.grow()
    world.step()
    world.take_nonce()
    world.mine()
    world.now_ms += POLICY.interval_ms
    assert world.step() == [("replaced", size), ("sent", size)]
    world.mine()
    assert world.step() == [("replaced", size), ("mined", size)]
    first, second = world.load_all()
    assert second.nonce == first.nonce + 1
    assert world.anchored_sizes() == [size]


def test_two_that_lost_their_nonce_to_another_are_both_given_up(world: World) -> None:
    world.opened()
    world.grow()
    world.step()
    world.now_ms += POLICY.resend_after_ms
    size = world.grow()
    assert [state for state, _ in world.step()] == ["sent", "sent"]
    world.take_nonce()
    world.mine()
    world.now_ms += POLICY.interval_ms
    assert [state for state, _ in world.step()] == ["replaced", "replaced", "sent"]
    world.mine()
    world.step()
    assert world.anchored_sizes() == [size]


def test_what_was_given_up_and_is_mined_after_all_is_recognized(world: World) -> None:
    world.opened()
    size = world.grow()
    world.step()
    (anchor,) = world.load_all()
    world.take_nonce()
    snapshot = world.anvil.request("evm_snapshot", [])
    world.mine()
    assert world.step() == [("replaced", size)]
    world.anvil.request("evm_revert", [snapshot])
    world.anvil.request("anvil_dropAllTransactions", [])
    world.client.submit_transaction(anchor.raw)
    world.mine()
    assert world.step() == [("mined", size)]


def test_the_same_bytes_may_be_sent_again_after_they_were_given_up(world: World) -> None:
    world.opened()
    size = world.grow()
    world.step()
    world.take_nonce()
    snapshot = world.anvil.request("evm_snapshot", [])
    world.mine()
    assert world.step() == [("replaced", size)]
    world.anvil.request("evm_revert", [snapshot])
    world.anvil.request("anvil_dropAllTransactions", [])
    world.now_ms += POLICY.interval_ms
    assert world.step() == [("sent", size)]  # the fees are what they were, and so are nonce, checkpoint and hash
    world.mine()
    assert world.step() == [("mined", size)]


def test_what_waits_behind_a_gap_is_freed_and_may_fail(world: World) -> None:
    world.opened()
    old = world.grow()
    client = world.client
    behind = client.build_anchor_transaction(
        size=old, root=world.frontier.root(), nonce=client.load_next_nonce() + 1, fees=client.suggest_fees()
    )
    stored = StoredAnchor(
        hash=behind.hash,
        chain_id=client.chain_id,
        contract=client.contract_address,
        checkpoint_size=old,
        nonce=behind.nonce,
        raw=behind.raw,
        max_fee_per_gas=behind.fees.max_fee_per_gas,
        max_priority_fee_per_gas=behind.fees.max_priority_fee_per_gas,
        state="prepared",
        prepared_at_ms=world.now_ms,
        sent_at_ms=None,
        block_number=None,
        block_hash=None,
    )
    world.anchors.append_prepared(world.lease(), stored)
    new = world.grow()
    assert world.step() == [("prepared", old), ("sent", new)]
    assert world.step() == [("sent", old), ("sent", new)]
    world.mine()
    assert world.step() == [("failed", old), ("mined", new)]
    assert world.anchored_sizes() == [new]


# Reorganisations


@pytest.mark.parametrize("depth", [1, 2, 3, 10])
def test_what_a_reorganisation_undid_is_mined_again(world: World, depth: int) -> None:
    world.opened()
    world.mine(10)
    size = world.grow()
    world.step()
    world.mine(min(depth, CONFIRMATIONS))
    assert world.step() == [("mined", size)]
    (before,) = world.load_all()
    world.anvil.request("anvil_reorg", [depth, []])
    assert world.step() == [("sent", size)]
    world.mine()
    assert world.step() == [("mined", size)]
    (after,) = world.load_all()
    assert (after.hash, after.nonce) == (before.hash, before.nonce)
    assert after.block_hash != before.block_hash
    assert world.anchored_sizes() == [size]


def test_a_reorganisation_deeper_than_final_brings_everything_back(world: World) -> None:
    world.opened()
    sizes = []
    for _ in range(3):
        sizes.append(world.grow())
        world.now_ms += POLICY.interval_ms
        world.step()
        world.mine()
    world.mine(CONFIRMATIONS)
    assert world.step() == [("finalized", size) for size in sizes]
    world.anvil.request("anvil_reorg", [CONFIRMATIONS + 2, []])  # the first one stays
    assert world.step() == [("finalized", sizes[0]), ("sent", sizes[1]), ("sent", sizes[2])]
    world.mine()
    assert world.step() == [("finalized", sizes[0]), ("mined", sizes[1]), ("mined", sizes[2])]
    assert world.anchored_sizes() == sizes


def test_what_was_final_and_is_mined_again_elsewhere_is_found_there(world: World) -> None:
    def misplaced() -> list[int]:
        return [
            each.checkpoint_size
            for each in world.load_all()
            if not world.client.check_canonical(each.block_number or 0, each.block_hash or b"")
        ]

    world.opened()
    for _ in range(3):
        world.grow()
        world.now_ms += POLICY.interval_ms
        world.step()
        world.mine()
    world.mine(CONFIRMATIONS)
    assert [state for state, _ in world.step()] == ["finalized"] * 3
    world.anvil.request("anvil_reorg", [3 + CONFIRMATIONS, []])
    for each in world.load_all():
        world.client.submit_transaction(each.raw)
    world.mine(1 + CONFIRMATIONS)
    assert len(misplaced()) == 3
    # Killed after any one of the corrections, the next step makes the others.
    for left in (2, 1):
        with pytest.raises(Killed):
            world.run_step(replace(world.rooms, anchors=KilledAfterMoving(engine=world.engine)))
        assert len(misplaced()) == left
    assert [state for state, _ in world.step()] == ["finalized"] * 3
    assert misplaced() == []
    assert world.anchored_sizes() == [1, 2, 3]


class KilledAfterMoving(AnchorStore):
    def move(self, *arguments: Any, **named: Any) -> None:
        super().move(*arguments, **named)
        raise Killed


def test_a_clock_that_was_set_back_holds_nothing_up(world: World) -> None:
    world.opened()
    world.grow()
    world.step()
    world.mine()
    size = world.grow()
    world.now_ms -= 2 * 3_600_000
    assert ("sent", size) in world.step()
    world.mine()
    world.grow()
    assert len(world.step()) == 2  # and it is not hurried either


# A chain that is away, lost, or another


def test_a_chain_that_is_away_degrades_and_loses_nothing(world: World) -> None:
    world.opened()
    size = world.grow()
    health = HealthStore(engine=world.engine, keystore=world.engine)
    loop = WorkerLoop(
        jobs=world.jobs,
        steps={"anchor": RecurringStep(run=lambda lease, now_ms: anchor_step(world.rooms, lease, now_ms), every_ms=0)},
        clock=lambda: world.now_ms,
    )
    assert loop.run_due("anchor")
    assert world.stored() == [("sent", size)]
    assert health.check_chain(world.now_ms) == "ok"

    world.rpc_url = "http://127.0.0.1:1"
    before = world.load_all()
    for _ in range(3):
        world.now_ms += 60_000
        assert loop.run_due("anchor")
        assert health.check_chain(world.now_ms) == "failing"
    assert world.load_all() == before

    world.rpc_url = world.anvil.rpc_url
    world.mine()
    world.now_ms += 60_000
    assert loop.run_due("anchor")
    assert health.check_chain(world.now_ms) == "ok"
    assert health.check_chain(world.now_ms + 70_000) == "failing"  # nobody has run it since
    assert world.stored() == [("mined", size)]


@pytest.fixture
def own_world(new_anvil: Callable[[Path], Anvil], tmp_path: Path, database: str) -> Iterator[World]:
    """A world with a chain of its own, which it may lose."""
    with new_anvil(tmp_path / "chain") as anvil:
        made = World(anvil=anvil, url=database)
        yield made
        made.engine.dispose()


def test_a_chain_that_lost_contract_and_log_gets_them_again(own_world: World) -> None:
    world = own_world
    snapshot = world.anvil.request("evm_snapshot", [])
    size = world.grow()
    world.step()
    world.await_mined()
    assert world.step() == [("mined", size)]
    target, anchored = world.anchors.load_target(), world.load_all()
    world.anvil.request("evm_revert", [snapshot])
    world.anvil.fund(world.account)
    assert world.client.load_next_nonce() == 0
    assert not world.client.check_contract()
    world.step()
    world.await_mined()
    assert world.step() == [("mined", size)]
    assert world.anchors.load_target() == target
    assert [each.hash for each in world.load_all()] == [each.hash for each in anchored]
    assert world.anchored_sizes() == [size]


def test_a_chain_that_was_killed_before_it_was_ever_written_gets_everything_again(own_world: World) -> None:
    world = own_world
    size = world.grow()
    world.step()
    world.await_mined()
    assert world.step() == [("mined", size)]
    before = world.anchors.load_target()
    world.anvil.kill()
    for state in world.anvil.state_directory.glob("state-*.json"):
        state.unlink()
    world.anvil.start()
    world.anvil.fund(world.account)
    assert world.step() == [("sent", size)]
    world.await_mined()
    assert world.step() == [("mined", size)]
    assert world.anchors.load_target() == before
    assert world.anchored_sizes() == [size]


def test_another_chain_is_refused(world: World) -> None:
    world.step()
    nonce = world.client.load_next_nonce()
    with write_transaction(world.engine) as transaction:
        transaction.execute(update(anchor_targets).values(genesis_hash=bytes(32)))
    world.grow()
    with pytest.raises(OtherChain):
        world.step()
    assert world.stored() == []
    assert world.client.load_next_nonce() == nonce


def test_a_log_that_does_not_let_us_publish_is_told(world: World) -> None:
    world.step()
    world.grow()
    key = secrets.token_bytes(32)

    def open_target() -> Target:
        pytest.fail("a log that is there is not made again, which under another key would be another log")

    someone_else = replace(
        world.rooms, client_for=lambda target: _client_of(world, target, key), open_target=open_target
    )
    with pytest.raises(NotAPublisher):
        world.step(someone_else)
    assert world.stored() == []


def _client_of(world: World, target: Target, key: bytes) -> AnchorClient:
    return AnchorClient(
        rpc_url=world.rpc_url,
        chain_id=target.chain_id,
        contract_address=target.contract,
        log_id=target.log_id,
        key=key,
    )


def test_a_database_from_before_the_anchored_checkpoint_is_told(world: World) -> None:
    size = world.grow(3)
    world.step()
    world.await_mined()
    assert world.step() == [("mined", size)]
    with write_transaction(world.engine) as transaction:
        transaction.execute(delete(checkpoints).where(checkpoints.c.size == size))
        transaction.execute(delete(anchor_transactions))
    world.frontier = Frontier.empty()
    world.grow(2)
    with pytest.raises(ForkedLog):
        world.step()
    world.grow(1)  # of the same size again, and another root
    with pytest.raises(ForkedLog):
        world.step()
    world.grow(4)
    with pytest.raises(ForkedLog):
        world.step()
    assert world.stored() == []


# Several workers


def test_who_lost_the_lease_writes_nothing(world: World) -> None:
    world.opened()
    size = world.grow()
    first = world.lease()
    second = world.lease()
    with pytest.raises(LeaseLost):
        anchor_step(world.rooms, first, world.now_ms)
    assert world.stored() == []
    anchor_step(world.rooms, second, world.now_ms)
    assert world.stored() == [("sent", size)]
    world.mine()
    with pytest.raises(LeaseLost):
        anchor_step(world.rooms, first, world.now_ms)
    assert world.stored() == [("sent", size)]


def test_two_workers_at_once_send_each_checkpoint_once(world: World) -> None:
    world.opened()
    world.policy = replace(POLICY, interval_ms=0)
    clock = time.time
    loops = [
        WorkerLoop(
            jobs=JobStore(engine=world.engine, owner=owner),
            steps={
                "anchor": RecurringStep(run=lambda lease, now_ms: anchor_step(world.rooms, lease, now_ms), every_ms=0)
            },
            clock=lambda: int(clock() * 1000),
        )
        for owner in ("one", "other")
    ]
    ran = [0, 0]
    stop = threading.Event()

    def work(number: int) -> None:
        while not stop.is_set():
            ran[number] += loops[number].run_due("anchor")
            time.sleep(0.001 * number)

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    with write_transaction(world.engine) as transaction:
        transaction.execute(update(jobs).values(lease_until_ms=0, run_at_ms=0, lease_owner=None))
    for thread in threads:
        thread.start()
    for _ in range(10):
        world.grow()
        time.sleep(0.1)
        world.mine()
    deadline = time.monotonic() + 60
    while world.anchors.load_newest_anchored_size() < world.frontier.size or min(ran) == 0:
        assert time.monotonic() < deadline, "they did not both work, or did not get through"
        world.mine()
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    sizes = world.anchored_sizes()
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == world.frontier.size
    stored = world.load_all()
    assert len({each.nonce for each in stored}) == len(stored) == len(sizes)
