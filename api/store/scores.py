"""Issued scores and the audit trail: what the sequencer sealed, opened again for those it belongs to."""

import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from sqlalchemy import Engine, Row, select

from api.keystore import unseal
from api.store.database import read_transaction
from api.store.subjects import NO_SUBJECT, SubjectKeyDestroyed, SubjectStore
from api.store.tables import log_entries, scores


@dataclass(frozen=True, kw_only=True)
class OpenedEntry:
    """A log entry of a tenant with its payload readable: the canonical entry, its salt, and the answer given.

    `entry`, `salt` and `answer` are None where the subject was erased: the leaf stays, what it meant is gone.
    """

    log_index: int
    seq: int
    type: str
    at_ms: int
    subject_id: str | None
    entry: str | None
    salt: bytes | None
    answer: dict[str, Any] | None


class ScoreStore:
    """Loads scores and entries of one tenant at a time."""

    def __init__(self, *, engine: Engine, subjects: SubjectStore) -> None:
        self._engine = engine
        self._subjects = subjects

    def load_score_entry(self, tenant_id: str, score_id: str) -> OpenedEntry | None:
        """The log entry of a score that is the tenant's own; None for anything else."""
        statement = (
            select(log_entries)
            .join(scores, scores.c.log_index == log_entries.c.log_index)
            .where(scores.c.id == score_id, scores.c.tenant_id == tenant_id, log_entries.c.tenant_id == tenant_id)
        )
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(statement).one_or_none()
        return None if row is None else self.open_entry(row)

    def load_entries(self, tenant_id: str, *, from_seq: int, limit: int, type: str | None) -> list[OpenedEntry]:
        """The tenant's entries from a sequence number on, oldest first."""
        statement = select(log_entries).where(log_entries.c.tenant_id == tenant_id, log_entries.c.seq >= from_seq)
        if type is not None:
            statement = statement.where(log_entries.c.type == type)
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(statement.order_by(log_entries.c.seq).limit(limit)).all()
        return [self.open_entry(row) for row in rows]

    def open_entry(self, row: Row[Any]) -> OpenedEntry:
        """The entry of a row that has every column of a log entry."""
        try:
            key = self._subjects.load_key(row.tenant_id, row.subject_id or NO_SUBJECT)
            payload = json.loads(unseal(aes_key_unwrap(key, row.wrapped_key), row.sealed, row.commitment))
        except SubjectKeyDestroyed:
            payload = {"entry": None, "salt": None, "answer": None}
        salt = payload["salt"]
        return OpenedEntry(
            log_index=row.log_index,
            seq=row.seq,
            type=row.type,
            at_ms=row.at_ms,
            subject_id=row.subject_id,
            entry=payload["entry"],
            salt=None if salt is None else bytes.fromhex(salt),
            answer=payload["answer"],
        )
