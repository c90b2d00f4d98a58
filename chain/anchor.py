"""The CheckpointAnchor contract over RPC: read a log's anchors, and make the transactions that write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from eth_typing import HexStr
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import TransactionIndexingInProgress, TransactionNotFound
from web3.logs import DISCARD
from web3.types import BlockIdentifier

from chain.contract import load_contract
from chain.errors import ContractMissing, DeployerMissing
from chain.node import (
    Fees,
    Node,
    SignedTransaction,
    parse_account_key,
    parse_address,
    sign_transaction,
    translate_node_errors,
)

ANCHOR_GAS_LIMIT = 200_000
CREATE_LOG_GAS_LIMIT = 150_000
PUBLISHER_GAS_LIMIT = 50_000
DEPLOY_GAS_LIMIT = 2_500_000

# github.com/Arachnid/deterministic-deployment-proxy: one CREATE2 factory on nearly every EVM chain, and in anvil.
DEPLOYMENT_PROXY = Web3.to_checksum_address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
DEPLOYMENT_SALT = bytes(32)


@dataclass(frozen=True, kw_only=True)
class AnchoredCheckpoint:
    """A checkpoint on the chain: number of leaves, root hash, and the timestamp in seconds of its block."""

    size: int
    root: bytes
    time_s: int


class AnchorReader(Node):
    """Reads one log's anchors with no key; `log_id` is 32 bytes, `contract_address` hex with 0x."""

    def __init__(
        self, *, rpc_url: str, chain_id: int, contract_address: str, log_id: bytes, timeout_s: float = 5.0
    ) -> None:
        super().__init__(rpc_url=rpc_url, chain_id=chain_id, timeout_s=timeout_s)
        self.contract_address = parse_address(contract_address)
        self.log_id = log_id
        self._contract = self._web3.eth.contract(address=self.contract_address, abi=load_contract().abi)

    def check_contract(self) -> bool:
        """Whether the code at the contract's address is the committed CheckpointAnchor."""
        return self.load_code(self.contract_address) == load_contract().deployed_bytecode

    def load_latest_anchor(self, *, block: BlockIdentifier = "latest") -> AnchoredCheckpoint | None:
        """The log's newest checkpoint as of `block` (a number, hash or tag), or None where it has none.

        A block from before the deployment holds no anchor: ContractMissing is raised for "latest" alone.
        ChainRefused means that the node has no such block, or its state no more.
        """
        size, root, time_s = self._call("latest", [self.log_id], block) or (0, b"", 0)
        return AnchoredCheckpoint(size=size, root=root, time_s=time_s) if time_s else None

    def load_anchor(self, size: int, *, block: BlockIdentifier = "latest") -> AnchoredCheckpoint | None:
        """The log's checkpoint of `size` leaves as of `block`, or None; raises as `load_latest_anchor` does."""
        root, time_s = self._call("anchorAt", [self.log_id, size], block) or (b"", 0)
        return AnchoredCheckpoint(size=size, root=root, time_s=time_s) if time_s else None

    def check_anchored_by(self, transaction_hash: bytes, *, size: int, root: bytes) -> bool:
        """Whether this very transaction, mined, wrote the checkpoint (`size`, `root`) under the log."""
        with translate_node_errors():
            try:
                receipt = self._web3.eth.get_transaction_receipt(HexBytes(transaction_hash))
            except (TransactionNotFound, TransactionIndexingInProgress):
                return False
            events = self._contract.events["Anchored"]().process_receipt(receipt, errors=DISCARD)
            return any(
                event["address"] == self.contract_address
                and (bytes(event["args"]["logId"]), event["args"]["size"], bytes(event["args"]["root"]))
                == (self.log_id, size, root)
                for event in events
            )

    def load_admin(self) -> str | None:
        """The address of the log's admin, or None where the log was never created."""
        admin, _ = self._call("adminOf", [self.log_id], "latest")
        return str(admin) if int(admin, 16) else None

    def check_publisher(self, address: str) -> bool:
        """Whether an account may anchor under the log."""
        return bool(self._call("isPublisher", [self.log_id, parse_address(address)], "latest"))

    def check_inclusion(self, *, size: int, leaf_hash: bytes, index: int, proof: Sequence[bytes]) -> bool:
        """Whether the contract finds the leaf under its checkpoint of `size`; ChainRefused where it has none."""
        return bool(self._call("verifyInclusion", [self.log_id, size, leaf_hash, index, list(proof)], "latest"))

    def _call(self, function: str, arguments: list[Any], block: BlockIdentifier) -> Any:
        try:
            with translate_node_errors():
                return self._contract.functions[function](*arguments).call(block_identifier=block)
        except ContractMissing:
            if block == "latest":
                raise
            return None


class AnchorClient(AnchorReader):
    """One publisher's way to write a log's anchors; `key` is its secp256k1 private key, 32 bytes.

    Nothing here waits or retries: the caller stores a transaction before it submits it, and decides what is next.
    """

    def __init__(
        self, *, rpc_url: str, chain_id: int, contract_address: str, log_id: bytes, key: bytes, timeout_s: float = 5.0
    ) -> None:
        super().__init__(
            rpc_url=rpc_url,
            chain_id=chain_id,
            contract_address=contract_address,
            log_id=log_id,
            timeout_s=timeout_s,
        )
        self._account = parse_account_key(key)

    @property
    def publisher(self) -> str:
        """The publisher's address."""
        return self._account.address

    def load_next_nonce(self) -> int:
        """The nonce after the publisher's mined transactions; those that wait in the pool do not count."""
        return self.load_nonce(self._account.address)

    def build_anchor_transaction(
        self, *, size: int, root: bytes, nonce: int, fees: Fees, gas_limit: int = ANCHOR_GAS_LIMIT
    ) -> SignedTransaction:
        """Signs the anchoring of (size, root) without any network; the same arguments give the same bytes."""
        return sign_transaction(
            self._account,
            chain_id=self.chain_id,
            to=self.contract_address,
            data=self._contract.encode_abi("anchor", args=[self.log_id, size, root]),
            nonce=nonce,
            fees=fees,
            gas_limit=gas_limit,
        )


def deploy_contract(*, rpc_url: str, chain_id: int, key: bytes, timeout_s: float = 60.0) -> str:
    """Deploys CheckpointAnchor unless it is there, and gives its address, the same on every chain.

    The address follows from the bytecode alone (CREATE2), so calling again after a crash finds what was deployed.
    The account of `key` pays and must have no other transaction on its way. Raises WrongChain, DeployerMissing on a
    chain without the deployment proxy, and as `Node.settle_transaction` does.
    """
    contract = load_contract()
    preimage = b"\xff" + bytes.fromhex(DEPLOYMENT_PROXY[2:]) + DEPLOYMENT_SALT + Web3.keccak(contract.bytecode)
    address = Web3.to_checksum_address(Web3.keccak(preimage)[12:])
    node = Node(rpc_url=rpc_url, chain_id=chain_id)
    node.check_chain()

    def deployed() -> bool:
        return node.load_code(address) == contract.deployed_bytecode

    if deployed():
        return address
    if not node.load_code(DEPLOYMENT_PROXY):
        raise DeployerMissing
    node.settle_transaction(
        parse_account_key(key),
        to=DEPLOYMENT_PROXY,
        data=HexStr("0x" + (DEPLOYMENT_SALT + contract.bytecode).hex()),
        gas_limit=DEPLOY_GAS_LIMIT,
        done=deployed,
        timeout_s=timeout_s,
    )
    return address


def create_log(
    *,
    rpc_url: str,
    chain_id: int,
    contract_address: str,
    key: bytes,
    origin: str,
    publishers: Sequence[str],
    timeout_s: float = 60.0,
) -> bytes:
    """Creates the log for the checkpoints of `origin` unless it is there, and gives its 32-byte id.

    The account of `key` becomes its admin, and pays. The id follows from admin and origin, so calling again after a
    crash finds the log; its publishers then stay as they are. Raises WrongChain, ContractMissing, and as
    `Node.settle_transaction` does.
    """
    account = parse_account_key(key)
    log_id = compute_log_id(admin=account.address, origin=origin)
    reader = AnchorReader(rpc_url=rpc_url, chain_id=chain_id, contract_address=contract_address, log_id=log_id)
    reader.check_chain()
    if reader.load_admin() is not None:
        return log_id
    reader.settle_transaction(
        account,
        to=reader.contract_address,
        data=reader._contract.encode_abi(
            "createLog", args=[origin_hash(origin), [parse_address(publisher) for publisher in publishers]]
        ),
        gas_limit=CREATE_LOG_GAS_LIMIT + PUBLISHER_GAS_LIMIT * len(publishers),
        done=lambda: reader.load_admin() is not None,
        timeout_s=timeout_s,
    )
    return log_id


def compute_log_id(*, admin: str, origin: str) -> bytes:
    """The id of the log that `admin` creates for `origin`: keccak256(abi.encode(admin, SHA-256(origin)))."""
    encoded_admin = bytes.fromhex(parse_address(admin)[2:]).rjust(32, b"\0")
    return bytes(Web3.keccak(encoded_admin + origin_hash(origin)))


def origin_hash(origin: str) -> bytes:
    """SHA-256 of a checkpoint's origin line (UTF-8, without the newline), by which the contract knows it."""
    return sha256(origin.encode()).digest()
