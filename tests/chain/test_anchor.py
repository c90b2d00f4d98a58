"""Anchoring on a real chain: what a node answers to each state that a transaction can be in."""

import http.server
import itertools
import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_account.typed_transactions import TypedTransaction
from eth_utils import keccak
from hexbytes import HexBytes
from hypothesis import given
from hypothesis import strategies as st

from chain.anchor import (
    ANCHOR_GAS_LIMIT,
    DEPLOYMENT_PROXY,
    AnchorClient,
    AnchoredCheckpoint,
    AnchorReader,
    compute_log_id,
    create_log,
    deploy_contract,
)
from chain.anvil import Anvil
from chain.errors import (
    AccountUnfunded,
    BadAccountKey,
    BadChainAddress,
    ChainError,
    ChainRefused,
    ChainUnavailable,
    ContractMissing,
    DeployerMissing,
    TransactionPending,
    TransactionRefused,
    TransactionReverted,
    WrongChain,
)
from chain.merkle import verify_inclusion
from chain.node import Fees, Receipt, SignedTransaction, Submission, parse_account_key

CHAIN_ID = 31337
ROOT = sha256(b"a root").digest()
OTHER_ROOT = sha256(b"another root").digest()
FEES = Fees(max_fee_per_gas=10**10, max_priority_fee_per_gas=10**9)

ADMIN_KEY = sha256(b"the key of the admin of these tests").digest()
PUBLISHER_KEY = sha256(b"the key of the publisher of these tests").digest()
ADMIN = parse_account_key(ADMIN_KEY).address
PUBLISHER = parse_account_key(PUBLISHER_KEY).address

_origins = (f"credence.example/log/{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def anvil(
    anvil_binary: Path, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Anvil]:
    directory = tmp_path_factory.mktemp("chain")
    with Anvil(binary=anvil_binary, state_directory=directory, port=free_port(), chain_id=CHAIN_ID) as anvil:
        anvil.fund(ADMIN)
        anvil.fund(PUBLISHER)
        yield anvil


@pytest.fixture(scope="module")
def contract_address(anvil: Anvil) -> str:
    return deploy_contract(rpc_url=anvil.rpc_url, chain_id=CHAIN_ID, key=ADMIN_KEY)


@pytest.fixture
def client(anvil: Anvil, contract_address: str) -> AnchorClient:
    """A publisher's client of a log of its own."""
    return new_client(anvil, contract_address)


@pytest.fixture
def paused(anvil: Anvil) -> Iterator[Callable[[], None]]:
    """Leaves transactions in the pool until the fixture's value is called, which mines a block."""
    anvil.request("evm_setAutomine", [False])
    yield lambda: anvil.request("evm_mine", [])
    anvil.request("anvil_dropAllTransactions", [])
    anvil.request("evm_setAutomine", [True])


def new_client(anvil: Anvil, contract_address: str, *, key: bytes = PUBLISHER_KEY) -> AnchorClient:
    log_id = create_log(
        rpc_url=anvil.rpc_url,
        chain_id=CHAIN_ID,
        contract_address=contract_address,
        key=ADMIN_KEY,
        origin=next(_origins),
        publishers=[PUBLISHER],
    )
    return AnchorClient(
        rpc_url=anvil.rpc_url, chain_id=CHAIN_ID, contract_address=contract_address, log_id=log_id, key=key
    )


def build(client: AnchorClient, size: int, root: bytes = ROOT, fees: Fees = FEES) -> SignedTransaction:
    return client.build_anchor_transaction(size=size, root=root, nonce=client.load_next_nonce(), fees=fees)


def submit(client: AnchorClient, size: int, root: bytes = ROOT) -> SignedTransaction:
    transaction = build(client, size, root)
    assert client.submit_transaction(transaction.raw) is Submission.ACCEPTED
    return transaction


def await_receipt(client: AnchorClient, transaction: SignedTransaction) -> Receipt:
    deadline = time.monotonic() + 30
    while (receipt := client.load_receipt(transaction.hash)) is None:
        assert time.monotonic() < deadline, "it was not mined"
        time.sleep(0.01)
    return receipt


def mine(client: AnchorClient, size: int, root: bytes = ROOT) -> tuple[SignedTransaction, Receipt]:
    transaction = submit(client, size, root)
    return transaction, await_receipt(client, transaction)


# Without a chain


@given(
    fees=st.builds(Fees, max_fee_per_gas=st.integers(0, 2**96), max_priority_fee_per_gas=st.integers(0, 2**96)),
)
def test_a_bump_adds_an_eighth_at_least_and_never_stands_still(fees: Fees) -> None:
    bumped = fees.bump()
    for before, after in (
        (fees.max_fee_per_gas, bumped.max_fee_per_gas),
        (fees.max_priority_fee_per_gas, bumped.max_priority_fee_per_gas),
    ):
        assert after > before
        assert after * 1000 >= before * 1125
        assert after <= before * 9 // 8 + 1


def test_a_transaction_is_built_without_a_network_and_always_the_same() -> None:
    client = offline_client()
    arguments = {"size": 7, "root": ROOT, "nonce": 3, "fees": FEES}
    transaction = client.build_anchor_transaction(**arguments)
    assert transaction == client.build_anchor_transaction(**arguments)
    assert (transaction.nonce, transaction.fees) == (3, FEES)
    assert transaction.raw[0] == 2
    others = [{"size": 8}, {"root": OTHER_ROOT}, {"nonce": 4}, {"fees": FEES.bump()}, {"gas_limit": 90_000}]
    hashes = {client.build_anchor_transaction(**(arguments | other)).hash for other in others}
    assert len(hashes | {transaction.hash}) == 6


def test_nothing_but_log_id_size_and_root_is_in_the_calldata() -> None:
    client = offline_client()
    raw = client.build_anchor_transaction(size=7, root=ROOT, nonce=0, fees=FEES).raw
    transaction = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    selector = keccak(text="anchor(bytes32,uint64,bytes32)")[:4]
    assert transaction["data"] == selector + client.log_id + (7).to_bytes(32, "big") + ROOT
    assert (transaction["chainId"], transaction["gas"], transaction["value"]) == (CHAIN_ID, ANCHOR_GAS_LIMIT, 0)


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"\x01" * 31, b"\x01" * 33])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(BadAccountKey):
        parse_account_key(key)


@pytest.mark.parametrize(
    "address", ["", "0x", "0x00", PUBLISHER[:-1], PUBLISHER + "0", PUBLISHER[2:], "no.eth", ADMIN.swapcase()]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BadChainAddress):
        AnchorReader(rpc_url="http://127.0.0.1:1", chain_id=1, contract_address=address, log_id=bytes(32))


def offline_client(rpc_url: str = "http://127.0.0.1:1") -> AnchorClient:
    return AnchorClient(
        rpc_url=rpc_url,
        chain_id=CHAIN_ID,
        contract_address="0x" + "22" * 20,
        log_id=sha256(b"a log").digest(),
        key=PUBLISHER_KEY,
        timeout_s=1.0,
    )


# Set-up


def test_deploying_again_finds_the_contract(anvil: Anvil, contract_address: str, client: AnchorClient) -> None:
    nonce = client.load_nonce(ADMIN)
    assert deploy_contract(rpc_url=anvil.rpc_url, chain_id=CHAIN_ID, key=secrets.token_bytes(32)) == contract_address
    assert client.load_nonce(ADMIN) == nonce
    assert client.check_contract()


def test_creating_a_log_again_finds_it(anvil: Anvil, contract_address: str) -> None:
    arguments: dict[str, Any] = {
        "rpc_url": anvil.rpc_url,
        "chain_id": CHAIN_ID,
        "contract_address": contract_address,
        "key": ADMIN_KEY,
        "origin": next(_origins),
    }
    log_id = create_log(**arguments, publishers=[PUBLISHER, ADMIN])
    assert log_id == create_log(**arguments, publishers=[]) == compute_log_id(admin=ADMIN, origin=arguments["origin"])
    reader = AnchorReader(rpc_url=anvil.rpc_url, chain_id=CHAIN_ID, contract_address=contract_address, log_id=log_id)
    assert reader.load_admin() == ADMIN
    assert reader.check_publisher(PUBLISHER)
    assert reader.check_publisher(ADMIN)
    assert reader.load_latest_anchor() is None


def test_an_interrupted_creation_is_carried_on(anvil: Anvil, contract_address: str, paused: Callable[[], None]) -> None:
    arguments: dict[str, Any] = {
        "rpc_url": anvil.rpc_url,
        "chain_id": CHAIN_ID,
        "contract_address": contract_address,
        "key": ADMIN_KEY,
        "origin": next(_origins),
        "publishers": [PUBLISHER],
    }
    with pytest.raises(TransactionPending):
        create_log(**arguments, timeout_s=0.2)
    with pytest.raises(TransactionPending):
        create_log(**arguments, timeout_s=0.2)
    assert len(anvil.request("txpool_content", [])["pending"]) == 1
    paused()
    assert create_log(**arguments, timeout_s=0.2) == compute_log_id(admin=ADMIN, origin=arguments["origin"])


def test_a_creation_that_fails_is_told(anvil: Anvil, contract_address: str) -> None:
    with pytest.raises(TransactionReverted):
        create_log(
            rpc_url=anvil.rpc_url,
            chain_id=CHAIN_ID,
            contract_address=contract_address,
            key=ADMIN_KEY,
            origin=next(_origins),
            publishers=[PUBLISHER, PUBLISHER],
        )


def test_another_chain_is_refused(anvil: Anvil, client: AnchorClient) -> None:
    with pytest.raises(WrongChain):
        deploy_contract(rpc_url=anvil.rpc_url, chain_id=1, key=ADMIN_KEY)
    reader = AnchorReader(
        rpc_url=anvil.rpc_url, chain_id=1, contract_address=client.contract_address, log_id=client.log_id
    )
    with pytest.raises(WrongChain):
        reader.check_chain()
    other = AnchorClient(
        rpc_url=anvil.rpc_url,
        chain_id=1,
        contract_address=client.contract_address,
        log_id=client.log_id,
        key=PUBLISHER_KEY,
    )
    transaction = other.build_anchor_transaction(size=1, root=ROOT, nonce=client.load_next_nonce(), fees=FEES)
    with pytest.raises(TransactionRefused):
        client.submit_transaction(transaction.raw)


def test_a_chain_without_contract_or_deployment_proxy(
    anvil_binary: Path, free_port: Callable[[], int], tmp_path: Path
) -> None:
    with Anvil(binary=anvil_binary, state_directory=tmp_path, port=free_port()) as bare:
        client = offline_client(bare.rpc_url)
        assert not client.check_contract()
        with pytest.raises(ContractMissing):
            client.load_latest_anchor()
        with pytest.raises(ContractMissing):
            client.load_admin()
        assert client.load_latest_anchor(block=0) is None
        assert client.load_anchor(1, block="finalized") is None
        bare.request("anvil_setCode", [DEPLOYMENT_PROXY, "0x"])
        with pytest.raises(DeployerMissing):
            deploy_contract(rpc_url=bare.rpc_url, chain_id=CHAIN_ID, key=ADMIN_KEY)


# Anchoring


def test_a_checkpoint_is_anchored_and_read(client: AnchorClient) -> None:
    assert client.load_latest_anchor() is None
    _, receipt = mine(client, 5)
    assert receipt.succeeded
    assert client.check_canonical(receipt.block_number, receipt.block_hash)
    assert not client.check_canonical(receipt.block_number, bytes(32))
    assert not client.check_canonical(receipt.block_number + 1000, receipt.block_hash)
    mine(client, 12, OTHER_ROOT)

    head = client.check_chain()
    assert (head.chain_id, head.number) == (CHAIN_ID, receipt.block_number + 1)
    latest = client.load_latest_anchor()
    assert latest is not None
    assert latest == AnchoredCheckpoint(size=12, root=OTHER_ROOT, time_s=latest.time_s)
    assert client.load_anchor(12) == latest
    anchored_first = client.load_anchor(5)
    assert anchored_first is not None
    assert (anchored_first.size, anchored_first.root) == (5, ROOT)
    assert client.load_latest_anchor(block=receipt.block_number) == anchored_first
    assert client.load_latest_anchor(block=receipt.block_number - 1) is None
    assert client.load_anchor(6) is None
    with pytest.raises(ChainRefused):
        client.load_latest_anchor(block=head.number + 1000)


def test_a_transaction_is_known_by_what_it_anchored(anvil: Anvil, contract_address: str, client: AnchorClient) -> None:
    transaction, _ = mine(client, 5)
    assert client.check_anchored_by(transaction.hash, size=5, root=ROOT)
    other, _ = mine(client, 6)
    for hash_, size, root in (
        (transaction.hash, 6, ROOT),
        (transaction.hash, 5, OTHER_ROOT),
        (other.hash, 5, ROOT),
        (bytes(32), 5, ROOT),
    ):
        assert not client.check_anchored_by(hash_, size=size, root=root)
    assert not new_client(anvil, contract_address).check_anchored_by(transaction.hash, size=5, root=ROOT)


def test_gas_of_an_anchor(anvil: Anvil, client: AnchorClient) -> None:
    def gas_used(transaction: SignedTransaction) -> int:
        receipt = anvil.request("eth_getTransactionReceipt", ["0x" + transaction.hash.hex()])
        return int(receipt["gasUsed"], 16)

    first, second = mine(client, 1)[0], mine(client, 2)[0]
    assert gas_used(first) == gas_used(second) < 80_000


def test_a_size_that_does_not_grow_is_mined_and_fails(client: AnchorClient) -> None:
    mine(client, 5)
    for size in (5, 4):
        assert not mine(client, size, OTHER_ROOT)[1].succeeded
    latest = client.load_latest_anchor()
    assert latest is not None
    assert (latest.size, latest.root) == (5, ROOT)


def test_an_outsider_takes_no_size_and_no_root(anvil: Anvil, contract_address: str, client: AnchorClient) -> None:
    outsider_key = secrets.token_bytes(32)
    outsider = AnchorClient(
        rpc_url=anvil.rpc_url,
        chain_id=CHAIN_ID,
        contract_address=contract_address,
        log_id=client.log_id,
        key=outsider_key,
    )
    anvil.fund(outsider.publisher)
    assert not mine(outsider, 5)[1].succeeded
    assert client.load_latest_anchor() is None
    assert mine(client, 5)[1].succeeded


# The states of a transaction


def test_submitting_again_does_no_harm(client: AnchorClient, paused: Callable[[], None]) -> None:
    transaction = build(client, 5)
    assert not client.transaction_known(transaction.hash)
    assert client.submit_transaction(transaction.raw) is Submission.ACCEPTED
    assert client.submit_transaction(transaction.raw) is Submission.ALREADY_KNOWN
    assert client.transaction_known(transaction.hash)
    assert client.load_receipt(transaction.hash) is None
    assert client.load_next_nonce() == transaction.nonce
    paused()
    assert client.submit_transaction(transaction.raw) is Submission.NONCE_TOO_LOW
    assert await_receipt(client, transaction).succeeded
    assert client.load_next_nonce() == transaction.nonce + 1


def test_a_bump_takes_the_place_of_the_first(client: AnchorClient, paused: Callable[[], None]) -> None:
    first = submit(client, 5)
    rival = client.build_anchor_transaction(size=6, root=OTHER_ROOT, nonce=first.nonce, fees=FEES)
    assert client.submit_transaction(rival.raw) is Submission.UNDERPRICED
    bumped = client.build_anchor_transaction(size=6, root=OTHER_ROOT, nonce=first.nonce, fees=FEES.bump())
    assert client.submit_transaction(bumped.raw) is Submission.ACCEPTED
    paused()
    assert await_receipt(client, bumped).succeeded
    assert client.load_receipt(first.hash) is None
    assert not client.transaction_known(first.hash)
    assert client.submit_transaction(first.raw) is Submission.NONCE_TOO_LOW
    assert client.load_anchor(5) is None


def test_a_fee_below_the_base_fee_asks_for_a_bump(anvil: Anvil, client: AnchorClient) -> None:
    anvil.request("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
    anvil.request("evm_mine", [])
    transaction = build(client, 5, fees=Fees(max_fee_per_gas=10, max_priority_fee_per_gas=1))
    assert client.submit_transaction(transaction.raw) is Submission.UNDERPRICED


def test_suggested_fees_are_mined_and_hold_while_the_base_fee_doubles(client: AnchorClient) -> None:
    fees = client.suggest_fees()
    assert fees.max_fee_per_gas >= fees.max_priority_fee_per_gas > 0
    transaction = build(client, 5, fees=fees)
    assert client.submit_transaction(transaction.raw) is Submission.ACCEPTED
    assert await_receipt(client, transaction).succeeded


def test_an_account_without_funds_is_told(anvil: Anvil, contract_address: str) -> None:
    client = new_client(anvil, contract_address, key=secrets.token_bytes(32))
    with pytest.raises(AccountUnfunded):
        client.submit_transaction(build(client, 5).raw)


@pytest.mark.parametrize("raw", [b"", b"\x02", b"no transaction", bytes(200)])
def test_bytes_that_are_no_transaction_are_refused(client: AnchorClient, raw: bytes) -> None:
    with pytest.raises(TransactionRefused):
        client.submit_transaction(raw)


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_a_reorganisation_takes_the_receipt_and_a_resend_brings_it_back(
    anvil: Anvil, client: AnchorClient, depth: int
) -> None:
    transaction, receipt = mine(client, 5)
    anvil.request("anvil_mine", [hex(depth - 1)])
    anvil.request("anvil_reorg", [depth, []])

    assert client.load_receipt(transaction.hash) is None
    assert not client.check_canonical(receipt.block_number, receipt.block_hash)
    assert client.load_latest_anchor() is None
    assert client.load_next_nonce() == transaction.nonce
    assert client.submit_transaction(transaction.raw) in (Submission.ACCEPTED, Submission.ALREADY_KNOWN)
    assert await_receipt(client, transaction).succeeded
    assert client.load_anchor(5) is not None


def test_receipts_and_anchors_outlive_restart_and_sigkill(
    anvil_binary: Path, free_port: Callable[[], int], tmp_path: Path
) -> None:
    anvil = Anvil(binary=anvil_binary, state_directory=tmp_path, port=free_port())
    with anvil:
        anvil.fund(ADMIN)
        anvil.fund(PUBLISHER)
        client = new_client(anvil, deploy_contract(rpc_url=anvil.rpc_url, chain_id=CHAIN_ID, key=ADMIN_KEY))
        transaction, receipt = mine(client, 5)
        anchored = client.load_latest_anchor()
    with pytest.raises(ChainUnavailable):
        client.load_latest_anchor()
    anvil.start()
    assert (client.load_receipt(transaction.hash), client.load_latest_anchor()) == (receipt, anchored)
    anvil.kill()
    anvil.start()
    assert (client.load_receipt(transaction.hash), client.load_latest_anchor()) == (receipt, anchored)
    assert mine(client, 6)[1].succeeded
    anvil.stop()


# Inclusion, found by the contract, by chain.merkle, and by these few lines of RFC 6962


def tree_hash(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def audit_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*audit_path(index, leaves[:split]), tree_hash(leaves[split:])]
    return [*audit_path(index - split, leaves[split:]), tree_hash(leaves[:split])]


def test_the_contract_finds_what_a_proof_shows(client: AnchorClient) -> None:
    leaves = [sha256(b"\x00" + bytes([number])).digest() for number in range(11)]
    root = tree_hash(leaves)
    mine(client, 11, root)
    for index, leaf in enumerate(leaves):
        proof = audit_path(index, leaves)
        verify_inclusion(leaf_hash=leaf, index=index, size=11, proof=proof, root=root)
        assert client.check_inclusion(size=11, leaf_hash=leaf, index=index, proof=proof)
        assert not client.check_inclusion(size=11, leaf_hash=leaf, index=(index + 1) % 11, proof=proof)
        assert not client.check_inclusion(size=11, leaf_hash=sha256(leaf).digest(), index=index, proof=proof)
    with pytest.raises(ChainRefused):
        client.check_inclusion(size=10, leaf_hash=leaves[0], index=0, proof=[])


# A node that is away, or is none


def every_question(client: AnchorClient) -> list[Callable[[], object]]:
    transaction = client.build_anchor_transaction(size=1, root=ROOT, nonce=0, fees=FEES)
    return [
        client.check_chain,
        client.check_contract,
        client.load_latest_anchor,
        client.load_next_nonce,
        client.suggest_fees,
        client.load_admin,
        lambda: client.load_anchor(1),
        lambda: client.check_publisher(PUBLISHER),
        lambda: client.check_inclusion(size=1, leaf_hash=ROOT, index=0, proof=[]),
        lambda: client.submit_transaction(transaction.raw),
        lambda: client.load_receipt(transaction.hash),
        lambda: client.check_canonical(1, bytes(32)),
        lambda: client.transaction_known(transaction.hash),
        lambda: deploy_contract(rpc_url=rpc_url_of(client), chain_id=CHAIN_ID, key=ADMIN_KEY),
    ]


def rpc_url_of(client: AnchorClient) -> str:
    return str(client._web3.provider.endpoint_uri)  # type: ignore[attr-defined]


def test_a_node_that_is_away_is_unavailable(free_port: Callable[[], int]) -> None:
    for question in every_question(offline_client(f"http://127.0.0.1:{free_port()}")):
        with pytest.raises(ChainUnavailable):
            question()


def test_a_node_that_never_answers_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = AnchorReader(
            rpc_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            chain_id=CHAIN_ID,
            contract_address="0x" + "22" * 20,
            log_id=bytes(32),
            timeout_s=0.2,
        )
        with pytest.raises(ChainUnavailable):
            client.check_chain()


RESULTS = [
    None,
    "0x",
    "0xzz",
    "",
    7,
    -1,
    1.5,
    True,
    [],
    {},
    "0x" + "00" * 31,
    "0x" + "ff" * 96,
    "0x" + "ff" * 200,
    {"hash": 1},
]
ANSWERS = [
    b"",
    b"<html>",
    b"null",
    b"[]",
    b"7",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"jsonrpc":"2.0","id":1,"error":null}',
    b'{"jsonrpc":"2.0","id":1,"error":"no"}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"execution reverted","data":"0x1234"}}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"x","data":{"a":1}}}',
    # ERC-3668: a contract that asks its reader to fetch a URL.
    b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted","data":"0x556f1830'
    + b"00" * 320
    + b'"}}',
    *(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode() for result in RESULTS),
]


@pytest.mark.parametrize("status", [200, 429, 500])
def test_a_node_that_answers_nonsense_raises_our_errors_alone(status: int) -> None:
    answers = iter([b""])

    class Nonsense(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = next(answers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nonsense)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    errors = []
    for question in every_question(offline_client(f"http://127.0.0.1:{server.server_port}")):
        for answer in ANSWERS:
            answers = itertools.repeat(answer)
            try:
                question()
            except ChainError as error:
                errors.append(error)
    server.shutdown()
    server.server_close()
    assert all(str(error) == error.message for error in errors)
    assert len(errors) > len(ANSWERS) * 10


def test_the_recursion_limit_stays_what_it_was() -> None:
    # Raised by a library, it would let anyone's nested JSON end the process, in any room.
    nested = "import json, chain.anchor; json.loads('[' * 100_000)"
    ended = subprocess.run([sys.executable, "-c", nested], capture_output=True, text=True)
    assert "RecursionError" in ended.stderr


def test_proxies_of_the_environment_are_not_used(
    anvil: Anvil, client: AnchorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    reader = AnchorReader(
        rpc_url=anvil.rpc_url, chain_id=CHAIN_ID, contract_address=client.contract_address, log_id=client.log_id
    )
    assert reader.check_contract()
