"""The file keystore: one purpose a key, one file a key, rotated by adding.

A key is never deleted by rotation: the newest unretired key of a purpose signs, the others only verify.
``retired_at_size`` is the log's size when a key was retired: the key counts for leaves below that size only, so that a
stolen one cannot backdate.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Literal, get_args

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from identity.encoding import decode_base64url, encode_base64url
from identity.errors import IdentityError
from identity.keys import Algorithm, SigningKey

SECRET_BYTES = 32
Purpose = Literal["attest", "request", "response", "seal", "receipt", "log", "anchor", "encrypt", "mac", "token"]

#: The JOSE algorithm of each purpose that has one; every other key is 32 bytes, and its user makes a key of them.
_ALGORITHMS: dict[Purpose, Algorithm] = {
    "attest": "ES256",
    "request": "ES256",
    "seal": "EdDSA",
    "receipt": "EdDSA",
    "log": "EdDSA",
}


class KeystoreError(Exception):
    """A key file is missing, malformed or readable by others; names the file's place, never its content."""


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A key of one purpose, with what is needed to rotate it; ``secret`` never appears in its repr."""

    kid: str
    purpose: Purpose
    created_at_ms: int
    retired_at_size: int | None
    jwk: dict[str, str]

    def __repr__(self) -> str:
        return f"StoredKey(kid={self.kid!r}, purpose={self.purpose!r})"

    @property
    def secret(self) -> bytes:
        """The 32 secret bytes of the key."""
        return decode_base64url(self.jwk["k"] if self.jwk["kty"] == "oct" else self.jwk["d"])

    @property
    def signing_key(self) -> SigningKey:
        """The key as a JOSE signer."""
        return SigningKey.from_private_jwk(self.jwk)


@dataclass(frozen=True, kw_only=True)
class Keyring:
    """Every key of a service."""

    keys: tuple[StoredKey, ...]

    def active(self, purpose: Purpose) -> StoredKey:
        """The key that signs, encrypts or authenticates for ``purpose`` now."""
        return self.all(purpose)[-1]

    def all(self, purpose: Purpose) -> tuple[StoredKey, ...]:
        """Every key of ``purpose``, the active one last."""
        mine = [key for key in self.keys if key.purpose == purpose]
        return tuple(sorted(mine, key=lambda key: (key.retired_at_size is None, key.created_at_ms, key.kid)))


def load_or_create_keyring(folder: Path, now_ms: int) -> Keyring:
    """Load the keys in ``folder``, first making one for each purpose that has none; raises `KeystoreError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_folder(folder.parent)  # or the folder could go with the power, and the keys of acknowledged scores with it
    with locked(folder):
        keys = load_keyring(folder).keys
        for purpose in get_args(Purpose):
            if not any(key.purpose == purpose and key.retired_at_size is None for key in keys):
                keys = (*keys, append_key(folder, purpose, now_ms))
    return Keyring(keys=keys)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out, or two that start at once would each make keys that the other does not know."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def load_keyring(folder: Path) -> Keyring:
    """Load the keys in ``folder``; raises `KeystoreError`."""
    return Keyring(keys=tuple(_load_key(path) for path in sorted(folder.glob("*.key.json"))))


def append_key(
    folder: Path, purpose: Purpose, now_ms: int, random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> StoredKey:
    """Make a new key for ``purpose`` and store it durably; from then on it is the active one."""
    algorithm = _ALGORITHMS.get(purpose)
    if algorithm is None:
        jwk = {"kty": "oct", "k": encode_base64url(random_bytes(SECRET_BYTES))}
    else:
        jwk = {name: str(value) for name, value in SigningKey.generate(algorithm).to_private_jwk().items()}
    key = StoredKey(kid=random_bytes(8).hex(), purpose=purpose, created_at_ms=now_ms, retired_at_size=None, jwk=jwk)
    path = folder / f"{purpose}-{key.kid}.key.json"
    document = {
        "v": 1,
        "kid": key.kid,
        "purpose": purpose,
        "created_at_ms": now_ms,
        "retired_at_size": None,
        "jwk": jwk,
    }
    descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    # A crash before this line leaves a .new file, which nothing loads.
    path.with_suffix(".new").rename(path)
    sync_folder(folder)
    return key


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load_key(path: Path) -> StoredKey:
    if path.stat().st_mode & 0o077:
        raise KeystoreError(f"{path} can be read by others; set its mode to 0600.")
    try:
        document = json.loads(path.read_text())
        if document.pop("v") != 1 or document["purpose"] not in get_args(Purpose):
            raise ValueError
        key = StoredKey(**document)
        algorithm = _ALGORITHMS.get(key.purpose)
        if algorithm is not None and key.signing_key.public.alg != algorithm:
            raise ValueError
        if len(key.secret) != SECRET_BYTES or not isinstance(key.kid, str):
            raise ValueError
        if type(key.created_at_ms) is not int or type(key.retired_at_size) not in (int, NoneType):
            raise ValueError
        return key
    except (IdentityError, ValueError, KeyError, TypeError, AttributeError):
        raise KeystoreError(f"{path} is not a key file of this version.") from None


def seal(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Encrypt under AES-256-GCM with a fresh nonce in front; ``context`` must be given again to open."""
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Decrypt what `seal` made; raises `cryptography.exceptions.InvalidTag` where anything differs."""
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], context)
