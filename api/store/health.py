"""Whether what a service stands on is there."""

from typing import Literal

from sqlalchemy import Engine, func, select

from api.store.database import StoreUnavailable, read_transaction
from api.store.tables import jobs, log_head, subject_keys

Chain = Literal["ok", "starting", "failing"]
#: A lease is taken within a second of its time, here or on another host whose clock may differ; never this late.
_OVERDUE_MS = 60_000


class HealthStore:
    """Asks the databases how they are, and what the workers last noted of the chain."""

    def __init__(self, *, engine: Engine, keystore: Engine) -> None:
        self._engine = engine
        self._keystore = keystore

    def check_database(self) -> bool:
        """Whether the database and the subject-key store answer and hold our tables: no score is made without both."""
        try:
            with read_transaction(self._engine) as transaction:
                transaction.execute(select(func.count()).select_from(log_head)).one()
            with read_transaction(self._keystore) as transaction:
                transaction.execute(select(subject_keys.c.tenant_id).limit(1)).first()
        except StoreUnavailable:
            return False
        return True

    def check_chain(self, now_ms: int) -> Chain:
        """How the anchoring step fared the last time that it ran; one that is long overdue hangs or has nobody."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(select(jobs).where(jobs.c.name == "anchor")).one_or_none()
        if row is None or row.fence == 0:
            return "starting"
        overdue = now_ms - max(row.run_at_ms, row.lease_until_ms) > _OVERDUE_MS
        return "failing" if row.failures or overdue else "ok"
