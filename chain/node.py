"""An EVM node over JSON-RPC: its head, fees, receipts, and the fate of transactions that are handed to it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import requests
from eth_abi.exceptions import DecodingError
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress, HexStr
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.exceptions import (
    BadFunctionCallOutput,
    BlockNotFound,
    ContractLogicError,
    TransactionIndexingInProgress,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)

from chain.errors import (
    AccountUnfunded,
    BadAccountKey,
    BadChainAddress,
    ChainRefused,
    ChainUnavailable,
    ContractMissing,
    TransactionPending,
    TransactionRefused,
    TransactionReverted,
    WrongChain,
)

# py_ecc, which eth_account imports, raises this limit to 100 000 for the whole process. There one small document of
# nested brackets, from anyone, overflows the C stack of the json module and ends the process.
_RECURSION_LIMIT = 1000
sys.setrecursionlimit(min(sys.getrecursionlimit(), _RECURSION_LIMIT))

# JSON-RPC has no codes for these: the words of geth, reth, erigon, besu, nethermind and anvil, in lower case.
_REFUSALS_KNOWN = ("already known", "alreadyknown", "already imported", "known transaction", "same hash")
_REFUSALS_NONCE = ("nonce too low", "oldnonce")
_REFUSALS_FEE = ("underpriced", "less than block base fee", "feetoolow", "replacementnotallowed")
_REFUSALS_FUNDS = ("insufficient funds", "insufficientfunds", "upfront cost exceeds")
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class ChainHead:
    """The newest block of a chain."""

    chain_id: int
    number: int
    hash: bytes


@dataclass(frozen=True, kw_only=True)
class ChainIdentity:
    """What tells one chain from every other: its id and the hash of its first block."""

    chain_id: int
    genesis_hash: bytes


@dataclass(frozen=True, kw_only=True)
class Fees:
    """The two fee caps of an EIP-1559 transaction, in wei per unit of gas."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int

    def bump(self) -> "Fees":
        """Fees that replace a transaction of these: each at least 12.5% higher, rounded up; nodes ask for 10%."""
        return Fees(
            max_fee_per_gas=_add_an_eighth(self.max_fee_per_gas),
            max_priority_fee_per_gas=_add_an_eighth(self.max_priority_fee_per_gas),
        )


@dataclass(frozen=True, kw_only=True)
class SignedTransaction:
    """A signed transaction, to be stored before it is sent: raw bytes, their hash, nonce and fees."""

    raw: bytes
    hash: bytes
    nonce: int
    fees: Fees


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A mined transaction's block, and whether its call succeeded."""

    block_number: int
    block_hash: bytes
    succeeded: bool


class Submission(Enum):
    """What the node said to a transaction, where its sender has something to do about it."""

    ACCEPTED = "accepted"
    ALREADY_KNOWN = "already_known"  # in the pool or in a block: nothing to do
    NONCE_TOO_LOW = "nonce_too_low"  # this one, or another of its nonce, is mined: ask for the receipts
    UNDERPRICED = "underpriced"  # below the base fee, or no replacement for what the pool holds: bump


def load_chain(rpc_url: str, *, timeout_s: float = 5.0) -> ChainIdentity:
    """Which chain an endpoint serves; raises ChainUnavailable."""
    web3 = _connect(rpc_url, timeout_s)
    with translate_node_errors():
        return ChainIdentity(chain_id=web3.eth.chain_id, genesis_hash=bytes(web3.eth.get_block(0)["hash"]))


class Node:
    """One RPC endpoint of one chain; every method raises ChainUnavailable where the endpoint does not answer.

    `timeout_s` bounds connecting and each read. Nothing is retried here, no proxy is taken from the environment, and
    no URL that a contract names is followed (ERC-3668).
    """

    def __init__(self, *, rpc_url: str, chain_id: int, timeout_s: float = 5.0) -> None:
        self.chain_id = chain_id
        self._web3 = _connect(rpc_url, timeout_s)

    def check_chain(self) -> ChainHead:
        """The chain's newest block; raises WrongChain where the endpoint serves a chain of another id."""
        with translate_node_errors():
            chain_id = self._web3.eth.chain_id
            head = self._web3.eth.get_block("latest")
            number, block_hash = int(head["number"]), bytes(head["hash"])
        if chain_id != self.chain_id:
            raise WrongChain
        return ChainHead(chain_id=chain_id, number=number, hash=block_hash)

    def check_canonical(self, block_number: int, block_hash: bytes) -> bool:
        """Whether the block of this number and hash lies on the canonical chain now."""
        with translate_node_errors():
            try:
                return bytes(self._web3.eth.get_block(block_number)["hash"]) == block_hash
            except BlockNotFound:
                return False

    def load_code(self, address: str) -> bytes:
        """The code at an address, empty where there is no contract."""
        with translate_node_errors():
            return bytes(self._web3.eth.get_code(parse_address(address)))

    def load_nonce(self, address: str) -> int:
        """The number of the account's mined transactions; those that wait in the pool do not count."""
        with translate_node_errors():
            return int(self._web3.eth.get_transaction_count(parse_address(address), "latest"))

    def suggest_fees(self) -> Fees:
        """The node's priority fee, and a cap of that plus twice the base fee, which holds for six full blocks."""
        with translate_node_errors():
            base_fee = int(self._web3.eth.get_block("latest")["baseFeePerGas"])
            priority_fee = int(self._web3.eth.max_priority_fee)
        return Fees(max_fee_per_gas=2 * base_fee + priority_fee, max_priority_fee_per_gas=priority_fee)

    def submit_transaction(self, raw: bytes) -> Submission:
        """Hands a signed transaction to the node; handing it in again does no harm.

        Raises AccountUnfunded, or TransactionRefused where neither a fee nor a nonce is the cause. After
        ChainUnavailable the node may have taken it or not: ask `transaction_known`, or submit it again.
        """
        with translate_node_errors():
            try:
                self._web3.eth.send_raw_transaction(HexBytes(raw))
            except Web3RPCError as refusal:
                words = str(refusal).lower()
            else:
                return Submission.ACCEPTED
        for phrases, submission in (
            (_REFUSALS_KNOWN, Submission.ALREADY_KNOWN),
            (_REFUSALS_NONCE, Submission.NONCE_TOO_LOW),
            (_REFUSALS_FEE, Submission.UNDERPRICED),
        ):
            if any(phrase in words for phrase in phrases):
                return submission
        if any(phrase in words for phrase in _REFUSALS_FUNDS):
            raise AccountUnfunded
        if self.transaction_known(bytes(Web3.keccak(raw))):  # refused in words of a node that is not listed above
            return Submission.ALREADY_KNOWN
        raise TransactionRefused

    def transaction_known(self, transaction_hash: bytes) -> bool:
        """Whether the node has the transaction, in its pool or in a block."""
        with translate_node_errors():
            try:
                self._web3.eth.get_transaction(HexBytes(transaction_hash))
            except TransactionNotFound:
                return False
            return True

    def load_receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The receipt of a mined transaction; None while it is not mined, or no longer after a reorganisation."""
        with translate_node_errors():
            try:
                receipt = self._web3.eth.get_transaction_receipt(HexBytes(transaction_hash))
            except (TransactionNotFound, TransactionIndexingInProgress):
                return None
            return Receipt(
                block_number=int(receipt["blockNumber"]),
                block_hash=bytes(receipt["blockHash"]),
                succeeded=receipt["status"] == 1,
            )

    def settle_transaction(
        self,
        account: LocalAccount,
        *,
        to: ChecksumAddress,
        data: HexStr,
        gas_limit: int,
        done: Callable[[], bool],
        timeout_s: float,
    ) -> None:
        """Sends a call that sets something up and waits until `done()`, by this transaction or by one before it.

        It takes the nonce after the mined ones, so that a call repeated after a crash or a TransactionPending takes
        the place of the first. Raises TransactionReverted, or TransactionPending after `timeout_s`.
        """
        nonce, fees = self.load_nonce(account.address), self.suggest_fees()
        transaction = sign_transaction(
            account, chain_id=self.chain_id, to=to, data=data, nonce=nonce, fees=fees, gas_limit=gas_limit
        )
        self.submit_transaction(transaction.raw)
        deadline = time.monotonic() + timeout_s
        while not done():
            receipt = self.load_receipt(transaction.hash)
            if receipt is not None and not receipt.succeeded:
                raise TransactionReverted
            if time.monotonic() > deadline:
                raise TransactionPending
            time.sleep(_POLL_S)


def sign_transaction(
    account: LocalAccount,
    *,
    chain_id: int,
    to: ChecksumAddress,
    data: HexStr,
    nonce: int,
    fees: Fees,
    gas_limit: int,
) -> SignedTransaction:
    """Signs a call without any network; the same arguments give the same bytes (RFC 6979)."""
    signed = account.sign_transaction(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "to": to,
            "value": 0,
            "data": data,
            "gas": gas_limit,
            "maxFeePerGas": fees.max_fee_per_gas,
            "maxPriorityFeePerGas": fees.max_priority_fee_per_gas,
        }
    )
    return SignedTransaction(raw=bytes(signed.raw_transaction), hash=bytes(signed.hash), nonce=nonce, fees=fees)


def parse_address(address: str) -> ChecksumAddress:
    """An address in hex with 0x, in any case of letters that is not a wrong checksum, as EIP-55 writes it."""
    try:
        checksummed = Web3.to_checksum_address(address)
    except (ValueError, TypeError):
        raise BadChainAddress from None
    if address not in (checksummed, checksummed.lower()):
        raise BadChainAddress
    return checksummed


def parse_account_key(key: bytes) -> LocalAccount:
    """The account of a secp256k1 private key of 32 bytes."""
    try:
        account: LocalAccount = Account.from_key(key)
    except (ValueError, TypeError, Web3Exception):
        raise BadAccountKey from None
    return account


@contextmanager
def translate_node_errors() -> Iterator[None]:
    """Lets only this room's errors out of a conversation with a node."""
    try:
        yield
    except BadFunctionCallOutput:
        raise ContractMissing from None
    except (Web3RPCError, ContractLogicError):
        raise ChainRefused from None
    except OSError:  # each requests.RequestException is one
        raise ChainUnavailable from None
    except (Web3Exception, DecodingError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise ChainUnavailable from None  # an answer that no Ethereum node gives


def _connect(rpc_url: str, timeout_s: float) -> Web3:
    session = requests.Session()
    session.trust_env = False
    provider = HTTPProvider(
        rpc_url, request_kwargs={"timeout": timeout_s}, session=session, exception_retry_configuration=None
    )
    provider.global_ccip_read_enabled = False
    return Web3(provider, middleware=[])


def _add_an_eighth(fee: int) -> int:
    return max(fee + 1, -(-fee * 9 // 8))
