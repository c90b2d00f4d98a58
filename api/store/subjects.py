"""Subjects and their keys: who a person is to one tenant, and what makes that person's payloads readable.

Subject keys stand in a store of their own. Each is wrapped by the service's master key, and each payload's key by its
subject's, so that destroying one row there makes every payload of that person unreadable, here and in every backup of
the database.
"""

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)
from sqlalchemy import Engine, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from api.store.database import StoreError, read_transaction, write_transaction
from api.store.tables import subject_keys, subjects, tenants

#: The subject under whose key payloads about nobody in particular are sealed, such as a refusal's.
NO_SUBJECT = ""
_TENANTS_AT_ONCE = 500


class SubjectKeyDestroyed(StoreError):
    """The payload's subject was erased: its key is gone."""

    code = "payload_erased"

    def __init__(self) -> None:
        super().__init__("The payload was erased.")


class MasterKeyMissing(StoreError):
    """No master key of the keys folder unwraps the subject's key: it is not the folder that the store was made with."""

    code = "master_key_missing"

    def __init__(self) -> None:
        super().__init__("No master key opens the subject's key.")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A person as one tenant knows them."""

    id: str
    key: bytes = field(repr=False)


class SubjectStore:
    """Finds subjects by their holder's key and hands out what unwraps their payloads."""

    def __init__(self, *, engine: Engine, keystore: Engine, master_keys: Sequence[bytes], mac_key: bytes) -> None:
        """The last of `master_keys` wraps; each of them unwraps what was wrapped under it."""
        self._engine = engine
        self._keystore = keystore
        self._master_keys = master_keys
        self._mac_key = mac_key

    def load_subject(self, *, tenant_id: str, holder_thumbprint: str) -> Subject | None:
        """The subject that this holder key is to the tenant, None where it has not been seen."""
        found = self._load_subject_id(tenant_id, self._holder_mac(tenant_id, holder_thumbprint))
        return None if found is None else Subject(id=found, key=self.load_key(tenant_id, found))

    def append_subject(
        self,
        *,
        tenant_id: str,
        holder_thumbprint: str,
        now_ms: int,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Subject:
        """The subject of a holder key that the tenant has not seen, made unless another request was quicker."""
        holder_mac = self._holder_mac(tenant_id, holder_thumbprint)
        subject_id = "sub_" + random_bytes(16).hex()
        # The key first: a crash between the two leaves a key that nothing was sealed under.
        key = self.append_key(tenant_id, subject_id, random_bytes)
        try:
            with write_transaction(self._engine) as transaction:
                transaction.execute(
                    insert(subjects).values(
                        id=subject_id, tenant_id=tenant_id, holder_mac=holder_mac, created_at_ms=now_ms
                    )
                )
        except IntegrityError:
            # Another request of the same person came first; our key stays unused.
            found = self._load_subject_id(tenant_id, holder_mac)
            assert found is not None
            return Subject(id=found, key=self.load_key(tenant_id, found))
        return Subject(id=subject_id, key=key)

    def load_subject_ids(self, holder_thumbprint: str) -> list[str]:
        """Who this holder key is, to each tenant that knows it.

        No row says that two subjects are one person, so each tenant is asked for the key under its own MAC.
        """
        with read_transaction(self._engine) as transaction:
            tenant_ids = transaction.execute(select(tenants.c.id)).scalars().all()
            found: list[str] = []
            for start in range(0, len(tenant_ids), _TENANTS_AT_ONCE):
                asked = [
                    (tenant_id, self._holder_mac(tenant_id, holder_thumbprint))
                    for tenant_id in tenant_ids[start : start + _TENANTS_AT_ONCE]
                ]
                found += transaction.execute(
                    select(subjects.c.id).where(tuple_(subjects.c.tenant_id, subjects.c.holder_mac).in_(asked))
                ).scalars()
        return found

    def _holder_mac(self, tenant_id: str, holder_thumbprint: str) -> bytes:
        return hmac.digest(self._mac_key, f"holder\0{tenant_id}\0{holder_thumbprint}".encode(), "sha256")

    def _load_subject_id(self, tenant_id: str, holder_mac: bytes) -> str | None:
        with read_transaction(self._engine) as transaction:
            return transaction.execute(
                select(subjects.c.id).where(subjects.c.tenant_id == tenant_id, subjects.c.holder_mac == holder_mac)
            ).scalar_one_or_none()

    def append_key(
        self, tenant_id: str, subject_id: str, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> bytes:
        """Make and store a subject's key."""
        key = random_bytes(32)
        with write_transaction(self._keystore) as transaction:
            transaction.execute(
                insert(subject_keys).values(
                    tenant_id=tenant_id, subject_id=subject_id, wrapped_key=aes_key_wrap(self._master_keys[-1], key)
                )
            )
        return key

    def load_key(self, tenant_id: str, subject_id: str) -> bytes:
        """A subject's key; raises `SubjectKeyDestroyed` or `MasterKeyMissing`."""
        with read_transaction(self._keystore) as transaction:
            wrapped = transaction.execute(
                select(subject_keys.c.wrapped_key).where(
                    subject_keys.c.tenant_id == tenant_id, subject_keys.c.subject_id == subject_id
                )
            ).scalar_one_or_none()
        if wrapped is None:
            raise SubjectKeyDestroyed
        for master_key in reversed(self._master_keys):
            try:
                return aes_key_unwrap(master_key, wrapped)
            except InvalidUnwrap:
                continue
        raise MasterKeyMissing


def wrap_key(master_keys: Sequence[bytes], key: bytes) -> bytes:
    """Wrap a key of any length under the newest master key (RFC 5649)."""
    return aes_key_wrap_with_padding(master_keys[-1], key)


def unwrap_key(master_keys: Sequence[bytes], wrapped: bytes) -> bytes:
    """Unwrap what `wrap_key` wrapped under any of the master keys; raises `MasterKeyMissing`."""
    for master_key in reversed(master_keys):
        try:
            return aes_key_unwrap_with_padding(master_key, wrapped)
        except InvalidUnwrap:
            continue
    raise MasterKeyMissing
