"""Nonces that we hand to anyone who asks, and take back once: nothing is stored of one until it is used."""

import hmac
import secrets
from collections.abc import Callable

from sqlalchemy import Engine, delete, insert
from sqlalchemy.exc import IntegrityError

from api.store.database import StoreError, write_transaction
from api.store.tables import used_nonces
from identity.encoding import decode_base64url, encode_base64url
from identity.errors import BadBase64

NONCE_VALID_MS = 5 * 60_000
#: Hosts that share a database do not share a clock: a used nonce is remembered this long after it expired.
_REMEMBERED_MS = 10 * 60_000
_ID_BYTES, _TIME_BYTES, _MAC_BYTES = 16, 8, 32


class NonceInvalid(StoreError):
    """The nonce is not one that we issued for this purpose, or it is too old."""

    code = "nonce_invalid"

    def __init__(self) -> None:
        super().__init__("The nonce is unknown or has expired. Get a new one.")


class NonceSpent(StoreError):
    """The nonce was used before."""

    code = "nonce_spent"

    def __init__(self) -> None:
        super().__init__("The nonce was used before. Get a new one.")


class NonceStore:
    """Issues nonces as a random id and an expiry under a MAC, and lets each be used once, whoever else tries."""

    def __init__(
        self, *, engine: Engine, mac_key: bytes, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._engine = engine
        self._mac_key = mac_key
        self._random_bytes = random_bytes

    def issue(self, *, purpose: str, now_ms: int) -> str:
        """A nonce that may be used for `purpose` within `NONCE_VALID_MS`; a purpose of one tenant names the tenant."""
        body = self._random_bytes(_ID_BYTES) + (now_ms + NONCE_VALID_MS).to_bytes(_TIME_BYTES)
        return encode_base64url(body + self._mac(purpose, body))

    def use(self, nonce: str, *, purpose: str, now_ms: int) -> None:
        """Use a nonce up, durably.

        Raises `NonceInvalid` (not ours, for another purpose, expired), `NonceSpent`, or `StoreUnavailable`: then the
        nonce may be spent or not, and a new one is needed.
        """
        nonce_id, expires_at_ms = self._verify(nonce, purpose, now_ms)
        try:
            with write_transaction(self._engine) as transaction:
                transaction.execute(insert(used_nonces).values(id=nonce_id, expires_at_ms=expires_at_ms))
        except IntegrityError:
            raise NonceSpent from None

    def sweep(self, now_ms: int) -> int:
        """Forget the used nonces that have expired, which their expiry refuses by itself; returns how many."""
        with write_transaction(self._engine) as transaction:
            swept = transaction.execute(
                delete(used_nonces).where(used_nonces.c.expires_at_ms < now_ms - _REMEMBERED_MS)
            )
        return swept.rowcount

    def _verify(self, nonce: str, purpose: str, now_ms: int) -> tuple[bytes, int]:
        try:
            raw = decode_base64url(nonce)
        except BadBase64:
            raise NonceInvalid from None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(body) != _ID_BYTES + _TIME_BYTES or not hmac.compare_digest(mac, self._mac(purpose, body)):
            raise NonceInvalid
        expires_at_ms = int.from_bytes(body[_ID_BYTES:])
        if now_ms >= expires_at_ms:
            raise NonceInvalid
        return body[:_ID_BYTES], expires_at_ms

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self._mac_key, b"nonce\0" + purpose.encode() + b"\0" + body, "sha256")
