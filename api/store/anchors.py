"""Anchoring transactions: each is stored with its nonce, bytes and hash before anybody sees it.

``prepared`` (stored, not known to be broadcast) -> ``sent`` (given to a node) -> ``mined`` (in a block of the canonical
chain) -> ``finalized`` (deep enough). A reorganisation takes ``mined`` and ``finalized`` back to ``sent``. Two ends
beside that: ``replaced`` (another transaction took its nonce) and ``failed`` (mined, but reverted).
"""

from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Engine, Row, func, insert, select, update

from api.store.database import StoreError, read_transaction, write_transaction
from api.store.jobs import Lease, verify_lease
from api.store.tables import anchor_targets, anchor_transactions

AnchorState = Literal["prepared", "sent", "mined", "finalized", "replaced", "failed"]
PENDING: tuple[AnchorState, ...] = ("prepared", "sent")
ANCHORED: tuple[AnchorState, ...] = ("mined", "finalized")


@dataclass(frozen=True, kw_only=True)
class Target:
    """The contract and log id that the log anchors to, on the chain of that genesis block."""

    chain_id: int
    contract: str
    log_id: bytes
    genesis_hash: bytes


class OtherChain(StoreError):
    """The RPC endpoint serves another chain than the one that this log is anchored to, or not its contract."""

    code = "other_chain"

    def __init__(self) -> None:
        super().__init__("The RPC endpoint serves another chain than the one this log is anchored to.")


class NotAPublisher(StoreError):
    """The contract does not let our account anchor under the log: whoever administers the log must add it."""

    code = "not_a_publisher"

    def __init__(self) -> None:
        super().__init__("The account is not a publisher of the log on the chain.")


class ForkedLog(StoreError):
    """The chain holds a checkpoint of this log that this database never published.

    Most likely the database was restored from a backup that is older than the checkpoint, and what was acknowledged
    since is gone from it. Anchoring what it holds now would hide that.
    """

    code = "forked_log"

    def __init__(self) -> None:
        super().__init__("The chain holds a checkpoint of this log that the database never published.")


@dataclass(frozen=True, kw_only=True)
class StoredAnchor:
    """One anchoring transaction and what is known of it."""

    hash: bytes
    chain_id: int
    contract: str
    checkpoint_size: int
    nonce: int
    raw: bytes = field(repr=False)
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    state: AnchorState
    prepared_at_ms: int
    sent_at_ms: int | None
    block_number: int | None
    block_hash: bytes | None


class AnchorStore:
    """Stores anchoring transactions and moves them between states; every write is fenced by the job's lease."""

    def __init__(self, *, engine: Engine) -> None:
        self._engine = engine

    def load_target(self) -> Target | None:
        """Where this log is anchored, once that was decided."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(select(anchor_targets)).one_or_none()
        if row is None:
            return None
        return Target(chain_id=row.chain_id, contract=row.contract, log_id=row.log_id, genesis_hash=row.genesis_hash)

    def append_target(self, lease: Lease, target: Target) -> None:
        """Decide where this log is anchored, once."""
        with write_transaction(self._engine) as transaction:
            verify_lease(transaction, lease)
            transaction.execute(
                insert(anchor_targets).values(
                    chain_id=target.chain_id,
                    contract=target.contract,
                    log_id=target.log_id,
                    genesis_hash=target.genesis_hash,
                )
            )

    def append_prepared(self, lease: Lease, anchor: StoredAnchor) -> None:
        """Store a signed transaction before its first broadcast.

        One that was given up before, and is now made again with the very same bytes, is taken up again.
        """
        values = {
            "chain_id": anchor.chain_id,
            "contract": anchor.contract,
            "checkpoint_size": anchor.checkpoint_size,
            "nonce": anchor.nonce,
            "raw": anchor.raw,
            "max_fee_per_gas": str(anchor.max_fee_per_gas),
            "max_priority_fee_per_gas": str(anchor.max_priority_fee_per_gas),
            "state": "prepared",
            "prepared_at_ms": anchor.prepared_at_ms,
            "sent_at_ms": None,
            "block_number": None,
            "block_hash": None,
        }
        with write_transaction(self._engine) as transaction:
            verify_lease(transaction, lease)
            again = transaction.execute(
                update(anchor_transactions).where(anchor_transactions.c.hash == anchor.hash).values(values)
            )
            if again.rowcount == 0:
                transaction.execute(insert(anchor_transactions).values(hash=anchor.hash, **values))

    def move(
        self,
        lease: Lease,
        anchor: StoredAnchor,
        state: AnchorState,
        *,
        sent_at_ms: int | None = None,
        block_number: int | None = None,
        block_hash: bytes | None = None,
    ) -> None:
        """Move a transaction to another state, with the block that holds it where there is one."""
        with write_transaction(self._engine) as transaction:
            verify_lease(transaction, lease)
            transaction.execute(
                update(anchor_transactions)
                .where(anchor_transactions.c.hash == anchor.hash)
                .values(
                    state=state,
                    sent_at_ms=sent_at_ms if sent_at_ms is not None else anchor.sent_at_ms,
                    block_number=block_number,
                    block_hash=block_hash,
                )
            )

    def load_unsettled(self) -> list[StoredAnchor]:
        """Every transaction that may still change, in the order of their nonces, and the newest finalized one."""
        with read_transaction(self._engine) as transaction:
            open_rows = transaction.execute(
                select(anchor_transactions)
                .where(anchor_transactions.c.state.in_(("prepared", "sent", "mined")))
                .order_by(anchor_transactions.c.nonce, anchor_transactions.c.prepared_at_ms)
            ).all()
            newest = transaction.execute(
                select(anchor_transactions)
                .where(anchor_transactions.c.state == "finalized")
                .order_by(anchor_transactions.c.nonce.desc())
                .limit(1)
            ).all()
        return [_stored(row) for row in (*newest, *open_rows)]

    def load_finalized(self) -> list[StoredAnchor]:
        """Every finalized transaction, the highest nonce first."""
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(
                select(anchor_transactions)
                .where(anchor_transactions.c.state == "finalized")
                .order_by(anchor_transactions.c.nonce.desc())
            ).all()
        return [_stored(row) for row in rows]

    def load_rivals(self, anchor: StoredAnchor) -> list[StoredAnchor]:
        """The other transactions under the same nonce."""
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(
                select(anchor_transactions).where(
                    anchor_transactions.c.nonce == anchor.nonce,
                    anchor_transactions.c.chain_id == anchor.chain_id,
                    anchor_transactions.c.hash != anchor.hash,
                )
            ).all()
        return [_stored(row) for row in rows]

    def load_anchors_of_size(self, checkpoint_size: int) -> list[StoredAnchor]:
        """Every transaction that was made to anchor the checkpoint of that size, in whatever state."""
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(
                select(anchor_transactions).where(anchor_transactions.c.checkpoint_size == checkpoint_size)
            ).all()
        return [_stored(row) for row in rows]

    def load_last_prepared_at_ms(self, now_ms: int) -> int | None:
        """When the newest transaction was made, whatever became of it; None where none was made before `now_ms`."""
        statement = select(func.max(anchor_transactions.c.prepared_at_ms))
        with read_transaction(self._engine) as transaction:
            last: int | None = transaction.execute(
                statement.where(anchor_transactions.c.prepared_at_ms <= now_ms)
            ).scalar_one()
        return last

    def load_anchor_over(self, log_index: int) -> StoredAnchor | None:
        """The anchored transaction of the smallest checkpoint that has the leaf, a finalized one before a mined one."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(
                select(anchor_transactions)
                .where(
                    anchor_transactions.c.state.in_(ANCHORED),
                    anchor_transactions.c.checkpoint_size > log_index,
                )
                .order_by(anchor_transactions.c.state, anchor_transactions.c.checkpoint_size)
                .limit(1)
            ).one_or_none()
        return None if row is None else _stored(row)

    def load_newest_anchored_size(self) -> int:
        """The size of the largest checkpoint that stands on the chain as far as we know; 0 where none does."""
        with read_transaction(self._engine) as transaction:
            size = transaction.execute(
                select(anchor_transactions.c.checkpoint_size)
                .where(anchor_transactions.c.state.in_(ANCHORED))
                .order_by(anchor_transactions.c.checkpoint_size.desc())
                .limit(1)
            ).scalar_one_or_none()
        return size or 0


def _stored(row: Row[tuple[object, ...]]) -> StoredAnchor:
    return StoredAnchor(
        hash=row.hash,
        chain_id=row.chain_id,
        contract=row.contract,
        checkpoint_size=row.checkpoint_size,
        nonce=row.nonce,
        raw=row.raw,
        max_fee_per_gas=int(row.max_fee_per_gas),
        max_priority_fee_per_gas=int(row.max_priority_fee_per_gas),
        state=row.state,
        prepared_at_ms=row.prepared_at_ms,
        sent_at_ms=row.sent_at_ms,
        block_number=row.block_number,
        block_hash=row.block_hash,
    )
