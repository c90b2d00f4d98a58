"""The Idempotency-Key header: the same key with the same body gets the same answer, without keeping either."""

import hmac
from typing import Annotated

from fastapi import Header

from api.store.idempotency import Idempotency

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Chosen by the client: the same key with the same body gets the same answer.",
    ),
]


def idempotency_of(mac_key: bytes, tenant_id: str, operation: str, key: str | None, body: bytes) -> Idempotency | None:
    """What of a key and a body is kept; None where the client gave no key."""
    if key is None:
        return None

    def mac(kind: str, data: bytes) -> bytes:
        return hmac.digest(mac_key, f"{kind}\0{tenant_id}\0".encode() + data, "sha256")

    return Idempotency(
        key_mac=mac("idempotency-key", key.encode()), body_mac=mac("idempotency-body", body), operation=operation
    )
