"""`credence migrate` and `credence clients`, and the stores that every command of an operator works on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from api.cli.terminal import USAGE, CommandFailed, print_json, print_rows
from api.clock import now_ms
from api.keystore import Keyring, load_or_create_keyring
from api.settings import Settings, load_settings
from api.store.database import migrate, migrate_keystore, open_engine
from api.store.promotions import PromotionStore
from api.store.requests import RequestStore
from api.store.revocation import RevocationStore
from api.store.sequencer import Sequencer
from api.store.subjects import SubjectStore
from api.store.tenants import SCOPES, NewClient, TenantStore
from api.store.trust import TrustStore
from identity.credential_types.types import CredentialType, load_credential_types
from identity.did_resolver import DidResolver
from identity.fetch import GuardedFetcher
from identity.openid4vp import client_id_of

_HTTPS = re.compile(r"https://[!-~]{1,500}", re.ASCII)
_CONTACT = re.compile(r"(mailto:[!-~]{3,320}|https://[!-~]{1,500})", re.ASCII)
_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What a command changes, beside a service that may be running on the same databases."""

    settings: Settings
    engine: Engine
    tenants: TenantStore
    trust: TrustStore
    revocations: RevocationStore
    promotions: PromotionStore
    dids: DidResolver

    def load_tenant_id(self, tenant: str) -> str:
        """The id of a tenant that is there; raises `CommandFailed`."""
        tenant_id = self.tenants.load_tenant_id(tenant)
        if tenant_id is None:
            raise CommandFailed("There is no tenant of that name.")
        return tenant_id


def open_tenants(settings: Settings) -> TenantStore:
    """The tenants of the service that `settings` describe, its databases made or migrated first."""
    engine, keyring = _open_database(settings)
    return TenantStore(engine=engine, subjects=_open_subjects(settings, engine, keyring))


@contextmanager
def open_stores(settings: Settings) -> Iterator[Stores]:
    """The stores of the service that `settings` describe, with a sequencer of this process for what the log tells."""
    engine, keyring = _open_database(settings)
    subjects = _open_subjects(settings, engine, keyring)
    audience = client_id_of(keyring.active("request").signing_key)
    sequencer = Sequencer(
        engine=engine,
        requests=RequestStore(engine=engine, audience=audience, base_url=settings.base_url),
        origin=settings.log_origin,
    )
    sequencer.start()
    try:
        yield Stores(
            settings=settings,
            engine=engine,
            tenants=TenantStore(engine=engine, subjects=subjects),
            trust=TrustStore(engine=engine, subjects=subjects, sequencer=sequencer),
            revocations=RevocationStore(engine=engine, subjects=subjects, sequencer=sequencer),
            promotions=PromotionStore(engine=engine, subjects=subjects, sequencer=sequencer),
            dids=DidResolver(GuardedFetcher(allow_http_origins=settings.allow_http_origins)),
        )
    finally:
        sequencer.stop()
        engine.dispose()


def _open_database(settings: Settings) -> tuple[Engine, Keyring]:
    settings.var.mkdir(parents=True, exist_ok=True)
    migrate(settings.database_url)
    migrate_keystore(settings.keystore_url)
    return open_engine(settings.database_url), load_or_create_keyring(settings.var / "keys", now_ms())


def _open_subjects(settings: Settings, engine: Engine, keyring: Keyring) -> SubjectStore:
    return SubjectStore(
        engine=engine,
        keystore=open_engine(settings.keystore_url),
        master_keys=[key.secret for key in keyring.all("encrypt")],
        mac_key=keyring.active("mac").secret,
    )


def find_credential_type(name: str) -> CredentialType:
    """The credential type of that vct or short name; raises `CommandFailed`, naming those that there are."""
    types = load_credential_types()
    for each in types.values():
        if name in (each.vct, each.name):
            return each
    known = ", ".join(sorted(each.name for each in types.values()))
    raise CommandFailed(f"There is no such credential type; the types are {known}.", exit_code=USAGE)


def migrate_databases(*, as_json: bool) -> None:
    """Migrate both databases."""
    settings = load_settings()
    settings.var.mkdir(parents=True, exist_ok=True)
    migrate(settings.database_url)
    migrate_keystore(settings.keystore_url)
    if as_json:
        print_json({"migrated": True})
    else:
        print("The database and the subject-key store are at this version's tables.")


def add_client(*, name: str, scopes: frozenset[str], tenant: str, as_json: bool) -> NewClient:
    """Make a client and print its id and its secret."""
    if not scopes <= set(SCOPES):
        raise CommandFailed(f"The scopes are {', '.join(SCOPES)}.", exit_code=USAGE)
    tenants = open_tenants(load_settings())
    tenant_id = tenants.load_or_append_tenant(tenant, now_ms())
    client = tenants.append_client(tenant_id=tenant_id, name=name, scopes=scopes, now_ms=now_ms())
    shown = {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "scope": client.scope,
        "tenant": tenant,
    }
    if as_json:
        print_json(shown)
    else:
        print_rows(list(shown.items()), indent=0)
        print("Keep the secret now: only a hash of it is stored.")
    return client


def describe_tenant(
    *,
    tenant: str,
    display_name: str | None,
    contact: str | None,
    privacy_notice: str | None,
    jurisdiction: str | None,
    retention_days: int | None,
    as_json: bool,
) -> None:
    """Store what consent receipts tell of a tenant, and print all that they tell now."""
    if display_name is not None and not (display_name.strip() and len(display_name) <= 200):
        raise CommandFailed("A display name has from 1 to 200 characters.", exit_code=USAGE)
    if contact is not None and not _CONTACT.fullmatch(contact):
        raise CommandFailed("The contact is a mailto: or https: URL.", exit_code=USAGE)
    if privacy_notice is not None and not _HTTPS.fullmatch(privacy_notice):
        raise CommandFailed("The privacy notice is an https: URL.", exit_code=USAGE)
    if jurisdiction is not None and not _JURISDICTION.fullmatch(jurisdiction):
        raise CommandFailed("The jurisdiction is an ISO 3166 code, such as KE or US-NY.", exit_code=USAGE)
    given: dict[str, str | int | None] = {
        "display_name": display_name,
        "contact": contact,
        "privacy_notice": privacy_notice,
        "jurisdiction": jurisdiction,
        "retention_days": retention_days,
    }
    settings = load_settings()
    tenants = open_tenants(settings)
    tenant_id = tenants.load_or_append_tenant(tenant, now_ms())
    described = {name: value for name, value in given.items() if value is not None}
    if described:
        tenants.describe_tenant(tenant_id, described)
    lender = tenants.load_lender(tenant_id)
    shown = {
        "tenant": tenant,
        "display_name": lender.controller.name,
        "contact": lender.controller.contact,
        "privacy_notice": lender.controller.privacy_notice,
        "jurisdiction": lender.controller.jurisdiction,
        "retention_days": lender.retention_days or settings.retention_days,
    }
    if as_json:
        print_json(shown)
    else:
        print_rows([(name.replace("_", " "), value) for name, value in shown.items()], indent=0)


def disable_client(*, client_id: str, as_json: bool) -> None:
    """Disable a client, so that neither its secret nor a token that it has is good for anything."""
    if not open_tenants(load_settings()).disable_client(client_id, now_ms()):
        raise CommandFailed("There is no such client, or it is disabled already.")
    if as_json:
        print_json({"client_id": client_id, "disabled": True})
    else:
        print("The client gets no token any more, and those that it has are refused.")
