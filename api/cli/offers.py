"""`credence offers`: an institution without an issuer of its own offers credentials by link."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.cli.issue import DAY_MS, RefusedRow, read_claims, read_rows, report_refused, verify_columns
from api.cli.tenants import find_credential_type, open_tenants
from api.cli.terminal import USAGE, CommandFailed, LateProgress, print_json, print_rows, read_file
from api.clock import format_time, now_ms
from api.issuance import offer_claims
from api.keystore import load_or_create_keyring
from api.settings import Settings, load_settings
from api.store.database import open_engine
from api.store.issuer_keys import IssuerKeyStore
from api.store.offers import MadeOffer, OfferStore
from identity.encoding import JsonObject, parse_json_object
from identity.errors import ClaimsDoNotFit, IdentityError
from identity.openid4vci import offer_link

MAX_CLAIMS_BYTES = 64 * 1024
TX_CODE_LENGTH = 6
#: As many offers as are made durable together.
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class _Rooms:
    """What making offers takes, without a service."""

    settings: Settings
    tenant_id: str
    offers: OfferStore
    issuer_keys: IssuerKeyStore

    def link_of(self, made: MadeOffer) -> str:
        """The link that opens a wallet."""
        return offer_link(f"{self.settings.base_url}/v1/credential-offers/{made.id}/offer")


def _open(tenant: str) -> _Rooms:
    settings = load_settings()
    tenants = open_tenants(settings)
    keyring = load_or_create_keyring(settings.var / "keys", now_ms())
    master_keys = [key.secret for key in keyring.all("encrypt")]
    keystore = open_engine(settings.keystore_url)
    return _Rooms(
        settings=settings,
        tenant_id=tenants.load_or_append_tenant(tenant, now_ms()),
        offers=OfferStore(
            engine=open_engine(settings.database_url),
            keystore=keystore,
            master_keys=master_keys,
            mac_key=keyring.active("mac").secret,
        ),
        issuer_keys=IssuerKeyStore(keystore=keystore, master_keys=master_keys),
    )


def create_offer(
    *,
    type_name: str,
    claims_path: Path,
    tenant: str,
    with_tx_code: bool,
    expires_in_days: int,
    valid_days: int,
    as_json: bool,
) -> None:
    """Offer one credential of the claims in a JSON file, and print its link."""
    type_ = find_credential_type(type_name)
    try:
        claims = parse_json_object(read_file(claims_path, max_bytes=MAX_CLAIMS_BYTES))
        type_.verify_claims(claims)
    except ClaimsDoNotFit as misfit:
        raise CommandFailed(f"The claims do not fit {type_.name}: {misfit.pointer or '/'}") from None
    except IdentityError:
        raise CommandFailed(f"{claims_path} is not a JSON object.", exit_code=USAGE) from None
    rooms, made_ms = _open(tenant), now_ms()
    (made,) = offer_claims(
        rooms.offers,
        rooms.issuer_keys,
        rooms.tenant_id,
        type_,
        [claims],
        tx_code_length=TX_CODE_LENGTH if with_tx_code else None,
        expires_at_ms=made_ms + expires_in_days * DAY_MS,
        valid_days=valid_days,
        now_ms=made_ms,
    )
    did = rooms.issuer_keys.load_or_append_key(rooms.tenant_id, made_ms).did
    shown = {
        "id": made.id,
        "offer_link": rooms.link_of(made),
        "tx_code": made.tx_code,
        "expires_at": format_time(made.expires_at_ms),
        "issuer": did,
    }
    if as_json:
        print_json(shown)
    else:
        print_rows(list(shown.items()), indent=0)
        if with_tx_code:
            print("Send the transaction code another way than the link; it is shown this once.")


def offer_rows(
    *,
    type_name: str,
    csv_path: Path,
    out: Path,
    tenant: str,
    with_tx_code: bool,
    expires_in_days: int,
    valid_days: int,
    as_json: bool,
) -> None:
    """Offer a credential for each row of a CSV file; `out` gets a link a row, and is there only when it is whole."""
    type_ = find_credential_type(type_name)
    if out.exists():
        raise CommandFailed(f"{out} is there already; links go to a new file.", exit_code=USAGE)
    columns, count = verify_columns(csv_path, type_, holder=None)
    rooms, made_ms = _open(tenant), now_ms()
    refused: list[RefusedRow] = []
    # The offers of a run that ends early have links that nobody got: they expire.
    partial = out.with_name(out.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file, LateProgress() as progress:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "offer_id", "offer_link", "tx_code", "expires_at"])
        done = 0

        def fitting() -> Iterator[tuple[int, JsonObject]]:
            for number, row in read_rows(csv_path, columns):
                try:
                    claims = dict(read_claims(row, type_))
                    type_.verify_claims(claims)
                except ClaimsDoNotFit as misfit:
                    refused.append(RefusedRow(row=number, pointer=misfit.pointer))
                    continue
                yield number, claims

        for batch in _batches(fitting()):
            made = offer_claims(
                rooms.offers,
                rooms.issuer_keys,
                rooms.tenant_id,
                type_,
                [claims for _, claims in batch],
                tx_code_length=TX_CODE_LENGTH if with_tx_code else None,
                expires_at_ms=made_ms + expires_in_days * DAY_MS,
                valid_days=valid_days,
                now_ms=made_ms,
            )
            for (number, _), each in zip(batch, made, strict=True):
                writer.writerow(
                    [number, each.id, rooms.link_of(each), each.tx_code or "", format_time(each.expires_at_ms)]
                )
            done += len(batch)
            progress.show("offering", done + len(refused), count)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(out)
    issuer = rooms.issuer_keys.load_or_append_key(rooms.tenant_id, made_ms).did
    report = out.with_name(out.name + ".refused.csv")
    report_refused(report, refused)
    if as_json:
        print_json(
            {
                "offered": done,
                "refused": [{"row": each.row, "pointer": each.pointer} for each in refused],
                "out": str(out),
                "refused_report": str(report) if refused else None,
                "issuer": issuer,
            }
        )
    else:
        print_rows(
            [
                ("offered", done),
                ("refused", len(refused)),
                ("links in", out),
                ("refused in", report if refused else None),
                ("issuer", issuer),
            ]
        )
    if refused:
        raise CommandFailed(f"{len(refused)} of {count} rows were refused.")


def _batches(rows: Iterator[tuple[int, JsonObject]]) -> Iterator[list[tuple[int, JsonObject]]]:
    batch: list[tuple[int, JsonObject]] = []
    for each in rows:
        batch.append(each)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
