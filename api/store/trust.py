"""Which issuers each tenant trusts for what, and when; every change of it is told in the log."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from api.store.appends import AppendChange
from api.store.database import StoreError, read_transaction
from api.store.sequencer import Sequencer
from api.store.subjects import NO_SUBJECT, SubjectStore
from api.store.tables import distrusted_issuers, issuer_lists, trust_versions, trusted_issuers
from identity.issuer_list import IssuerList
from identity.trust import TrustedIssuer, TrustedIssuers

_MOST_TENANTS_KEPT = 256


class TrustOverlaps(StoreError):
    """The issuer is trusted for the type already, in a period that overlaps and otherwise than is asked."""

    code = "trust_overlaps"

    def __init__(self) -> None:
        super().__init__("The issuer is trusted for this type already, for another period or at another level.")


class IssuerListNotPinned(StoreError):
    """The list's signer is not one whose lists the tenant takes."""

    code = "issuer_list_not_pinned"

    def __init__(self) -> None:
        super().__init__("The signer of the issuer list is not pinned.")


class IssuerListStale(StoreError):
    """The list is not newer than the one that was imported last."""

    code = "issuer_list_stale"

    def __init__(self) -> None:
        super().__init__("An issuer list of this signer with this sequence number or a later one was imported.")


@dataclass(frozen=True, kw_only=True)
class PinnedSigner:
    """A signer whose issuer lists a tenant takes; the last four are None until there was a list."""

    did: str
    pinned_at_ms: int
    sequence: int | None
    sha256: bytes | None
    expires_at_ms: int | None
    imported_at_ms: int | None


class TrustStore:
    """Loads and changes trust. What is loaded is kept while the tenant's version of it stays the same."""

    def __init__(self, *, engine: Engine, subjects: SubjectStore, sequencer: Sequencer) -> None:
        self._engine = engine
        self._subjects = subjects
        self._sequencer = sequencer
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, TrustedIssuers]] = OrderedDict()

    def load_trusted(self, tenant_id: str) -> TrustedIssuers:
        """Every issuer that the tenant trusts, trusted or will trust.

        What the tenant said itself comes before what a list says. An entry of a list ends with its list, and does not
        count where the tenant distrusts the issuer.
        """
        with read_transaction(self._engine) as transaction:
            version = load_version(transaction, tenant_id)
            with self._lock:
                kept = self._kept.get(tenant_id)
            if kept is not None and kept[0] == version:
                return kept[1]
            trusted = TrustedIssuers(tuple(_load_rows(transaction, tenant_id)))
        with self._lock:
            self._kept[tenant_id] = (version, trusted)
            self._kept.move_to_end(tenant_id)
            if len(self._kept) > _MOST_TENANTS_KEPT:
                self._kept.popitem(last=False)
        return trusted

    def append_trusted(self, tenant_id: str, issuer: TrustedIssuer, now_ms: int) -> TrustedIssuer:
        """Trust an issuer for one credential type; what stands already is not changed. Returns what stands.

        A period that has begun is the same as one that begins later and is otherwise equal. Raises TrustPeriodEmpty
        or `TrustOverlaps`.
        """
        issuer.verify_period()
        stands = [issuer]

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            stands[0] = append_trusted_in(transaction, tenant_id, issuer)
            if stands[0] is not issuer:
                return None
            return {
                "action": "trusted",
                "did": issuer.did,
                "vct": issuer.vct,
                "valid_from": issuer.valid_from_ms,
                "valid_to": issuer.valid_to_ms,
                "evidence_level": issuer.evidence_level,
            }

        self._append(tenant_id, change, now_ms)
        return stands[0]

    def distrust(self, tenant_id: str, did: str, vct: str, now_ms: int) -> tuple[TrustedIssuer, ...]:
        """Trust an issuer for a credential type no longer, whatever a list says now or later.

        Returns the entries that ended, none where it was not trusted. The tenant's own periods end now; those that
        had not begun are taken out.
        """
        ended: list[TrustedIssuer] = []

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            ended[:] = [
                each
                for each in _load_rows(transaction, tenant_id, did=did, vct=vct)
                if each.valid_to_ms is None or now_ms < each.valid_to_ms
            ]
            if not ended:
                return None
            own = (
                trusted_issuers.c.tenant_id == tenant_id,
                trusted_issuers.c.did == did,
                trusted_issuers.c.vct == vct,
                trusted_issuers.c.list_issuer.is_(None),
            )
            transaction.execute(delete(trusted_issuers).where(*own, trusted_issuers.c.valid_from_ms >= now_ms))
            lasts = trusted_issuers.c.valid_to_ms.is_(None) | (trusted_issuers.c.valid_to_ms > now_ms)
            transaction.execute(update(trusted_issuers).where(*own, lasts).values(valid_to_ms=now_ms))
            transaction.execute(insert(distrusted_issuers).values(tenant_id=tenant_id, did=did, vct=vct, at_ms=now_ms))
            append_version(transaction, tenant_id)
            return {"action": "distrusted", "did": did, "vct": vct}

        self._append(tenant_id, change, now_ms)
        return tuple(ended)

    def load_pinned(self, tenant_id: str) -> tuple[PinnedSigner, ...]:
        """The signers whose issuer lists the tenant takes."""
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(
                select(issuer_lists).where(issuer_lists.c.tenant_id == tenant_id).order_by(issuer_lists.c.did)
            ).all()
        return tuple(
            PinnedSigner(
                did=row.did,
                pinned_at_ms=row.pinned_at_ms,
                sequence=row.sequence,
                sha256=row.sha256,
                expires_at_ms=row.expires_at_ms,
                imported_at_ms=row.imported_at_ms,
            )
            for row in rows
        )

    def pin_signer(self, tenant_id: str, did: str, now_ms: int) -> None:
        """Take the issuer lists of a signer from now on; pinning it again changes nothing."""

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            if _load_list(transaction, tenant_id, did) is not None:
                return None
            transaction.execute(insert(issuer_lists).values(tenant_id=tenant_id, did=did, pinned_at_ms=now_ms))
            return {"action": "pinned", "list_issuer": did}

        self._append(tenant_id, change, now_ms)

    def unpin_signer(self, tenant_id: str, did: str, now_ms: int) -> bool:
        """Take no more lists of a signer and trust nobody on its word; False where it was not pinned."""
        was_pinned = [False]

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            was_pinned[0] = _load_list(transaction, tenant_id, did) is not None
            if not was_pinned[0]:
                return None
            _delete_listed(transaction, tenant_id, did)
            transaction.execute(
                delete(issuer_lists).where(issuer_lists.c.tenant_id == tenant_id, issuer_lists.c.did == did)
            )
            append_version(transaction, tenant_id)
            return {"action": "unpinned", "list_issuer": did}

        self._append(tenant_id, change, now_ms)
        return was_pinned[0]

    def import_list(self, tenant_id: str, issuer_list: IssuerList, now_ms: int) -> None:
        """Trust whom a verified list names, and whom only its predecessor named no longer: all of it or nothing.

        What the tenant said itself stays as it is. The very same list again changes nothing. Raises
        `IssuerListNotPinned` or `IssuerListStale`.
        """

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            taken = _load_list(transaction, tenant_id, issuer_list.issuer)
            if taken is None:
                raise IssuerListNotPinned
            if taken.sequence is not None and issuer_list.sequence <= taken.sequence:
                if (issuer_list.sequence, issuer_list.sha256) == (taken.sequence, taken.sha256):
                    return None
                raise IssuerListStale
            _delete_listed(transaction, tenant_id, issuer_list.issuer)
            if issuer_list.issuers:
                transaction.execute(insert(trusted_issuers), [_to_row(tenant_id, each) for each in issuer_list.issuers])
            transaction.execute(
                update(issuer_lists)
                .where(issuer_lists.c.tenant_id == tenant_id, issuer_lists.c.did == issuer_list.issuer)
                .values(
                    sequence=issuer_list.sequence,
                    sha256=issuer_list.sha256,
                    expires_at_ms=issuer_list.expires_at_ms,
                    imported_at_ms=now_ms,
                )
            )
            append_version(transaction, tenant_id)
            return {
                "action": "imported",
                "list_issuer": issuer_list.issuer,
                "sequence": issuer_list.sequence,
                "sha256": issuer_list.sha256.hex(),
                "issuers": len(issuer_list.issuers),
            }

        self._append(tenant_id, change, now_ms)

    def _append(self, tenant_id: str, change: Callable[[Connection], Mapping[str, Any] | None], now_ms: int) -> None:
        tenant_key = self._subjects.load_key(tenant_id, NO_SUBJECT)
        self._sequencer.append(
            AppendChange(tenant_id=tenant_id, at_ms=now_ms, type="trust", tenant_key=tenant_key, change=change)
        )


def append_trusted_in(transaction: Connection, tenant_id: str, issuer: TrustedIssuer) -> TrustedIssuer:
    """Trust an issuer within a transaction of the caller's; returns what stands, raises `TrustOverlaps`."""
    known = _load_rows(transaction, tenant_id, did=issuer.did, vct=issuer.vct)
    overlapping = [each for each in known if each.list_issuer is None and each.overlaps(issuer)]
    if overlapping:
        stands = overlapping[0]
        same = (stands.valid_to_ms, stands.evidence_level) == (issuer.valid_to_ms, issuer.evidence_level)
        if len(overlapping) > 1 or stands.valid_from_ms > issuer.valid_from_ms or not same:
            raise TrustOverlaps
        return stands
    transaction.execute(
        delete(distrusted_issuers).where(
            distrusted_issuers.c.tenant_id == tenant_id,
            distrusted_issuers.c.did == issuer.did,
            distrusted_issuers.c.vct == issuer.vct,
        )
    )
    transaction.execute(insert(trusted_issuers).values(_to_row(tenant_id, issuer)))
    append_version(transaction, tenant_id)
    return issuer


def load_version(transaction: Connection, tenant_id: str) -> int:
    """How often the tenant's trust has changed."""
    return (
        transaction.execute(
            select(trust_versions.c.version).where(trust_versions.c.tenant_id == tenant_id)
        ).scalar_one_or_none()
        or 0
    )


def append_version(transaction: Connection, tenant_id: str) -> None:
    """Say that the tenant's trust has changed, so that no process goes on with what it kept."""
    raised = transaction.execute(
        update(trust_versions)
        .where(trust_versions.c.tenant_id == tenant_id)
        .values(version=trust_versions.c.version + 1)
    )
    if not raised.rowcount:
        transaction.execute(insert(trust_versions).values(tenant_id=tenant_id, version=1))


def _load_rows(
    transaction: Connection, tenant_id: str, *, did: str | None = None, vct: str | None = None
) -> list[TrustedIssuer]:
    of_list = (issuer_lists.c.tenant_id == trusted_issuers.c.tenant_id) & (
        issuer_lists.c.did == trusted_issuers.c.list_issuer
    )
    distrusted = (
        (distrusted_issuers.c.tenant_id == trusted_issuers.c.tenant_id)
        & (distrusted_issuers.c.did == trusted_issuers.c.did)
        & (distrusted_issuers.c.vct == trusted_issuers.c.vct)
    )
    statement = (
        select(trusted_issuers, issuer_lists.c.expires_at_ms)
        .join(issuer_lists, of_list, isouter=True)
        .join(distrusted_issuers, distrusted, isouter=True)
        .where(
            trusted_issuers.c.tenant_id == tenant_id,
            trusted_issuers.c.list_issuer.is_(None) | distrusted_issuers.c.did.is_(None),
        )
        .order_by(
            trusted_issuers.c.vct,
            trusted_issuers.c.did,
            trusted_issuers.c.list_issuer.is_not(None),
            trusted_issuers.c.valid_from_ms,
        )
    )
    if did is not None:
        statement = statement.where(trusted_issuers.c.did == did, trusted_issuers.c.vct == vct)
    return [
        TrustedIssuer(
            did=row.did,
            vct=row.vct,
            valid_from_ms=row.valid_from_ms,
            valid_to_ms=min((end for end in (row.valid_to_ms, row.expires_at_ms) if end is not None), default=None),
            evidence_level=row.evidence_level,
            list_issuer=row.list_issuer,
        )
        for row in transaction.execute(statement)
    ]


def _load_list(transaction: Connection, tenant_id: str, did: str) -> Row[Any] | None:
    return transaction.execute(
        select(issuer_lists).where(issuer_lists.c.tenant_id == tenant_id, issuer_lists.c.did == did)
    ).one_or_none()


def _delete_listed(transaction: Connection, tenant_id: str, list_issuer: str) -> None:
    transaction.execute(
        delete(trusted_issuers).where(
            trusted_issuers.c.tenant_id == tenant_id, trusted_issuers.c.list_issuer == list_issuer
        )
    )


def _to_row(tenant_id: str, issuer: TrustedIssuer) -> dict[str, Any]:
    return {
        "id": "tru_" + secrets.token_hex(16),
        "tenant_id": tenant_id,
        "did": issuer.did,
        "vct": issuer.vct,
        "valid_from_ms": issuer.valid_from_ms,
        "valid_to_ms": issuer.valid_to_ms,
        "evidence_level": issuer.evidence_level,
        "list_issuer": issuer.list_issuer,
    }
