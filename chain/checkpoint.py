"""Checkpoints as C2SP tlog-checkpoint defines them: a signed note of origin, tree size and root hash."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from chain.errors import (
    BadHash,
    BadKeyName,
    BadOrigin,
    BadTreeSize,
    LogKeyRetired,
    MalformedCheckpoint,
    NotSignedByOrigin,
)
from chain.merkle import HASH_BYTES, MAX_TREE_SIZE
from chain.note import LogSigner, VerifiedNote, VerifierKey, check_key_name, verify_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A tree head: whose log, how many leaves, and the 32-byte root over them."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_origin(self.origin)
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise BadTreeSize
        if len(self.root) != HASH_BYTES:
            raise BadHash


def check_origin(origin: str) -> None:
    """Raises BadOrigin unless the origin is a schema-less URL like `credence.example/log`, fit for a key name."""
    try:
        check_key_name(origin)
    except BadKeyName:
        raise BadOrigin from None
    if "://" in origin or origin.endswith("/"):
        raise BadOrigin


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """The note text of a checkpoint: three lines, no extension lines."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note text holds; extension lines, which no monitor can audit, are refused.

    Raises MalformedCheckpoint, BadOrigin, BadTreeSize or BadHash.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise MalformedCheckpoint
    origin, size, root, _ = lines
    if not _SIZE.fullmatch(size):
        raise MalformedCheckpoint
    try:
        checkpoint = Checkpoint(origin=origin, size=int(size), root=base64.b64decode(root, validate=True))
    except (binascii.Error, ValueError):
        raise MalformedCheckpoint from None
    if format_checkpoint(checkpoint) != text:
        raise MalformedCheckpoint
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signer: LogSigner) -> str:
    """The signed note of a checkpoint; raises NotSignedByOrigin where the signer bears another log's name."""
    if signer.name != checkpoint.origin:
        raise NotSignedByOrigin
    return signer.sign(format_checkpoint(checkpoint))


def verify_checkpoint(note: str, verifier_keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint of a note that a trusted key of its own log signed, one not retired at its size.

    Raises what `verify_note` and `parse_checkpoint` raise, NotSignedByOrigin or LogKeyRetired.
    """
    return read_checkpoint(verify_note(note, verifier_keys))


def read_checkpoint(note: VerifiedNote) -> Checkpoint:
    """The checkpoint of a verified note, once the keys that signed it have been held against its origin and size.

    A retired key counts for checkpoints up to the size at which it was retired: they hold only leaves below it.
    """
    checkpoint = parse_checkpoint(note.text)
    keys = [key for key in note.signed_by if key.name == checkpoint.origin]
    if not keys:
        raise NotSignedByOrigin
    if all(key.retired_at_size is not None and checkpoint.size > key.retired_at_size for key in keys):
        raise LogKeyRetired
    return checkpoint
