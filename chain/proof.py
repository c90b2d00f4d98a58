"""Self-contained proofs: an entry, its salt, the way to the root, and a checkpoint that signs the root.

Whoever holds the log's public key needs nothing else: no service, no network.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chain.checkpoint import Checkpoint, read_checkpoint
from chain.entry import MAX_ENTRY_TEXT_BYTES, MAX_INTEGER, SALT_BYTES, Entry, commitment, parse_entry
from chain.errors import MalformedProof, UnverifiedSignature
from chain.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from chain.note import MAX_NOTE_BYTES, VerifierKey, verify_note

PROOF_VERSION = 1
MAX_PROOF_HASHES = 63

_MEMBERS = {"v", "index", "entry", "salt", "inclusion", "checkpoint"}


@dataclass(frozen=True, kw_only=True)
class LogProof:
    """That an entry stands at an index of the log: its canonical text, its salt, the audit path, the signed note."""

    index: int
    entry: bytes
    salt: bytes
    inclusion: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class VerifiedEntry:
    """An entry that the log's own key vouches for, where it stands, and the checkpoint it was proven under."""

    entry: Entry
    index: int
    leaf_hash: bytes
    checkpoint: Checkpoint


def verify_log_proof(proof: LogProof, verifier_keys: Iterable[VerifierKey]) -> VerifiedEntry:
    """The proven entry; raises a ChainError for the first thing that is not exactly right.

    1. The note is signed by a trusted key of the log that its checkpoint names, not retired at its size.
    2. Every signature of the note was verified: a proof carries nothing that nobody has checked.
    3. The entry is canonical and has exactly the members of an entry.
    4. Its salted commitment is the leaf from which the audit path leads to the checkpoint's root.
    """
    note = verify_note(proof.checkpoint, verifier_keys)
    checkpoint = read_checkpoint(note)
    if note.signature_count != len(note.signed_by):
        raise UnverifiedSignature
    entry = parse_entry(proof.entry)
    leaf = leaf_hash(commitment(proof.entry, proof.salt))
    verify_inclusion(
        leaf_hash=leaf, index=proof.index, size=checkpoint.size, proof=proof.inclusion, root=checkpoint.root
    )
    return VerifiedEntry(entry=entry, index=proof.index, leaf_hash=leaf, checkpoint=checkpoint)


def format_log_proof(proof: LogProof) -> dict[str, object]:
    """The proof as a JSON object: the entry as the text that was committed to, hashes and salt in base64."""
    return {
        "v": PROOF_VERSION,
        "index": proof.index,
        "entry": proof.entry.decode(),
        "salt": _encode_base64(proof.salt),
        "inclusion": [_encode_base64(item) for item in proof.inclusion],
        "checkpoint": proof.checkpoint,
    }


def parse_log_proof(value: object) -> LogProof:
    """The proof that a JSON value holds, every member in its one spelling; raises MalformedProof."""
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        raise MalformedProof
    index, entry, inclusion, checkpoint = (value[name] for name in ("index", "entry", "inclusion", "checkpoint"))
    if type(value["v"]) is not int or value["v"] != PROOF_VERSION:
        raise MalformedProof
    if type(index) is not int or not 0 <= index <= MAX_INTEGER:
        raise MalformedProof
    if not isinstance(entry, str) or len(entry) > MAX_ENTRY_TEXT_BYTES:
        raise MalformedProof
    if not isinstance(checkpoint, str) or len(checkpoint) > MAX_NOTE_BYTES:
        raise MalformedProof
    if not isinstance(inclusion, list) or len(inclusion) > MAX_PROOF_HASHES:
        raise MalformedProof
    try:
        entry_text = entry.encode()
    except UnicodeEncodeError:
        raise MalformedProof from None
    return LogProof(
        index=index,
        entry=entry_text,
        salt=_decode_base64(value["salt"], SALT_BYTES),
        inclusion=tuple(_decode_base64(item, HASH_BYTES) for item in inclusion),
        checkpoint=checkpoint,
    )


def format_tlog_proof(*, index: int, inclusion: Sequence[bytes], checkpoint: str) -> str:
    """The proof of a leaf without its entry, as the text that C2SP tlog-proof defines."""
    hashes = "".join(f"{_encode_base64(item)}\n" for item in inclusion)
    return f"c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{checkpoint}"


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode_base64(value: object, length: int) -> bytes:
    if not isinstance(value, str):
        raise MalformedProof
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedProof from None
    if len(data) != length or _encode_base64(data) != value:
        raise MalformedProof
    return data
