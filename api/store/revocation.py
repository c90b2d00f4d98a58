"""What becomes of a credential after it was issued: suspended, reinstated, revoked; each change is told in the log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, tuple_, update

from api.store.appends import AppendChange
from api.store.database import StoreError, read_transaction
from api.store.sequencer import Sequencer
from api.store.subjects import NO_SUBJECT, SubjectStore
from api.store.tables import issued_credentials, scores, status_indices

Status = Literal["valid", "suspended", "revoked"]
#: Why a status changes: codes, so that no personal data can stand here.
Reason = Literal[
    "consent_withdrawn",
    "data_corrected",
    "fraud_suspected",
    "issued_in_error",
    "key_compromised",
    "legal_order",
    "requested_by_holder",
    "review_closed",
    "source_revoked",
    "superseded",
    "under_review",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

#: Token Status List, section 7.1.
_VALUES: Mapping[Status, int] = {"valid": 0, "revoked": 1, "suspended": 2}
_STATUSES: Mapping[int, Status] = {value: status for status, value in _VALUES.items()}


class RevocationFinal(StoreError):
    """The credential was revoked, and what is revoked stays so."""

    code = "revocation_final"

    def __init__(self) -> None:
        super().__init__("It was revoked, and revocation is final.")


class ScoreNotValid(StoreError):
    """The score was suspended or revoked: no copy of it is issued."""

    code = "score_not_valid"

    def __init__(self) -> None:
        super().__init__("The score is suspended or revoked.")


@dataclass(frozen=True, kw_only=True)
class StatusNow:
    """The status of a score or credential; why and since when are None while it never changed."""

    status: Status
    reason: Reason | None
    changed_at_ms: int | None


@dataclass(frozen=True, kw_only=True)
class _Place:
    list_id: str
    index: int


class RevocationStore:
    """Reads and changes the statuses of a tenant's scores and issued credentials."""

    def __init__(self, *, engine: Engine, subjects: SubjectStore, sequencer: Sequencer) -> None:
        self._engine = engine
        self._subjects = subjects
        self._sequencer = sequencer

    def load_score_status(self, tenant_id: str, score_id: str) -> StatusNow | None:
        """The status of a score of the tenant's own; None for anything else."""
        with read_transaction(self._engine) as transaction:
            place = _place_of_score(transaction, tenant_id, score_id)
            return None if place is None else _load_status(transaction, place)

    def load_credential_status(self, tenant_id: str, credential_id: str) -> StatusNow | None:
        """The status of a credential that was issued for the tenant; None for anything else."""
        with read_transaction(self._engine) as transaction:
            place = _place_of_credential(transaction, tenant_id, credential_id)
            return None if place is None else _load_status(transaction, place)

    def change_score_status(
        self, tenant_id: str, score_id: str, *, status: Status, reason: Reason, now_ms: int
    ) -> StatusNow | None:
        """Give a score and every copy of it a status; what is so already is not changed. Returns what stands.

        A copy that was revoked by itself stays revoked. None where the tenant has no such score. Raises
        `RevocationFinal`.
        """

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            place = _place_of_score(transaction, tenant_id, score_id)
            if place is None:
                return None
            # Locked before the copies are looked for: one that is being issued meanwhile is seen, or not issued.
            _lock_status(transaction, place)
            copies = select(issued_credentials.c.status_list_id, issued_credentials.c.status_index).where(
                issued_credentials.c.tenant_id == tenant_id, issued_credentials.c.score_id == score_id
            )
            are_copies = tuple_(status_indices.c.list_id, status_indices.c.list_index).in_(copies)
            if not _change_status(transaction, place, status, reason, now_ms, are_copies):
                return None
            return {"score_id": score_id, "status": status, "reason": reason}

        self._append(tenant_id, change, now_ms)
        return self.load_score_status(tenant_id, score_id)

    def change_credential_status(
        self, tenant_id: str, credential_id: str, *, status: Status, reason: Reason, now_ms: int
    ) -> StatusNow | None:
        """Give one issued credential a status; as `change_score_status`, and of a score it is that one copy."""

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            place = _place_of_credential(transaction, tenant_id, credential_id)
            if place is None or not _change_status(transaction, place, status, reason, now_ms):
                return None
            return {"credential_id": credential_id, "status": status, "reason": reason}

        self._append(tenant_id, change, now_ms)
        return self.load_credential_status(tenant_id, credential_id)

    def _append(self, tenant_id: str, change: Callable[[Connection], Mapping[str, Any] | None], now_ms: int) -> None:
        tenant_key = self._subjects.load_key(tenant_id, NO_SUBJECT)
        self._sequencer.append(
            AppendChange(tenant_id=tenant_id, at_ms=now_ms, type="status", tenant_key=tenant_key, change=change)
        )


def verify_score_valid_in(transaction: Connection, tenant_id: str, score_id: str) -> None:
    """Raises `ScoreNotValid` unless the score is valid, and keeps it so until the transaction ends.

    Whoever issues a copy of a score calls it in the transaction that stores the copy: a revocation then comes before
    it, and the copy is not issued, or after it, and the copy is revoked too.
    """
    row = transaction.execute(
        select(status_indices.c.status)
        .join(
            scores,
            and_(
                scores.c.status_list_id == status_indices.c.list_id,
                scores.c.status_index == status_indices.c.list_index,
            ),
        )
        .where(scores.c.tenant_id == tenant_id, scores.c.id == score_id)
        .with_for_update(of=status_indices)
    ).one_or_none()
    if row is None or row.status != _VALUES["valid"]:
        raise ScoreNotValid


def _change_status(
    transaction: Connection, place: _Place, status: Status, reason: Reason, now_ms: int, *also: ColumnElement[bool]
) -> bool:
    """Whether anything changed, at the place that is asked about or where `also` holds. Raises `RevocationFinal`."""
    if status != "revoked" and _load_status(transaction, place).status == "revoked":
        raise RevocationFinal
    change = (
        update(status_indices)
        .where(status_indices.c.status.not_in((_VALUES["revoked"], _VALUES[status])))
        .values(status=_VALUES[status], reason=reason, changed_at_ms=now_ms)
    )
    # One statement each: of the two together in an OR, a database would look through every index that there is.
    changed = [transaction.execute(change.where(each)).rowcount for each in (_is_at(place), *also)]
    return any(changed)


def _lock_status(transaction: Connection, place: _Place) -> None:
    transaction.execute(select(status_indices.c.status).where(_is_at(place)).with_for_update()).one()


def _load_status(transaction: Connection, place: _Place) -> StatusNow:
    row = transaction.execute(select(status_indices).where(_is_at(place))).one()
    return StatusNow(status=_STATUSES[row.status], reason=row.reason, changed_at_ms=row.changed_at_ms)


def _is_at(place: _Place) -> ColumnElement[bool]:
    return and_(status_indices.c.list_id == place.list_id, status_indices.c.list_index == place.index)


def _place_of_score(transaction: Connection, tenant_id: str, score_id: str) -> _Place | None:
    row = transaction.execute(
        select(scores.c.status_list_id, scores.c.status_index).where(
            scores.c.tenant_id == tenant_id, scores.c.id == score_id
        )
    ).one_or_none()
    return None if row is None else _Place(list_id=row.status_list_id, index=row.status_index)


def _place_of_credential(transaction: Connection, tenant_id: str, credential_id: str) -> _Place | None:
    row = transaction.execute(
        select(issued_credentials.c.status_list_id, issued_credentials.c.status_index).where(
            issued_credentials.c.tenant_id == tenant_id, issued_credentials.c.id == credential_id
        )
    ).one_or_none()
    return None if row is None else _Place(list_id=row.status_list_id, index=row.status_index)
