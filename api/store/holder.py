"""What belongs to the holder of a key, across tenants: scores, receipts, and who asked for presentations.

Every statement is over what the key opens, which only its proof gives; none takes a tenant.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, func, or_, select

from api.store.database import read_transaction
from api.store.scores import OpenedEntry, ScoreStore
from api.store.tables import (
    consent_receipts,
    consents,
    log_entries,
    presentation_requests,
    scores,
    status_indices,
    tenants,
)


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What a key opens: all that its holder has under a subject, and a score of which a copy is bound to it.

    The key of a copy is the holder's as well, but a key for one lender: it opens that score, and no consent.
    """

    subject_ids: Sequence[str]
    copied_score_id: str | None


@dataclass(frozen=True, kw_only=True)
class HeldScore:
    """A score as its holder sees it listed; `status` is the Token Status List value."""

    id: str
    tenant_id: str
    lender: str
    purpose: str
    request_id: str
    status: int
    valid_until_ms: int
    opened: OpenedEntry


@dataclass(frozen=True, kw_only=True)
class HeldReceipt:
    """A consent receipt; `jws` is None where its payload was erased."""

    id: str
    consent_id: str
    lender: str
    purpose: str
    opened: OpenedEntry

    @property
    def jws(self) -> str | None:
        """The signed receipt."""
        return (self.opened.answer or {}).get("receipt")


@dataclass(frozen=True, kw_only=True)
class HeldRequest:
    """A request that the holder answered; what the entry said is None where it was erased."""

    lender: str
    request_id: str | None
    purpose: str | None
    refusal: str | None
    score_id: str | None
    opened: OpenedEntry


class HolderStore:
    """Reads what subjects have; pages run from the newest log entry back, from below an index where one is given."""

    def __init__(self, *, engine: Engine, entries: ScoreStore) -> None:
        self._engine = engine
        self._entries = entries

    def load_scores(self, holdings: Holdings, *, below: int | None, limit: int) -> list[HeldScore]:
        """Scores that are the key's."""
        statement = _page(_SCORES.where(_is_held(holdings)), below, limit)
        return [
            HeldScore(
                id=row.score_id,
                tenant_id=row.tenant_id,
                lender=row.lender,
                purpose=row.purpose,
                request_id=row.request_id,
                status=row.status,
                valid_until_ms=row.valid_until_ms,
                opened=self._entries.open_entry(row),
            )
            for row in self._load(statement)
        ]

    def load_tenant_of_score(self, holdings: Holdings, score_id: str) -> str | None:
        """The tenant of a score that is the key's; None for anything else."""
        rows = self._load(_SCORES.where(scores.c.id == score_id, _is_held(holdings)))
        return rows[0].tenant_id if rows else None

    def load_receipts(self, holdings: Holdings, *, below: int | None, limit: int) -> list[HeldReceipt]:
        """Receipts of what is the key's."""
        statement = _page(_RECEIPTS.where(_is_held(holdings)), below, limit)
        return [self._receipt(row) for row in self._load(statement)]

    def load_receipt(self, holdings: Holdings, receipt_id: str) -> HeldReceipt | None:
        """A receipt of what is the key's; None for anything else."""
        statement = _RECEIPTS.where(consent_receipts.c.id == receipt_id, _is_held(holdings))
        rows = self._load(statement)
        return self._receipt(rows[0]) if rows else None

    def load_newest_receipt(self, consent_id: str) -> HeldReceipt | None:
        """The receipt of what became of a consent last; None for a consent older than receipts are."""
        rows = self._load(_page(_RECEIPTS.where(consents.c.id == consent_id), None, 1))
        return self._receipt(rows[0]) if rows else None

    def load_requests(self, holdings: Holdings, *, below: int | None, limit: int) -> list[HeldRequest]:
        """Requests that the key answered: those that were accepted, and those refused after it was proven."""
        statement = _ENTRIES.where(_is_held(holdings), log_entries.c.type.in_(["score", "refusal"]))
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(_page(statement, below, limit)).all()
        opened = [(row.lender, self._entries.open_entry(row)) for row in rows]
        bodies = [_body_of(entry) for _, entry in opened]
        purposes = self._load_purposes([body["request_id"] for body in bodies if body])
        return [
            HeldRequest(
                lender=lender,
                request_id=body.get("request_id"),
                purpose=purposes.get(body.get("request_id", "")),
                refusal=body.get("code"),
                score_id=body.get("score_id"),
                opened=entry,
            )
            for (lender, entry), body in zip(opened, bodies, strict=True)
        ]

    def _load_purposes(self, request_ids: Sequence[str]) -> dict[str, str]:
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(
                select(presentation_requests.c.id, presentation_requests.c.purpose).where(
                    presentation_requests.c.id.in_(request_ids)
                )
            )
            return {row.id: row.purpose for row in rows}

    def _load(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        with read_transaction(self._engine) as transaction:
            return transaction.execute(statement).all()

    def _receipt(self, row: Row[Any]) -> HeldReceipt:
        return HeldReceipt(
            id=row.receipt_id,
            consent_id=row.consent_id,
            lender=row.lender,
            purpose=row.purpose,
            opened=self._entries.open_entry(row),
        )


_LENDER = func.coalesce(tenants.c.display_name, tenants.c.name).label("lender")
_ENTRIES = select(log_entries, _LENDER).join(tenants, tenants.c.id == log_entries.c.tenant_id)
_SCORES = (
    _ENTRIES.add_columns(
        scores.c.id.label("score_id"),
        scores.c.request_id,
        scores.c.valid_until_ms,
        presentation_requests.c.purpose,
        status_indices.c.status,
    )
    .join(scores, scores.c.log_index == log_entries.c.log_index)
    .join(presentation_requests, presentation_requests.c.id == scores.c.request_id)
    .join(
        status_indices,
        and_(status_indices.c.list_id == scores.c.status_list_id, status_indices.c.list_index == scores.c.status_index),
    )
)
_RECEIPTS = (
    _ENTRIES.add_columns(consent_receipts.c.id.label("receipt_id"), consent_receipts.c.consent_id, consents.c.purpose)
    .join(consent_receipts, consent_receipts.c.log_index == log_entries.c.log_index)
    .join(consents, consents.c.id == consent_receipts.c.consent_id)
)


def _is_held(holdings: Holdings) -> ColumnElement[bool]:
    """Of a statement over log entries: that the entry is one that the key opens."""
    of_subject = log_entries.c.subject_id.in_(list(holdings.subject_ids))
    if holdings.copied_score_id is None:
        return of_subject
    of_copy = select(scores.c.log_index).where(scores.c.id == holdings.copied_score_id)
    return or_(of_subject, log_entries.c.log_index.in_(of_copy))


def _page(statement: Select[Any], below: int | None, limit: int) -> Select[Any]:
    if below is not None:
        statement = statement.where(log_entries.c.log_index < below)
    return statement.order_by(log_entries.c.log_index.desc()).limit(limit)


def _body_of(opened: OpenedEntry) -> dict[str, Any]:
    if opened.entry is None:
        return {}
    body: dict[str, Any] = json.loads(opened.entry)["body"]
    return body
