"""`credence migrate`, `credence clients` and `credence issuers`: what an operator sets up before anyone calls."""

from api.cli.terminal import USAGE, CommandFailed, print_json, print_rows
from api.clock import format_time, now_ms
from api.keystore import load_or_create_keyring
from api.settings import Settings, load_settings
from api.store.database import migrate, migrate_keystore, open_engine
from api.store.subjects import SubjectStore
from api.store.tenants import SCOPES, NewClient, TenantStore
from identity.credential_types.types import CredentialType, load_credential_types
from identity.did import resolve_did
from identity.trust import TrustedIssuer


def open_tenants(settings: Settings) -> TenantStore:
    """The tenants of the service that `settings` describe, its databases made or migrated first."""
    settings.var.mkdir(parents=True, exist_ok=True)
    migrate(settings.database_url)
    migrate_keystore(settings.keystore_url)
    keyring = load_or_create_keyring(settings.var / "keys", now_ms())
    engine = open_engine(settings.database_url)
    subjects = SubjectStore(
        engine=engine,
        keystore=open_engine(settings.keystore_url),
        master_keys=[key.secret for key in keyring.all("encrypt")],
        mac_key=keyring.active("mac").secret,
    )
    return TenantStore(engine=engine, subjects=subjects)


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


def trust_issuer(*, did: str, type_name: str, tenant: str, as_json: bool) -> None:
    """Trust a DID that resolves for a type that exists."""
    type_ = find_credential_type(type_name)
    resolve_did(did)
    tenants = open_tenants(load_settings())
    tenant_id = tenants.load_or_append_tenant(tenant, now_ms())
    issuer = TrustedIssuer(did=did, vct=type_.vct, valid_from_ms=now_ms(), valid_to_ms=None)
    tenants.append_trusted_issuer(tenant_id, issuer)
    if as_json:
        print_json({"did": did, "vct": type_.vct, "tenant": tenant})
    else:
        print(f"Tenant {tenant} trusts this issuer for {type_.vct}.")


def list_issuers(*, tenant: str, as_json: bool) -> None:
    """Print whom a tenant trusts for what."""
    tenants = open_tenants(load_settings())
    tenant_id = tenants.load_tenant_id(tenant)
    if tenant_id is None:
        raise CommandFailed("There is no tenant of that name.")
    trusted = tenants.load_trusted_issuers(tenant_id).issuers
    if as_json:
        listed = [
            {
                "did": each.did,
                "vct": each.vct,
                "valid_from": format_time(each.valid_from_ms),
                "valid_to": None if each.valid_to_ms is None else format_time(each.valid_to_ms),
            }
            for each in trusted
        ]
        print_json({"tenant": tenant, "issuers": listed})
    elif not trusted:
        print(f"Tenant {tenant} trusts no issuer yet: credence issuers trust DID --type NAME")
    else:
        for each in trusted:
            print(f"{each.vct:<34}{each.did}")
