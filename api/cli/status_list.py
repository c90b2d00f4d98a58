"""`credence status-list sign`: an institution changes statuses in its own list, or renews it, and signs it anew."""

import os
from collections.abc import Sequence
from pathlib import Path

from api.cli.did import sign_as
from api.cli.issue import STATUS_TTL_S
from api.cli.terminal import USAGE, CommandFailed, print_json, print_rows, read_file
from api.cli.wallet import load_key
from api.clock import now_ms
from api.keystore import sync_folder
from identity.errors import BadStatusIndex, IdentityError
from identity.keys import SigningKey
from identity.status_list import (
    MAX_TOKEN_CHARS,
    STATUS_VALUES,
    Status,
    StatusList,
    issue_status_list,
    reopen_status_list,
)

DAY_S = 86_400


def sign_list(
    file: Path,
    *,
    key_path: Path,
    issuer: str | None,
    revoke: Sequence[int],
    suspend: Sequence[int],
    reinstate: Sequence[int],
    valid_days: int,
    as_json: bool,
) -> None:
    """Apply the changes to the list in `file`, all of them or none; raises `CommandFailed`.

    A revoked credential stays revoked. The file is replaced in one step, so that whoever publishes it never reads half.
    """
    indexes = [*revoke, *suspend, *reinstate]
    if len(set(indexes)) != len(indexes):
        raise CommandFailed("An index is named twice.", exit_code=USAGE)
    key = load_key(key_path)
    if issuer is not None:
        key = sign_as(key, issuer)
    uri, status_list = _read_list(file, key)
    statuses = bytearray(status_list.statuses)
    changes: dict[Status, Sequence[int]] = {"invalid": revoke, "suspended": suspend, "valid": reinstate}
    for status, named in changes.items():
        for index in named:
            _change(statuses, index, status)
    signed = issue_status_list(
        uri=uri,
        statuses=bytes(statuses),
        bits=status_list.bits,
        key=key,
        now_ms=now_ms(),
        ttl_s=status_list.ttl_s or STATUS_TTL_S,
        expires_in_s=valid_days * DAY_S,
    )
    new = file.with_name(file.name + ".new")
    with new.open("w") as opened:
        opened.write(signed)
        opened.flush()
        os.fsync(opened.fileno())
    # A crash before this line leaves the old list whole; without the folder on disk, after it too.
    new.replace(file)
    sync_folder(file.parent)
    counts: dict[str, int] = {
        status: statuses.count(value) for value, status in STATUS_VALUES.items() if status != "valid"
    }
    if as_json:
        print_json({"uri": uri, "changed": len(indexes), **counts})
    else:
        print_rows([("published at", uri), ("changed", len(indexes)), *counts.items()], indent=0)


def _read_list(file: Path, key: SigningKey) -> tuple[str, StatusList]:
    try:
        return reopen_status_list(read_file(file, max_bytes=MAX_TOKEN_CHARS).decode("ascii").strip(), key)
    except (IdentityError, UnicodeDecodeError):
        raise CommandFailed(f"{file} is not a status list that this key signed.") from None


def _change(statuses: bytearray, index: int, status: Status) -> None:
    value = next(value for value, each in STATUS_VALUES.items() if each == status)
    if not 0 <= index < len(statuses):
        raise CommandFailed(BadStatusIndex.message, exit_code=USAGE)
    if STATUS_VALUES.get(statuses[index]) == "invalid" and status != "invalid":
        raise CommandFailed("A revoked credential stays revoked: issue another.")
    statuses[index] = value
