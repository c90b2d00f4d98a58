"""Idempotency keys as rows: what a client's key made, and that it came with the same request."""

import hmac
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from api.store.database import StoreError
from api.store.tables import idempotency_keys


class IdempotencyKeyReused(StoreError):
    """The Idempotency-Key stands for another request body or operation."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another request.")


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """A client's Idempotency-Key and the body that came with it, both as keyed MACs."""

    key_mac: bytes
    body_mac: bytes
    operation: str

    def verify_same(self, operation: str, body_mac: bytes, resource_id: str) -> str:
        """The resource that the key made before; raises `IdempotencyKeyReused` where it came with another request."""
        if operation != self.operation or not hmac.compare_digest(body_mac, self.body_mac):
            raise IdempotencyKeyReused
        return resource_id

    def to_row(self, tenant_id: str, resource_id: str, now_ms: int) -> dict[str, Any]:
        """The row that remembers what the key made."""
        return {
            "tenant_id": tenant_id,
            "key_mac": self.key_mac,
            "operation": self.operation,
            "body_mac": self.body_mac,
            "resource_id": resource_id,
            "created_at_ms": now_ms,
        }


def load_idempotency(transaction: Connection, tenant_id: str, idempotency: Idempotency | None) -> str | None:
    """The resource that a used key made; raises `IdempotencyKeyReused` where the key came with another request."""
    if idempotency is None:
        return None
    row = transaction.execute(
        select(idempotency_keys).where(
            idempotency_keys.c.tenant_id == tenant_id, idempotency_keys.c.key_mac == idempotency.key_mac
        )
    ).one_or_none()
    return None if row is None else idempotency.verify_same(row.operation, row.body_mac, row.resource_id)
