"""`credence issuers`: whom a tenant trusts for what, named one by one or by a signed list."""

import csv
from collections.abc import Mapping
from pathlib import Path

from api.cli.tenants import find_credential_type, open_stores
from api.cli.terminal import USAGE, CommandFailed, print_json, print_rows, read_file
from api.cli.wallet import load_key
from api.clock import TimeMalformed, format_time, now_ms, parse_time
from api.settings import load_settings
from identity.errors import IdentityError
from identity.issuer_list import MAX_LIST_CHARS, peek_list_issuer, sign_issuer_list, verify_issuer_list
from identity.trust import EVIDENCE_LEVELS, EvidenceLevel, TrustedIssuer

COLUMNS = ("did", "type", "valid_from", "valid_to", "evidence_level")
DAY_S = 86_400


def trust_issuer(
    *,
    did: str,
    type_name: str,
    tenant: str,
    valid_from: str | None,
    valid_to: str | None,
    evidence_level: str,
    as_json: bool,
) -> None:
    """Trust a DID that resolves, for a type that exists."""
    at_ms, type_ = now_ms(), find_credential_type(type_name)
    issuer = TrustedIssuer(
        did=did,
        vct=type_.vct,
        valid_from_ms=at_ms if valid_from is None else _read_time(valid_from),
        valid_to_ms=None if valid_to is None else _read_time(valid_to),
        evidence_level=_read_evidence_level(evidence_level),
    )
    issuer.verify_period()
    with open_stores(load_settings()) as stores:
        # Before anything is stored, so that an issuer that nobody could verify is not in the registry.
        stores.dids.resolve(did, now_ms=at_ms)
        tenant_id = stores.tenants.load_or_append_tenant(tenant, at_ms)
        stands = stores.trust.append_trusted(tenant_id, issuer, at_ms)
    if as_json:
        print_json({"tenant": tenant, **_shown(stands)})
    else:
        print(f"Tenant {tenant} trusts this issuer for {type_.vct}.")


def distrust_issuer(*, did: str, type_name: str, tenant: str, as_json: bool) -> None:
    """End an issuer's trust for a type now, and keep lists from bringing it back."""
    type_ = find_credential_type(type_name)
    with open_stores(load_settings()) as stores:
        ended = stores.trust.distrust(stores.load_tenant_id(tenant), did, type_.vct, now_ms())
    if not ended:
        raise CommandFailed(f"Tenant {tenant} does not trust that issuer for {type_.vct}.")
    if as_json:
        print_json({"tenant": tenant, "ended": [_shown(each) for each in ended]})
    else:
        print(f"Tenant {tenant} trusts this issuer for {type_.vct} no longer, whatever a list says.")


def list_issuers(*, tenant: str, as_json: bool) -> None:
    """Print whom a tenant trusts for what."""
    with open_stores(load_settings()) as stores:
        trusted = stores.trust.load_trusted(stores.load_tenant_id(tenant)).issuers
    if as_json:
        print_json({"tenant": tenant, "issuers": [_shown(each) for each in trusted]})
    elif not trusted:
        print(f"Tenant {tenant} trusts no issuer yet: credence issuers trust DID --type NAME")
    else:
        for each in trusted:
            until = "" if each.valid_to_ms is None else f" until {format_time(each.valid_to_ms)}"
            print(f"{each.vct:<34}{each.evidence_level:<18}{each.did}{until}")


def pin_signer(*, did: str, tenant: str, as_json: bool) -> None:
    """Take the issuer lists of a DID that resolves."""
    with open_stores(load_settings()) as stores:
        stores.dids.resolve(did, now_ms=now_ms())
        stores.trust.pin_signer(stores.tenants.load_or_append_tenant(tenant, now_ms()), did, now_ms())
    if as_json:
        print_json({"tenant": tenant, "list_issuer": did, "pinned": True})
    else:
        print(f"Tenant {tenant} takes issuer lists that this DID has signed.")


def unpin_signer(*, did: str, tenant: str, as_json: bool) -> None:
    """Take no more lists of a DID, and trust nobody on its word."""
    with open_stores(load_settings()) as stores:
        if not stores.trust.unpin_signer(stores.load_tenant_id(tenant), did, now_ms()):
            raise CommandFailed("That DID is not pinned.")
    if as_json:
        print_json({"tenant": tenant, "list_issuer": did, "pinned": False})
    else:
        print(f"Tenant {tenant} takes no issuer lists of this DID any more, and trusts nobody on its word.")


def show_signers(*, tenant: str, as_json: bool) -> None:
    """Print whose lists a tenant takes, and which it took last."""
    with open_stores(load_settings()) as stores:
        pinned = stores.trust.load_pinned(stores.load_tenant_id(tenant))
    shown = [
        {
            "list_issuer": each.did,
            "sequence": each.sequence,
            "sha256": None if each.sha256 is None else each.sha256.hex(),
            "expires_at": None if each.expires_at_ms is None else format_time(each.expires_at_ms),
        }
        for each in pinned
    ]
    if as_json:
        print_json({"tenant": tenant, "lists": shown})
    elif not shown:
        print(f"Tenant {tenant} takes nobody's issuer lists: credence issuers lists pin DID")
    else:
        for row in shown:
            print_rows(list(row.items()), indent=0)


def import_list(*, file: Path, tenant: str, as_json: bool) -> None:
    """Trust whom a list names whose signer is pinned; all of it, or nothing."""
    data = read_file(file, max_bytes=MAX_LIST_CHARS)
    if not data.isascii():
        raise CommandFailed(f"{file} is not an issuer list.")
    token = data.decode("ascii").strip()
    with open_stores(load_settings()) as stores:
        tenant_id = stores.load_tenant_id(tenant)
        signer = peek_list_issuer(token)
        # Before anything of it is resolved: of a signer that nobody pinned, no URL is fetched.
        if signer not in {pinned.did for pinned in stores.trust.load_pinned(tenant_id)}:
            raise CommandFailed("The list's signer is not pinned: credence issuers lists pin DID")
        issuer_list = verify_issuer_list(token, signer=signer, dids=stores.dids, now_ms=now_ms())
        stores.trust.import_list(tenant_id, issuer_list, now_ms())
    shown = {
        "list_issuer": signer,
        "sequence": issuer_list.sequence,
        "sha256": issuer_list.sha256.hex(),
        "expires_at": format_time(issuer_list.expires_at_ms),
        "issuers": len(issuer_list.issuers),
    }
    if as_json:
        print_json({"tenant": tenant, **shown})
    else:
        print_rows(list(shown.items()), indent=0)


def sign_list(*, csv_path: Path, key_path: Path, sequence: int, valid_days: int, out: Path, as_json: bool) -> None:
    """Sign a list of the issuers that a CSV file names, one a row."""
    key, at_ms = load_key(key_path), now_ms()
    if out.exists():
        raise CommandFailed(f"{out} is there already.", exit_code=USAGE)
    try:
        with csv_path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if set(reader.fieldnames or ()) != set(COLUMNS):
                raise CommandFailed(f"{csv_path} needs the columns {', '.join(COLUMNS)}.", exit_code=USAGE)
            issuers = [_read_row(row, number, key.did) for number, row in enumerate(reader, 1)]
        token = sign_issuer_list(
            issuers=issuers, sequence=sequence, key=key, now_ms=at_ms, expires_in_s=valid_days * DAY_S
        )
    except (UnicodeDecodeError, csv.Error):
        raise CommandFailed(f"{csv_path} is not a CSV file in UTF-8.", exit_code=USAGE) from None
    out.write_text(token)
    shown = {"list_issuer": key.did, "sequence": sequence, "issuers": len(issuers), "out": str(out)}
    if as_json:
        print_json(shown)
    else:
        print_rows(list(shown.items()), indent=0)


def _read_row(row: Mapping[str | None, str | None], number: int, signer: str) -> TrustedIssuer:
    texts = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if None in row or not texts["did"] or not texts["valid_from"]:
        raise CommandFailed(f"Row {number} is not whole: did, type and valid_from are needed.", exit_code=USAGE)
    try:
        issuer = TrustedIssuer(
            did=texts["did"],
            vct=find_credential_type(texts["type"]).vct,
            valid_from_ms=_read_time(texts["valid_from"]),
            valid_to_ms=_read_time(texts["valid_to"]) if texts["valid_to"] else None,
            evidence_level=_read_evidence_level(texts["evidence_level"] or EVIDENCE_LEVELS[0]),
            list_issuer=signer,
        )
        issuer.verify_period()
    except (CommandFailed, IdentityError) as wrong:
        raise CommandFailed(f"Row {number}: {wrong}", exit_code=USAGE) from None
    return issuer


def _read_time(text: str) -> int:
    try:
        return parse_time(text)
    except TimeMalformed:
        raise CommandFailed("A time is written as 2026-11-22T09:30:00Z.", exit_code=USAGE) from None


def _read_evidence_level(text: str) -> EvidenceLevel:
    for level in EVIDENCE_LEVELS:
        if text == level:
            return level
    raise CommandFailed(f"The evidence levels are {', '.join(EVIDENCE_LEVELS)}.", exit_code=USAGE)


def _shown(issuer: TrustedIssuer) -> dict[str, str | None]:
    return {
        "did": issuer.did,
        "vct": issuer.vct,
        "valid_from": format_time(issuer.valid_from_ms),
        "valid_to": None if issuer.valid_to_ms is None else format_time(issuer.valid_to_ms),
        "evidence_level": issuer.evidence_level,
        "list_issuer": issuer.list_issuer,
    }
