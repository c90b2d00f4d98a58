"""Secret keys of whoever holds the data, a file each, apart from the ledger: to find trainings, to split people."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from scoring.dp.ledger import sync_directory
from scoring.errors import KeyFileInvalid

KEY_BYTES = 32


def load_key(path: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The 32 bytes in a file of mode 0600, made there at first use; raises KeyFileInvalid."""
    try:
        if not path.exists():
            _write_key(path, random_bytes(KEY_BYTES))
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyFileInvalid
        key = path.read_bytes()
    except OSError as error:
        raise KeyFileInvalid from error
    if len(key) != KEY_BYTES:
        raise KeyFileInvalid
    return key


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
