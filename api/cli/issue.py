"""`credence issue`: an institution turns a CSV file into credentials, and publishes their status list."""

import csv
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.cli.did import sign_as
from api.cli.tenants import find_credential_type
from api.cli.terminal import USAGE, CommandFailed, LateProgress, print_json, print_rows
from api.cli.wallet import load_key
from api.clock import now_ms
from identity.credential_types.types import CredentialType
from identity.encoding import JsonValue, parse_json
from identity.errors import ClaimsDoNotFit, IdentityError
from identity.issuance import issue_credential
from identity.keys import PublicKey, SigningKey, parse_public_jwk
from identity.status_list import StatusReference, issue_status_list

DAY_MS = 86_400_000
#: A list is never smaller, so that an index tells little about whose it is (Token Status List, section 13.2).
LEAST_STATUS_LIST = 1 << 17
STATUS_BITS, STATUS_TTL_S = 2, 300
STATUS_LIST_FILE, REPORT_FILE, REFUSED_FILE = "status-list.jwt", "issued.csv", "refused.csv"
#: As many refused rows as a person is shown; the file has all.
_SHOWN = 20
MAX_ROWS = 1_000_000

_COLUMN = re.compile(r"(?P<claim>[a-z0-9_]+)(?:\[(?P<item>0|[1-9][0-9]?)\])?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, kw_only=True)
class RefusedRow:
    """A row that made no credential: its number, from 1 after the header, and the place of what does not fit."""

    row: int
    pointer: str


def run_issuing(
    *,
    type_name: str,
    csv_path: Path,
    key_path: Path,
    issuer: str | None,
    holder: str,
    out: Path,
    status_uri: str | None,
    valid_days: int,
    as_json: bool,
) -> None:
    """Issue what can be issued, report what cannot; raises `CommandFailed` where any row was refused.

    `out` is there only when it is whole: a run that was ended leaves a folder beside it, which the next one replaces.
    """
    type_, key = find_credential_type(type_name), load_key(key_path)
    if issuer is not None:
        key = sign_as(key, issuer)
    if out.exists():
        raise CommandFailed(f"{out} is there already; credentials go to a new folder.", exit_code=USAGE)
    columns, count = verify_columns(csv_path, type_, holder=holder)
    holder_column, holder_key = _find_holder(holder, columns)
    made_ms = now_ms()
    expires_at_ms = made_ms + valid_days * DAY_MS
    capacity = max(LEAST_STATUS_LIST, count)
    indexes = secrets.SystemRandom().sample(range(capacity), count) if status_uri is not None else []
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    refused: list[RefusedRow] = []
    with (partial / REPORT_FILE).open("x", encoding="utf-8", newline="") as report, LateProgress() as progress:
        writer = csv.writer(report, lineterminator="\n")
        writer.writerow(["row", "file", "status_index"])
        for number, row in read_rows(csv_path, columns):
            progress.show("issuing", number - 1, count)
            status = None if status_uri is None else StatusReference(uri=status_uri, index=indexes[number - 1])
            try:
                bound_to = holder_key or _parse_holder(row[str(holder_column)])
                credential = issue_credential(
                    type=type_,
                    claims=dict(read_claims(row, type_, skip=holder_column)),
                    holder=bound_to,
                    key=key,
                    now_ms=made_ms,
                    expires_at_ms=expires_at_ms,
                    status=status,
                )
            except ClaimsDoNotFit as misfit:
                refused.append(RefusedRow(row=number, pointer=misfit.pointer))
                continue
            name = f"{type_.name}-{number:06d}.sd-jwt"
            (partial / name).write_text(credential)
            writer.writerow([number, name, "" if status is None else status.index])
    if status_uri is not None:
        (partial / STATUS_LIST_FILE).write_text(
            sign_status_list(status_uri, bytes(capacity), key, made_ms=made_ms, valid_days=valid_days)
        )
    report_refused(partial / REFUSED_FILE, refused)
    partial.rename(out)
    _report(out, count - len(refused), refused, has_list=status_uri is not None, as_json=as_json)
    if refused:
        raise CommandFailed(f"{len(refused)} of {count} rows were refused.")


def report_refused(path: Path, refused: Sequence[RefusedRow]) -> None:
    """Write which rows were refused and for which column, where any were: never what stands in them."""
    if not refused:
        return
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "pointer", "column"])
        for each in refused:
            claim, *items = each.pointer.removeprefix("/").split("/")
            writer.writerow([each.row, each.pointer or "/", claim + "".join(f"[{item}]" for item in items)])


def sign_status_list(uri: str, statuses: bytes, key: SigningKey, *, made_ms: int, valid_days: int) -> str:
    """A status list JWT for publication at `uri`; one status a byte."""
    return issue_status_list(
        uri=uri,
        statuses=statuses,
        bits=STATUS_BITS,
        key=key,
        now_ms=made_ms,
        ttl_s=STATUS_TTL_S,
        expires_in_s=valid_days * DAY_MS // 1000,
    )


def read_claims(
    row: Mapping[str, str], type_: CredentialType, *, skip: str | None = None
) -> Iterator[tuple[str, JsonValue]]:
    """The claims of a row of texts; raises ClaimsDoNotFit where a text is no value of the claim's JSON type."""
    months: dict[str, dict[int, str]] = {}
    for column, text in row.items():
        match = _COLUMN.fullmatch(column)
        if column == skip or match is None or not text.strip():
            continue
        claim, item = match["claim"], match["item"]
        if item is None:
            yield claim, _read_value(text.strip(), _json_type(type_, claim), f"/{claim}")
        else:
            months.setdefault(claim, {})[int(item)] = text.strip()
    for claim, texts in months.items():
        if sorted(texts) != list(range(len(texts))):  # a month that is missing in between has no place in an array
            raise ClaimsDoNotFit(pointer=f"/{claim}")
        item_type = _json_type(type_, claim, of_items=True)
        yield claim, [_read_value(texts[month], item_type, f"/{claim}/{month}") for month in sorted(texts)]


def _read_value(text: str, json_type: str, pointer: str) -> JsonValue:
    if json_type != "integer":
        return text
    if not _INTEGER.fullmatch(text):
        raise ClaimsDoNotFit(pointer=pointer)
    return int(text)


def _json_type(type_: CredentialType, claim: str, *, of_items: bool = False) -> str:
    """The JSON type that the schema gives a claim, or the items of one."""
    described = _follow(type_.schema, type_.schema["properties"][claim])
    if of_items:
        described = _follow(type_.schema, described.get("items", {}))
    return str(described.get("type", "string"))


def _follow(schema: Mapping[str, Any], described: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in described:
        described = schema["$defs"][str(described["$ref"]).removeprefix("#/$defs/")]
    return described


def _names_a_claim(column: str, type_: CredentialType) -> bool:
    match = _COLUMN.fullmatch(column)
    if match is None or match["claim"] not in type_.claim_names:
        return False
    return (_json_type(type_, match["claim"]) == "array") == (match["item"] is not None)


def verify_columns(path: Path, type_: CredentialType, *, holder: str | None) -> tuple[list[str], int]:
    """The columns of a CSV file and how many rows it has, all of it looked at before anything is made of it.

    `holder` may name a column that is no claim. Raises `CommandFailed` where it is not a table of the type's claims.
    """
    count, columns = 0, []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = next(reader, [])
            even = bool(columns) and len(set(columns)) == len(columns)
            for record in reader:
                count += bool(record)
                even = even and len(record) in (0, len(columns))
    except (UnicodeDecodeError, csv.Error):
        raise CommandFailed(f"{path} is not a CSV file in UTF-8.", exit_code=USAGE) from None
    if not even:
        raise CommandFailed(f"{path} needs a header of distinct names, and rows of its length.", exit_code=USAGE)
    if count > MAX_ROWS:
        raise CommandFailed(f"{path} has more than {MAX_ROWS} rows: issue it in parts.", exit_code=USAGE)
    unknown = [name for name in columns if name != holder and not _names_a_claim(name, type_)]
    if unknown:
        raise CommandFailed(
            f"The file has {len(unknown)} columns that are no claim of {type_.name}, which has: "
            f"{', '.join(type_.claim_names)}.",
            exit_code=USAGE,
        )
    return columns, count


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a file that `verify_columns` took, numbered from 1 after the header, one at a time."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        next(reader)
        for number, record in enumerate((record for record in reader if record), 1):
            try:
                yield number, dict(zip(columns, record, strict=True))
            except ValueError:
                raise CommandFailed(f"{path} was changed while it was read.") from None


def _find_holder(holder: str, columns: list[str]) -> tuple[str | None, PublicKey | None]:
    """The column that names each row's holder, or the one holder of all rows."""
    if holder in columns:
        return holder, None
    path = Path(holder)
    if not path.is_file():
        raise CommandFailed("--holder is neither a column of the file nor a public JWK file.", exit_code=USAGE)
    try:
        return None, parse_public_jwk(json.loads(path.read_bytes()))
    except (IdentityError, ValueError):
        raise CommandFailed(f"{path} is not a public JWK for ES256 or EdDSA.", exit_code=USAGE) from None


def _parse_holder(text: str) -> PublicKey:
    try:
        return parse_public_jwk(parse_json(text))
    except IdentityError:
        raise ClaimsDoNotFit(pointer="/cnf/jwk") from None


def _report(out: Path, issued: int, refused: list[RefusedRow], *, has_list: bool, as_json: bool) -> None:
    status_list = str(out / STATUS_LIST_FILE) if has_list else None
    if as_json:
        print_json(
            {
                "issued": issued,
                "refused": [{"row": each.row, "pointer": each.pointer} for each in refused],
                "out": str(out),
                "status_list": status_list,
            }
        )
        return
    print_rows([("issued", issued), ("refused", len(refused)), ("in", out), ("status list", status_list)])
    for each in refused[:_SHOWN]:
        print(f"    row {each.row}: {each.pointer or '/'}")
    if len(refused) > _SHOWN:
        print(f"    and {len(refused) - _SHOWN} more: {out / REFUSED_FILE}")
