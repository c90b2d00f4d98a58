"""Status indices of score credentials: allotted at random before signing, published as Token Status Lists."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.store.database import StoreUnavailable, read_transaction, write_transaction
from api.store.tables import status_indices, status_lists

CAPACITY = 2**17
#: A list is closed at half of its capacity: until then a random index is free at least every second time.
MAX_ALLOTTED = CAPACITY // 2
_BLOCK = 64
_MOST_DRAWS = 8
#: Whose key signs a list, which must be the issuer of the credentials in it: the service's, or the tenant's own.
SignedBy = Literal["service", "tenant"]


@dataclass(frozen=True, kw_only=True)
class AllottedStatus:
    """An index of one of our status lists that no other credential has."""

    list_id: str
    index: int


class StatusStore:
    """Allots indices in blocks, so that issuing a score needs no write of its own; a crash wastes the rest of one."""

    def __init__(self, *, engine: Engine, random_below: Callable[[int], int] = secrets.randbelow) -> None:
        self._engine = engine
        self._random_below = random_below
        self._lock = threading.Lock()
        self._free: dict[tuple[str, SignedBy], list[AllottedStatus]] = {}

    def allot(self, tenant_id: str, now_ms: int, *, signed_by: SignedBy = "service") -> AllottedStatus:
        """An index for one credential of the tenant's, in a list that the credential's issuer signs."""
        with self._lock:
            free = self._free.setdefault((tenant_id, signed_by), [])
            for _ in range(_MOST_DRAWS):
                if free:
                    break
                free.extend(self._append_block(tenant_id, signed_by, now_ms))
            if not free:
                raise StoreUnavailable
            return free.pop()

    def _append_block(self, tenant_id: str, signed_by: SignedBy, now_ms: int) -> list[AllottedStatus]:
        try:
            with write_transaction(self._engine) as transaction:
                open_list = transaction.execute(
                    select(status_lists.c.id)
                    .where(
                        status_lists.c.tenant_id == tenant_id,
                        status_lists.c.signed_by == signed_by,
                        status_lists.c.allotted < MAX_ALLOTTED,
                    )
                    .with_for_update()
                    .limit(1)
                ).scalar_one_or_none()
                if open_list is None:
                    open_list = secrets.token_hex(8)
                    transaction.execute(
                        insert(status_lists).values(
                            id=open_list,
                            tenant_id=tenant_id,
                            signed_by=signed_by,
                            capacity=CAPACITY,
                            allotted=0,
                            created_at_ms=now_ms,
                        )
                    )
                # In the order of drawing: a set's own order would put indices beside each other that are alike, and
                # copies of one score that are issued together could be told by theirs.
                candidates = dict.fromkeys(self._random_below(CAPACITY) for _ in range(_BLOCK))
                taken = set(
                    transaction.execute(
                        select(status_indices.c.list_index).where(
                            status_indices.c.list_id == open_list, status_indices.c.list_index.in_(candidates)
                        )
                    ).scalars()
                )
                fresh = [index for index in candidates if index not in taken]
                if fresh:
                    transaction.execute(
                        insert(status_indices),
                        [
                            {"list_id": open_list, "list_index": index, "tenant_id": tenant_id, "status": 0}
                            for index in fresh
                        ],
                    )
                transaction.execute(
                    update(status_lists)
                    .where(status_lists.c.id == open_list)
                    .values(allotted=status_lists.c.allotted + len(fresh))
                )
        except IntegrityError:
            return []  # Another process took one of them between our look and our insert: draw again.
        return [AllottedStatus(list_id=open_list, index=index) for index in fresh]

    def load_statuses(self, list_id: str) -> dict[int, int] | None:
        """Every status of a list that is not 0 (valid); None where there is no such list."""
        with read_transaction(self._engine) as transaction:
            known = transaction.execute(select(status_lists.c.id).where(status_lists.c.id == list_id)).first()
            rows = transaction.execute(
                select(status_indices.c.list_index, status_indices.c.status).where(
                    status_indices.c.list_id == list_id, status_indices.c.status != 0
                )
            ).all()
        return None if known is None else {row.list_index: row.status for row in rows}
