"""Whether what a service stands on is there."""

from typing import Literal

from sqlalchemy import Engine, func, select

from api.store.database import StoreUnavailable, read_transaction
from api.store.tables import jobs, log_head

Chain = Literal["ok", "starting", "failing"]


class HealthStore:
    """Asks the database how it is, and what the workers last noted of the chain."""

    def __init__(self, *, engine: Engine) -> None:
        self._engine = engine

    def check_database(self) -> bool:
        """Whether the database answers and holds our tables."""
        try:
            with read_transaction(self._engine) as transaction:
                transaction.execute(select(func.count()).select_from(log_head)).one()
        except StoreUnavailable:
            return False
        return True

    def check_chain(self) -> Chain:
        """How the anchoring step fared the last time that it ran."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(
                select(jobs.c.failures, jobs.c.fence).where(jobs.c.name == "anchor")
            ).one_or_none()
        if row is None or row.fence == 0:
            return "starting"
        return "failing" if row.failures else "ok"
