"""The keys of institutions that have no issuer of their own: each tenant's, made when it is first needed."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from api.store.database import read_transaction, write_transaction
from api.store.subjects import unwrap_key, wrap_key
from api.store.tables import issuer_keys
from identity.did import resolve_verification_key
from identity.encoding import encode_json, parse_json_object
from identity.keys import SigningKey


class IssuerKeyStore:
    """Hands out a tenant's issuer key, whose did:jwk signs its credentials and the status lists of these."""

    def __init__(self, *, keystore: Engine, master_keys: Sequence[bytes]) -> None:
        """The last of `master_keys` wraps; each of them unwraps what was wrapped under it."""
        self._keystore = keystore
        self._master_keys = master_keys
        self._loaded: dict[str, SigningKey] = {}

    def load_or_append_key(self, tenant_id: str, now_ms: int) -> SigningKey:
        """The tenant's key, made on first need; raises `MasterKeyMissing`."""
        found = self._loaded.get(tenant_id) or self._load(tenant_id)
        if found is None:
            key = SigningKey.generate()
            wrapped = wrap_key(self._master_keys, encode_json(key.to_private_jwk()))
            try:
                with write_transaction(self._keystore) as transaction:
                    transaction.execute(
                        insert(issuer_keys).values(
                            tenant_id=tenant_id,
                            kid=key.public.thumbprint,
                            wrapped_key=wrapped,
                            created_at_ms=now_ms,
                        )
                    )
                found = key
            except IntegrityError:
                found = self._load(tenant_id)  # Another process made it first; ours signed nothing.
                assert found is not None
        self._loaded[tenant_id] = found
        return found

    def load_key_of(self, did: str) -> SigningKey | None:
        """The key behind a tenant's did:jwk, None where it is nobody's here."""
        key = resolve_verification_key(did=did, kid=None)
        return self._load_where(issuer_keys.c.kid == key.thumbprint)

    def _load(self, tenant_id: str) -> SigningKey | None:
        return self._load_where(issuer_keys.c.tenant_id == tenant_id)

    def _load_where(self, which: ColumnElement[bool]) -> SigningKey | None:
        with read_transaction(self._keystore) as transaction:
            wrapped = transaction.execute(select(issuer_keys.c.wrapped_key).where(which)).scalar_one_or_none()
        if wrapped is None:
            return None
        return SigningKey.from_private_jwk(parse_json_object(unwrap_key(self._master_keys, wrapped)))
