"""Which model the service scores with: told in every tenant's log first, then taken up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine, delete, insert, select

from api.store.appends import AppendChange, Appended
from api.store.database import StoreError, read_transaction, write_transaction
from api.store.sequencer import Sequencer
from api.store.subjects import NO_SUBJECT, SubjectStore
from api.store.tables import promoted_model, tenants, told_promotions

Decision = Literal["better", "first", "confirmed", "override"]
_THE_ROW = 1


class NobodyToTell(StoreError):
    """There is no tenant, and so no log that could tell of a promotion."""

    code = "nobody_to_tell"

    def __init__(self) -> None:
        super().__init__("There is no tenant yet, and a promotion stands in the log of each.")


class PromotionOvertaken(StoreError):
    """Another promotion was told of while this one was; which of the two is to stand is for people to say."""

    code = "promotion_overtaken"

    def __init__(self) -> None:
        super().__init__("Another promotion came between. Look at which model is to stand, and promote that again.")


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A model that takes the place of the former one, and the validation that speaks for it.

    Digests are 32 bytes. `override` is a person's reason, where the validation does not speak for it.
    """

    model_sha256: bytes
    former_sha256: bytes | None
    report_sha256: bytes
    decision: Decision
    override: str | None
    epsilon_micro: int
    delta_e12: int
    ledger_sha256: str

    def to_body(self) -> Mapping[str, Any]:
        """The body of its entries."""
        body = {
            "model_sha256": self.model_sha256.hex(),
            "former_sha256": None if self.former_sha256 is None else self.former_sha256.hex(),
            "report_sha256": self.report_sha256.hex(),
            "decision": self.decision,
            "epsilon_micro": self.epsilon_micro,
            "delta_e12": self.delta_e12,
            "ledger_sha256": self.ledger_sha256,
        }
        return body if self.override is None else {**body, "override": self.override}


class PromotionStore:
    """Loads and changes the service's model."""

    def __init__(self, *, engine: Engine, subjects: SubjectStore, sequencer: Sequencer) -> None:
        self._engine = engine
        self._subjects = subjects
        self._sequencer = sequencer

    def promote(self, promotion: Promotion, now_ms: int) -> int:
        """Tell every tenant's log of a promotion, then take the model up; returns how many entries that made.

        The same again tells those only that had not been told. Raises `NobodyToTell` or `PromotionOvertaken`.
        """
        with read_transaction(self._engine) as transaction:
            tenant_ids = list(transaction.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars())
        if not tenant_ids:
            raise NobodyToTell
        # A crash between here and the end leaves some logs that tell of a model that is not yet used. The same command
        # again tells the rest; until then the former one serves.
        told = sum(self._tell(tenant_id, promotion, now_ms) for tenant_id in tenant_ids)
        with write_transaction(self._engine) as transaction:
            others = transaction.execute(
                select(told_promotions.c.tenant_id).where(
                    told_promotions.c.tenant_id.in_(tenant_ids),
                    (told_promotions.c.model_sha256 != promotion.model_sha256)
                    | (told_promotions.c.report_sha256 != promotion.report_sha256),
                )
            ).first()
            if others is not None:
                raise PromotionOvertaken
            transaction.execute(delete(promoted_model))
            transaction.execute(insert(promoted_model).values(id=_THE_ROW, **_columns(promotion, now_ms)))
        return told

    def _tell(self, tenant_id: str, promotion: Promotion, now_ms: int) -> bool:
        """Append the entry to a tenant's log, unless it is the last that was told there."""

        def change(transaction: Connection) -> Mapping[str, Any] | None:
            of_tenant = told_promotions.c.tenant_id == tenant_id
            last = transaction.execute(select(told_promotions).where(of_tenant)).one_or_none()
            if last is not None and (last.model_sha256, last.report_sha256) == (
                promotion.model_sha256,
                promotion.report_sha256,
            ):
                return None
            transaction.execute(delete(told_promotions).where(of_tenant))
            transaction.execute(insert(told_promotions).values(tenant_id=tenant_id, **_columns(promotion, now_ms)))
            return promotion.to_body()

        outcome = self._sequencer.append(
            AppendChange(
                tenant_id=tenant_id,
                at_ms=now_ms,
                type="promotion",
                tenant_key=self._subjects.load_key(tenant_id, NO_SUBJECT),
                change=change,
            )
        )
        return isinstance(outcome, Appended)


def load_promoted(engine: Engine) -> bytes | None:
    """The digest of the model that was promoted last, 32 bytes; None where none was."""
    with read_transaction(engine) as transaction:
        return transaction.execute(select(promoted_model.c.model_sha256)).scalar_one_or_none()


def _columns(promotion: Promotion, now_ms: int) -> dict[str, Any]:
    return {"model_sha256": promotion.model_sha256, "report_sha256": promotion.report_sha256, "at_ms": now_ms}
