"""Status indices of the credentials that we sign: allotted at random before signing, published as status lists."""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.store.database import StoreUnavailable, read_transaction, write_transaction
from api.store.tables import status_indices, status_lists

CAPACITY = 2**17
#: A list is closed at half of its capacity: until then a random index is free at least every second time.
MAX_ALLOTTED = CAPACITY // 2
_BLOCK = 64
_MOST_DRAWS = 8


@dataclass(frozen=True, kw_only=True)
class AllottedStatus:
    """An index of one of our status lists that no other credential has."""

    list_id: str
    index: int


@dataclass(frozen=True, kw_only=True)
class PublishedList:
    """Every status of a list that is not 0 (valid), by index, and whose list it is; None: of our first key."""

    issuer: str | None
    statuses: Mapping[int, int]

    def to_bytes(self) -> bytes:
        """One status a byte, the first index first, to the list's whole capacity."""
        values = bytearray(CAPACITY)
        for index, status in self.statuses.items():
            values[index] = status
        return bytes(values)


class StatusStore:
    """Allots indices in blocks, so that issuing a score needs no write of its own; a crash wastes the rest of one."""

    def __init__(self, *, engine: Engine, issuer: str, random_below: Callable[[int], int] = secrets.randbelow) -> None:
        """`issuer` is the DID that signs our own credentials from now on, and therefore their lists."""
        self._engine = engine
        self._issuer = issuer
        self._random_below = random_below
        self._lock = threading.Lock()
        self._free: dict[tuple[str, str], list[AllottedStatus]] = {}

    def allot(self, tenant_id: str, now_ms: int, *, issuer: str | None = None) -> AllottedStatus:
        """An index for one credential of the tenant's, in a list of the DID that signs the credential; None: ours."""
        issuer = issuer or self._issuer
        with self._lock:
            free = self._free.setdefault((tenant_id, issuer), [])
            for _ in range(_MOST_DRAWS):
                if free:
                    break
                free.extend(self._append_block(tenant_id, issuer, now_ms))
            if not free:
                raise StoreUnavailable
            return free.pop()

    def _append_block(self, tenant_id: str, issuer: str, now_ms: int) -> list[AllottedStatus]:
        try:
            with write_transaction(self._engine) as transaction:
                open_list = transaction.execute(
                    select(status_lists.c.id)
                    .where(
                        status_lists.c.tenant_id == tenant_id,
                        status_lists.c.issuer == issuer,
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
                            capacity=CAPACITY,
                            allotted=0,
                            created_at_ms=now_ms,
                            issuer=issuer,
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

    def load_list(self, list_id: str) -> PublishedList | None:
        """What a list says now; None where there is no such list."""
        with read_transaction(self._engine) as transaction:
            known = transaction.execute(select(status_lists.c.issuer).where(status_lists.c.id == list_id)).one_or_none()
            rows = transaction.execute(
                select(status_indices.c.list_index, status_indices.c.status).where(
                    status_indices.c.list_id == list_id, status_indices.c.status != 0
                )
            ).all()
        if known is None:
            return None
        return PublishedList(issuer=known.issuer, statuses={row.list_index: row.status for row in rows})
