"""Tenants and their OAuth2 clients."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import argon2
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.store.database import StoreError, read_transaction, write_transaction
from api.store.subjects import NO_SUBJECT, SubjectStore
from api.store.tables import clients, tenants
from identity.consent_receipt import Controller

SCOPES = ("lender", "compliance", "operator", "issuer", "metrics")

_HASHER = argon2.PasswordHasher()
#: Verified where the client is unknown, so that a guess takes as long as a hit.
_NOBODY = _HASHER.hash(secrets.token_hex(16))


class UnknownScope(StoreError):
    """A client was given a scope that is not one of ours."""

    code = "unknown_scope"

    def __init__(self) -> None:
        super().__init__(f"The scopes are {', '.join(SCOPES)}.")


class ClientNotAuthenticated(StoreError):
    """The client is unknown or disabled, or its secret is wrong; which of these is not said."""

    code = "invalid_client"

    def __init__(self) -> None:
        super().__init__("Client authentication failed.")


@dataclass(frozen=True, kw_only=True)
class NewClient:
    """A client just made; its secret is shown once and stored only as a hash."""

    client_id: str
    client_secret: str = field(repr=False)
    tenant_id: str
    scope: str


@dataclass(frozen=True, kw_only=True)
class AuthenticatedClient:
    """Who a token is issued to."""

    client_id: str
    tenant_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Lender:
    """A tenant as its applicants are told of it; `retention_days` is None where the service's own period holds."""

    controller: Controller
    retention_days: int | None


class TenantStore:
    """Makes and loads tenants and clients."""

    def __init__(self, *, engine: Engine, subjects: SubjectStore) -> None:
        self._engine = engine
        self._subjects = subjects

    def load_or_append_tenant(self, name: str, now_ms: int) -> str:
        """The id of the tenant of that name, made on first mention."""
        found = self.load_tenant_id(name)
        if found is not None:
            return found
        tenant_id = "ten_" + secrets.token_hex(8)
        digest = hashlib.sha256(b"credence/tenant/v1\0" + secrets.token_bytes(32) + tenant_id.encode()).digest()
        log_ref = base64.urlsafe_b64encode(digest[:18]).decode()
        # The key of payloads about nobody first: a crash between the two leaves a key without a tenant.
        self._subjects.append_key(tenant_id, NO_SUBJECT)
        try:
            with write_transaction(self._engine) as transaction:
                transaction.execute(
                    insert(tenants).values(id=tenant_id, name=name, log_ref=log_ref, next_seq=0, created_at_ms=now_ms)
                )
        except IntegrityError:
            found = self.load_tenant_id(name)
            assert found is not None
            return found
        return tenant_id

    def load_tenant_id(self, name: str) -> str | None:
        """The id of the tenant of that name, None where there is none."""
        with read_transaction(self._engine) as transaction:
            return transaction.execute(select(tenants.c.id).where(tenants.c.name == name)).scalar_one_or_none()

    def load_lender(self, tenant_id: str) -> Lender:
        """What a tenant is to its applicants; its name, where it has described itself no further."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(select(tenants).where(tenants.c.id == tenant_id)).one()
        controller = Controller(
            id=row.log_ref,
            name=row.display_name or row.name,
            contact=row.contact,
            privacy_notice=row.privacy_notice,
            jurisdiction=row.jurisdiction,
        )
        return Lender(controller=controller, retention_days=row.retention_days)

    def describe_tenant(self, tenant_id: str, described: Mapping[str, str | int]) -> None:
        """Say what applicants are told of a tenant from now on; what is not among `described` stays as it was."""
        with write_transaction(self._engine) as transaction:
            transaction.execute(update(tenants).where(tenants.c.id == tenant_id).values(**described))

    def has_tenant(self, tenant_id: str) -> bool:
        """Whether there is a tenant of that id."""
        with read_transaction(self._engine) as transaction:
            return transaction.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is not None

    def append_client(self, *, tenant_id: str, name: str, scopes: frozenset[str], now_ms: int) -> NewClient:
        """Make a client of a tenant; raises `UnknownScope`."""
        if not scopes or not scopes <= set(SCOPES):
            raise UnknownScope
        client = NewClient(
            client_id="cli_" + secrets.token_hex(8),
            client_secret=secrets.token_urlsafe(32),
            tenant_id=tenant_id,
            scope=" ".join(sorted(scopes)),
        )
        with write_transaction(self._engine) as transaction:
            transaction.execute(
                insert(clients).values(
                    id=client.client_id,
                    tenant_id=tenant_id,
                    name=name,
                    secret_hash=_HASHER.hash(client.client_secret),
                    scope=client.scope,
                    created_at_ms=now_ms,
                )
            )
        return client

    def verify_client(self, client_id: str, client_secret: str) -> AuthenticatedClient:
        """The client that these credentials belong to; raises `ClientNotAuthenticated`."""
        with read_transaction(self._engine) as transaction:
            row = transaction.execute(
                select(clients).where(clients.c.id == client_id, clients.c.disabled_at_ms.is_(None))
            ).one_or_none()
        try:
            _HASHER.verify(_NOBODY if row is None else row.secret_hash, client_secret)
        except argon2.exceptions.VerifyMismatchError:
            raise ClientNotAuthenticated from None
        if row is None:
            raise ClientNotAuthenticated
        return AuthenticatedClient(client_id=row.id, tenant_id=row.tenant_id, scopes=frozenset(row.scope.split()))

    def verify_enabled(self, client_id: str) -> None:
        """Raises `ClientNotAuthenticated` where the client is unknown or disabled: its tokens are good no longer."""
        with read_transaction(self._engine) as transaction:
            found = transaction.execute(
                select(clients.c.id).where(clients.c.id == client_id, clients.c.disabled_at_ms.is_(None))
            ).first()
        if found is None:
            raise ClientNotAuthenticated

    def disable_client(self, client_id: str, now_ms: int) -> bool:
        """Let a client get no token, and use none that it has; False where there is none that is not disabled."""
        with write_transaction(self._engine) as transaction:
            disabled = transaction.execute(
                update(clients)
                .where(clients.c.id == client_id, clients.c.disabled_at_ms.is_(None))
                .values(disabled_at_ms=now_ms)
            )
        return bool(disabled.rowcount)
