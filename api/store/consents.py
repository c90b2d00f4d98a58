"""Consents: what a person allows a tenant for one purpose, whether that still stands, and the receipts of it."""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, Engine, Row, select

from api.store.database import StoreError, read_transaction
from api.store.tables import consent_receipts, consents, presentation_requests, scores, tenants


class ConsentWithdrawn(StoreError):
    """The person withdrew the consent that this would be done under."""

    code = "consent_withdrawn"

    def __init__(self) -> None:
        super().__init__("The applicant withdrew consent to this purpose. Only the applicant can give it again.")


@dataclass(frozen=True, kw_only=True)
class StoredConsent:
    """A consent as it stands; `withdrawn_at_ms` is None while it is given, and `lender` is what its tenant is called.

    `receipt_log_index` is the log entry that holds the newest receipt, None for a consent older than receipts are.
    """

    id: str
    tenant_id: str
    subject_id: str
    lender: str
    purpose: str
    given_at_ms: int
    withdrawn_at_ms: int | None
    receipt_log_index: int | None


def consent_id_of(subject_id: str, purpose: str) -> str:
    """The id of a subject's consent to a purpose: always the same one, so that its first receipt can name it."""
    return "con_" + sha256(f"credence/consent/v1\0{subject_id}\0{purpose}".encode()).hexdigest()[:32]


def load_withdrawals(transaction: Connection, consent_ids: Collection[str]) -> dict[str, int | None]:
    """When each consent was withdrawn, None for one that is given; one that was never given is not there."""
    rows = transaction.execute(
        select(consents.c.id, consents.c.withdrawn_at_ms).where(consents.c.id.in_(list(consent_ids)))
    )
    return {row.id: row.withdrawn_at_ms for row in rows}


class ConsentStore:
    """Loads consents; only the sequencer changes them, together with the log."""

    def __init__(self, *, engine: Engine) -> None:
        self._engine = engine

    def verify_not_withdrawn(self, subject_ids: Collection[str], purpose: str) -> None:
        """Raises `ConsentWithdrawn` where any of them withdrew; what comes in between, the sequencer decides."""
        consent_ids = [consent_id_of(subject_id, purpose) for subject_id in subject_ids]
        if not consent_ids:
            return
        with read_transaction(self._engine) as transaction:
            if any(at_ms is not None for at_ms in load_withdrawals(transaction, consent_ids).values()):
                raise ConsentWithdrawn

    def verify_score_not_withdrawn(self, score_id: str) -> None:
        """The same for the consent that a score was made under."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(
                select(scores.c.subject_id, presentation_requests.c.purpose)
                .join(presentation_requests, presentation_requests.c.id == scores.c.request_id)
                .where(scores.c.id == score_id)
            ).one()
        self.verify_not_withdrawn([row.subject_id], row.purpose)

    def load_consents(self, subject_ids: Collection[str]) -> list[StoredConsent]:
        """Every consent of these subjects, the one given last first."""
        statement = _CONSENTS.where(consents.c.subject_id.in_(list(subject_ids)))
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(statement.order_by(consents.c.given_at_ms.desc(), consents.c.id)).all()
        return [_stored(row) for row in rows]

    def load_consent(self, subject_ids: Collection[str], consent_id: str) -> StoredConsent | None:
        """A consent of one of these subjects; None for anything else."""
        statement = _CONSENTS.where(consents.c.id == consent_id, consents.c.subject_id.in_(list(subject_ids)))
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(statement).one_or_none()
        return None if row is None else _stored(row)


_CONSENTS = select(
    consents,
    tenants.c.name,
    tenants.c.display_name,
    select(consent_receipts.c.log_index)
    .where(consent_receipts.c.consent_id == consents.c.id)
    .order_by(consent_receipts.c.log_index.desc())
    .limit(1)
    .scalar_subquery()
    .label("receipt_log_index"),
).join(tenants, tenants.c.id == consents.c.tenant_id)


def _stored(row: Row[tuple[object, ...]]) -> StoredConsent:
    return StoredConsent(
        id=row.id,
        tenant_id=row.tenant_id,
        subject_id=row.subject_id,
        lender=row.display_name or row.name,
        purpose=row.purpose,
        given_at_ms=row.given_at_ms,
        withdrawn_at_ms=row.withdrawn_at_ms,
        receipt_log_index=row.receipt_log_index,
    )
