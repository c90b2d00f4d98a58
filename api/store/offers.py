"""Credential offers: from the code that a wallet redeems to the credentials that it gets, once.

The claims of an offer and its code are sealed under a key of its own in the key store, which is destroyed when the
credential was issued, or the offer is over: then nothing here or in any backup of the database can read them.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, and_, delete, insert, or_, select, update

from api.keystore import seal, unseal
from api.store.database import StoreError, read_transaction, write_transaction
from api.store.offer_errors import (
    AccessTokenInvalid,
    AlreadyIssued,
    HolderKeyUsedBefore,
    OfferOver,
    PreAuthorizedCodeInvalid,
    TxCodeMissing,
    TxCodeNotExpected,
    TxCodeWrong,
)
from api.store.revocation import ScoreNotValid, verify_score_valid_in
from api.store.status import AllottedStatus
from api.store.subjects import unwrap_key, wrap_key
from api.store.tables import credential_offers, issued_credentials, offer_keys

TOKEN_VALID_MS = 15 * 60_000
MAX_TX_CODE_FAILURES = 5
#: An offer whose wallet never came is swept with these many others at once.
_SWEPT_AT_ONCE = 256
State = Literal["offered", "redeemed", "issued", "expired", "revoked"]


@dataclass(frozen=True, kw_only=True)
class NewOffer:
    """An offer to make: of claims of a type, or of copies of a score."""

    configuration_id: str
    vct: str
    claims: Mapping[str, Any] | None = field(repr=False)
    score_id: str | None
    tx_code_length: int | None
    valid_days: int
    expires_at_ms: int


@dataclass(frozen=True, kw_only=True)
class MadeOffer:
    """An offer just made; its transaction code is shown once and stored only as a MAC."""

    id: str
    tx_code: str | None = field(repr=False)
    expires_at_ms: int


@dataclass(frozen=True, kw_only=True)
class StoredOffer:
    """An offer as it stands; `state` is expired once nothing can come of it any more by itself."""

    id: str
    tenant_id: str
    configuration_id: str
    vct: str
    score_id: str | None
    tx_code_length: int | None
    by_identifier: bool
    valid_days: int
    state: State
    revoked_for: str | None
    created_at_ms: int
    expires_at_ms: int
    redeemed_at_ms: int | None
    issued_at_ms: int | None
    _sealed: bytes | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class IssuedRow:
    """What is kept of one issued credential; `holder_mac` of a copy, whose key may never be used again."""

    id: str
    status: AllottedStatus
    expires_at_ms: int
    holder_mac: bytes | None


class OfferStore:
    """Makes offers, lets each be redeemed once, and takes them when their credentials become durable."""

    def __init__(
        self,
        *,
        engine: Engine,
        keystore: Engine,
        master_keys: Sequence[bytes],
        mac_key: bytes,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """The last of `master_keys` wraps; each of them unwraps what was wrapped under it."""
        self._engine = engine
        self._keystore = keystore
        self._master_keys = master_keys
        self._mac_key = mac_key
        self._random_bytes = random_bytes

    def append_offers(self, tenant_id: str, offers: Sequence[NewOffer], now_ms: int) -> list[MadeOffer]:
        """Make offers, all of them or none; raises `ScoreNotValid` for one of a score that was revoked."""
        made, keys, rows = [], [], []
        for offer in offers:
            offer_id, key = "off_" + self._random_bytes(16).hex(), self._random_bytes(32)
            code = self._random_bytes(32).hex()
            tx_code = None
            if offer.tx_code_length is not None:
                tx_code = f"{secrets.randbelow(10**offer.tx_code_length):0{offer.tx_code_length}}"
            payload = json.dumps({"code": code, "claims": offer.claims}).encode()
            keys.append({"offer_id": offer_id, "tenant_id": tenant_id, "wrapped_key": wrap_key(self._master_keys, key)})
            rows.append(
                {
                    "id": offer_id,
                    "tenant_id": tenant_id,
                    "configuration_id": offer.configuration_id,
                    "vct": offer.vct,
                    "score_id": offer.score_id,
                    "state": "offered",
                    "code_sha256": hashlib.sha256(code.encode()).digest(),
                    "tx_code_mac": None if tx_code is None else self._tx_code_mac(offer_id, tx_code),
                    "tx_code_length": offer.tx_code_length,
                    "tx_code_failures": 0,
                    "by_identifier": False,
                    "valid_days": offer.valid_days,
                    "sealed": seal(key, payload, offer_id.encode()),
                    "created_at_ms": now_ms,
                    "expires_at_ms": offer.expires_at_ms,
                }
            )
            made.append(MadeOffer(id=offer_id, tx_code=tx_code, expires_at_ms=offer.expires_at_ms))
        # The keys first: a crash between the two leaves keys that nothing was sealed under.
        with write_transaction(self._keystore) as transaction:
            transaction.execute(insert(offer_keys), keys)
        try:
            with write_transaction(self._engine) as transaction:
                for offer in offers:
                    if offer.score_id is not None:
                        verify_score_valid_in(transaction, tenant_id, offer.score_id)
                transaction.execute(insert(credential_offers), rows)
        except ScoreNotValid:
            self.erase([each.id for each in made])
            raise
        return made

    def load_offer(self, offer_id: str, *, tenant_id: str | None, now_ms: int) -> StoredOffer | None:
        """An offer, of one tenant or of any; None where there is none."""
        statement = select(credential_offers).where(credential_offers.c.id == offer_id)
        if tenant_id is not None:
            statement = statement.where(credential_offers.c.tenant_id == tenant_id)
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(statement).one_or_none()
        return None if row is None else _stored(row, now_ms)

    def load_code(self, offer: StoredOffer) -> str:
        """The code of an offer that waits to be redeemed; raises `PreAuthorizedCodeInvalid` for any other."""
        if offer.state != "offered":
            raise PreAuthorizedCodeInvalid
        return str(self._open(offer, PreAuthorizedCodeInvalid)["code"])

    def load_claims(self, offer: StoredOffer) -> dict[str, Any]:
        """The claims of an offer that was redeemed; raises `AlreadyIssued` where they are gone."""
        claims: dict[str, Any] = self._open(offer, AlreadyIssued)["claims"]
        return claims

    def _open(self, offer: StoredOffer, gone: type[StoreError]) -> dict[str, Any]:
        with read_transaction(self._keystore) as transaction:
            wrapped = transaction.execute(
                select(offer_keys.c.wrapped_key).where(offer_keys.c.offer_id == offer.id)
            ).scalar_one_or_none()
        if wrapped is None or offer._sealed is None:
            raise gone
        payload: dict[str, Any] = json.loads(
            unseal(unwrap_key(self._master_keys, wrapped), offer._sealed, offer.id.encode())
        )
        return payload

    def redeem(
        self,
        *,
        tenant_id: str,
        code: str,
        tx_code: str | None,
        names: Callable[[StoredOffer], bool],
        now_ms: int,
    ) -> tuple[str, StoredOffer]:
        """Exchange a code for an access token, once; returns the token and the offer.

        `names` looks at the offer before it is redeemed, and says whether the token response names the credential by
        an identifier; what it raises leaves the offer as it was. A code that comes again revokes the token that it
        was exchanged for. Raises `PreAuthorizedCodeInvalid`, `TxCodeMissing`, `TxCodeNotExpected` or `TxCodeWrong`,
        which counts.
        """
        refused: StoreError | None
        token = self._random_bytes(32).hex()
        with write_transaction(self._engine) as transaction:
            row = transaction.execute(
                select(credential_offers)
                .where(
                    credential_offers.c.code_sha256 == hashlib.sha256(code.encode()).digest(),
                    credential_offers.c.tenant_id == tenant_id,
                )
                .with_for_update()
            ).one_or_none()
            if row is None:
                raise PreAuthorizedCodeInvalid
            offer = _stored(row, now_ms)
            refused, changes = self._judge(row, offer, tx_code)
            if refused is None:
                changes = {
                    "state": "redeemed",
                    "by_identifier": names(offer),
                    "redeemed_at_ms": now_ms,
                    "token_sha256": hashlib.sha256(token.encode()).digest(),
                }
            if changes:
                transaction.execute(update(credential_offers).where(credential_offers.c.id == offer.id).values(changes))
        # Only now: what a refusal changes is to stay.
        if refused is not None:
            raise refused
        return token, offer

    def _judge(
        self, row: Row[tuple[object, ...]], offer: StoredOffer, tx_code: str | None
    ) -> tuple[StoreError | None, dict[str, Any]]:
        """Why the code is refused, None where it is not, and what the refusal changes."""
        if row.redeemed_at_ms is not None:
            over = {} if row.state != "redeemed" else {"state": "revoked", "revoked_for": "code_reused"}
            return PreAuthorizedCodeInvalid(), over | {"token_sha256": None}
        if offer.state != "offered":
            return PreAuthorizedCodeInvalid(), {}
        if row.tx_code_mac is None:
            return (None if tx_code is None else TxCodeNotExpected()), {}
        if tx_code is None:
            return TxCodeMissing(), {}
        if hmac.compare_digest(row.tx_code_mac, self._tx_code_mac(offer.id, tx_code)):
            return None, {}
        failures = row.tx_code_failures + 1
        over = {"state": "revoked", "revoked_for": "tx_code"} if failures >= MAX_TX_CODE_FAILURES else {}
        return TxCodeWrong(), over | {"tx_code_failures": failures}

    def load_offer_of_token(self, tenant_id: str, token: str, now_ms: int) -> StoredOffer:
        """The offer that an access token was given for; raises `AccessTokenInvalid` or `AlreadyIssued`."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(
                select(credential_offers).where(
                    credential_offers.c.token_sha256 == hashlib.sha256(token.encode()).digest(),
                    credential_offers.c.tenant_id == tenant_id,
                )
            ).one_or_none()
        if row is None:
            raise AccessTokenInvalid
        offer = _stored(row, now_ms)
        if offer.state == "issued":
            raise AlreadyIssued
        if offer.state != "redeemed":
            raise AccessTokenInvalid
        return offer

    def issue_in(self, transaction: Connection, offer: StoredOffer, issued: Sequence[IssuedRow], now_ms: int) -> None:
        """Take an offer for the credentials that were made for it, in the transaction that makes them durable.

        Raises `AlreadyIssued` or `AccessTokenInvalid` where another request was quicker, `HolderKeyUsedBefore`, and
        `ScoreNotValid` where the score was revoked meanwhile: copies are revoked with it, but only those there are.
        """
        state = transaction.execute(
            select(credential_offers.c.state).where(credential_offers.c.id == offer.id).with_for_update()
        ).scalar_one()
        if state != "redeemed":
            raise AlreadyIssued if state == "issued" else AccessTokenInvalid
        macs = [each.holder_mac for each in issued if each.holder_mac is not None]
        if macs:
            used = transaction.execute(
                select(issued_credentials.c.id).where(issued_credentials.c.holder_mac.in_(macs)).limit(1)
            ).first()
            if used is not None:
                raise HolderKeyUsedBefore
        if offer.score_id is not None:
            verify_score_valid_in(transaction, offer.tenant_id, offer.score_id)
        transaction.execute(
            insert(issued_credentials),
            [
                {
                    "id": each.id,
                    "tenant_id": offer.tenant_id,
                    "vct": offer.vct,
                    "score_id": offer.score_id,
                    "offer_id": offer.id,
                    "status_list_id": each.status.list_id,
                    "status_index": each.status.index,
                    "holder_mac": each.holder_mac,
                    "issued_at_ms": now_ms,
                    "expires_at_ms": each.expires_at_ms,
                }
                for each in issued
            ],
        )
        transaction.execute(
            update(credential_offers)
            .where(credential_offers.c.id == offer.id)
            .values(state="issued", issued_at_ms=now_ms)
        )

    def load_copied_score(self, thumbprint: str) -> str | None:
        """The score of which a copy is bound to this holder key; None where there is none."""
        with read_transaction(self._engine) as transaction:
            return transaction.execute(
                select(issued_credentials.c.score_id).where(
                    issued_credentials.c.holder_mac == self.holder_mac(thumbprint)
                )
            ).scalar_one_or_none()

    def holder_mac(self, thumbprint: str) -> bytes:
        """By what a holder key of a copy is known again, at every tenant alike."""
        return hmac.digest(self._mac_key, b"copy-holder\0" + thumbprint.encode(), "sha256")

    def load_credential_ids(self, offer_id: str) -> list[str]:
        """The ids of the credentials that an offer was issued as, by which they are revoked."""
        with read_transaction(self._engine) as transaction:
            ids = transaction.execute(
                select(issued_credentials.c.id)
                .where(issued_credentials.c.offer_id == offer_id)
                .order_by(issued_credentials.c.id)
            ).scalars()
            return list(ids)

    def revoke(self, tenant_id: str, offer_id: str, now_ms: int) -> StoredOffer | None:
        """Take an offer back before it is issued; None where there is none, raises `OfferOver` where it is too late."""
        with write_transaction(self._engine) as transaction:
            row = transaction.execute(
                select(credential_offers)
                .where(credential_offers.c.id == offer_id, credential_offers.c.tenant_id == tenant_id)
                .with_for_update()
            ).one_or_none()
            if row is None:
                return None
            state = _stored(row, now_ms).state
            if state in ("issued", "expired"):
                raise OfferOver
            if state != "revoked":
                transaction.execute(
                    update(credential_offers)
                    .where(credential_offers.c.id == offer_id)
                    .values(state="revoked", revoked_for="issuer", token_sha256=None)
                )
        self.erase([offer_id])
        return self.load_offer(offer_id, tenant_id=tenant_id, now_ms=now_ms)

    def erase(self, offer_ids: Sequence[str]) -> None:
        """Destroy the keys of offers that are over, and then what was sealed under them."""
        with write_transaction(self._keystore) as transaction:
            transaction.execute(delete(offer_keys).where(offer_keys.c.offer_id.in_(offer_ids)))
        # A crash here leaves what nobody can read; it is swept, as its offer is over.
        with write_transaction(self._engine) as transaction:
            transaction.execute(
                update(credential_offers).where(credential_offers.c.id.in_(offer_ids)).values(sealed=None)
            )

    def sweep(self, now_ms: int) -> int:
        """Erase what offers that are over still hold, some at a time; returns of how many."""
        over = or_(
            credential_offers.c.state.in_(("issued", "revoked")),
            and_(credential_offers.c.state == "offered", credential_offers.c.expires_at_ms <= now_ms),
            and_(
                credential_offers.c.state == "redeemed",
                credential_offers.c.redeemed_at_ms <= now_ms - TOKEN_VALID_MS,
            ),
        )
        with read_transaction(self._engine) as transaction:
            ids = list(
                transaction.execute(
                    select(credential_offers.c.id)
                    .where(credential_offers.c.sealed.is_not(None), over)
                    .limit(_SWEPT_AT_ONCE)
                ).scalars()
            )
        if ids:
            self.erase(ids)
        return len(ids)

    def _tx_code_mac(self, offer_id: str, tx_code: str) -> bytes:
        return hmac.digest(self._mac_key, f"tx-code\0{offer_id}\0{tx_code}".encode(), "sha256")


def _stored(row: Row[tuple[object, ...]], now_ms: int) -> StoredOffer:
    late = row.state == "offered" and now_ms >= row.expires_at_ms
    late = late or (row.state == "redeemed" and now_ms >= row.redeemed_at_ms + TOKEN_VALID_MS)
    return StoredOffer(
        id=row.id,
        tenant_id=row.tenant_id,
        configuration_id=row.configuration_id,
        vct=row.vct,
        score_id=row.score_id,
        tx_code_length=row.tx_code_length,
        by_identifier=row.by_identifier,
        valid_days=row.valid_days,
        state="expired" if late else row.state,
        revoked_for=row.revoked_for,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        redeemed_at_ms=row.redeemed_at_ms,
        issued_at_ms=row.issued_at_ms,
        _sealed=row.sealed,
    )
