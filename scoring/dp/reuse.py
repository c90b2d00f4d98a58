"""The same data, schema and parameters cost nothing twice: a keyed MAC finds the artifact they made.

A plain digest of the data would let anyone who guesses the data confirm it; the key stays with the holder, in a
file apart from the ledger.
"""

import hashlib
import hmac
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from scoring.dp.ledger import sync_directory
from scoring.errors import ReuseKeyInvalid

KEY_BYTES = 32


def load_reuse_key(path: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The key in a file of mode 0600, made there at first use; raises ReuseKeyInvalid."""
    try:
        if not path.exists():
            _write_key(path, random_bytes(KEY_BYTES))
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ReuseKeyInvalid
        key = path.read_bytes()
    except OSError as error:
        raise ReuseKeyInvalid from error
    if len(key) != KEY_BYTES:
        raise ReuseKeyInvalid
    return key


def inputs_mac(
    key: bytes, *, parameters: Mapping[str, object], columns: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> str:
    """HMAC-SHA-256 (hex) over the parameters and, row by row, the named columns' texts, each with its length.

    A column that a row lacks differs from an empty one.
    """
    mac = hmac.new(key, b"credence/inputs/v1\0", hashlib.sha256)
    header = json.dumps({"parameters": dict(parameters), "columns": list(columns)}, sort_keys=True).encode()
    mac.update(len(header).to_bytes(8, "big") + header)
    for row in rows:
        for column in columns:
            text = row.get(column)
            data = b"" if text is None else text.encode("utf-8", "surrogatepass")
            mac.update((0 if text is None else 1 + len(data)).to_bytes(8, "big") + data)
    return mac.hexdigest()


def _write_key(path: Path, key: bytes) -> None:
    """A whole key under the name or none: written aside, synced, then linked, which refuses to replace another's."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another trainer was first; its key is the key
            os.link(unfinished, path)
        sync_directory(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)
