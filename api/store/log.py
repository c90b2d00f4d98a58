"""Reading the log: its head, its tiles, its checkpoints, and proofs out of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import IntegrityError

from api.store.database import read_transaction, write_transaction
from api.store.sequencer import load_tiles_in
from api.store.tables import checkpoints, log_entries, log_head, log_tiles
from chain.checkpoint import Checkpoint, sign_checkpoint
from chain.merkle import Frontier, inclusion_proof
from chain.note import LogSigner
from chain.tiles import (
    EntryBundle,
    Tile,
    TileKey,
    check_tile_in_tree,
    encode_entry_bundle,
    hash_loader,
    slice_tile,
)


@dataclass(frozen=True, kw_only=True)
class StoredCheckpoint:
    """A published checkpoint and the signed note that says so."""

    size: int
    root: bytes
    note: str
    at_ms: int


class LogStore:
    """The log as readers see it: everything up to its newest checkpoint, nothing past it."""

    def __init__(self, *, engine: Engine, signer: LogSigner) -> None:
        self._engine = engine
        self._signer = signer

    def load_size(self) -> int:
        """How many leaves the log has, published or not."""
        with read_transaction(self._engine) as transaction:
            size: int = transaction.execute(
                select(log_head.c.size).where(log_head.c.origin == self._signer.name)
            ).scalar_one()
        return size

    def append_checkpoint(self, now_ms: int) -> StoredCheckpoint | None:
        """Sign and publish the log's present head; None where it has not grown since the newest checkpoint."""
        with read_transaction(self._engine) as transaction:
            head = transaction.execute(select(log_head).where(log_head.c.origin == self._signer.name)).one()
            newest = transaction.execute(select(func.max(checkpoints.c.size))).scalar_one()
        if newest is not None and newest >= head.size:
            return None
        frontier = Frontier.from_bytes(head.frontier)
        note = sign_checkpoint(
            Checkpoint(origin=self._signer.name, size=frontier.size, root=frontier.root()), self._signer
        )
        stored = StoredCheckpoint(size=frontier.size, root=frontier.root(), note=note, at_ms=now_ms)
        try:
            with write_transaction(self._engine) as transaction:
                transaction.execute(
                    insert(checkpoints).values(size=stored.size, root=stored.root, note=note, at_ms=now_ms)
                )
        except IntegrityError:
            return None  # Another process published the same head first.
        return stored

    def load_newest_checkpoint(self) -> StoredCheckpoint | None:
        """The newest published checkpoint."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).one_or_none()
        return None if row is None else StoredCheckpoint(size=row.size, root=row.root, note=row.note, at_ms=row.at_ms)

    def load_checkpoint(self, size: int) -> StoredCheckpoint | None:
        """The published checkpoint of exactly that size."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(select(checkpoints).where(checkpoints.c.size == size)).one_or_none()
        return None if row is None else StoredCheckpoint(size=row.size, root=row.root, note=row.note, at_ms=row.at_ms)

    def load_tile(self, tile: Tile | EntryBundle) -> bytes:
        """The bytes of a tile or entry bundle; raises TileNotInTree past the newest checkpoint."""
        newest = self.load_newest_checkpoint()
        check_tile_in_tree(tile, newest.size if newest is not None else 0)
        with read_transaction(self._engine) as transaction:
            if isinstance(tile, Tile):
                hashes = transaction.execute(
                    select(log_tiles.c.hashes).where(
                        log_tiles.c.level == tile.level, log_tiles.c.tile_index == tile.index
                    )
                ).scalar_one()
                return slice_tile(tile, hashes)
            first = tile.first_entry
            commitments = transaction.execute(
                select(log_entries.c.commitment)
                .where(log_entries.c.log_index >= first, log_entries.c.log_index < first + tile.width)
                .order_by(log_entries.c.log_index)
            ).scalars()
            return encode_entry_bundle(list(commitments))

    def load_inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """The audit path of a leaf in the tree of that size; raises IndexNotInTree or BadTreeSize."""
        with read_transaction(self._engine) as transaction:

            def load_tiles(keys: Collection[TileKey]) -> Mapping[TileKey, bytes]:
                return load_tiles_in(transaction, keys)

            return tuple(inclusion_proof(index, size, hash_loader(load_tiles)))

    def load_commitment(self, index: int) -> bytes | None:
        """What the log holds at an index."""
        with read_transaction(self._engine) as transaction:
            return transaction.execute(
                select(log_entries.c.commitment).where(log_entries.c.log_index == index)
            ).scalar_one_or_none()
