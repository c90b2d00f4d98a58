"""Signed notes as C2SP signed-note defines them, with Ed25519 signatures (type 0x01) and no other."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from chain.errors import (
    AmbiguousVerifierKeys,
    BadKeyName,
    BadNoteSignature,
    BadSigningKey,
    BadVerifierKey,
    MalformedNote,
    NoTrustedSignature,
)

ED25519 = b"\x01"
KEY_ID_BYTES = 4
MAX_NOTE_BYTES = 256 * 1024
MAX_SIGNATURES = 32
SIGNATURE_PREFIX = "\u2014 "

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, kw_only=True)
class VerifierKey:
    """A public log key: who it speaks for, 32 bytes of Ed25519, and since when it no longer counts.

    A note knows no tree size, so `retired_at_size` is judged where the note is read as a checkpoint.
    """

    name: str
    public_key: bytes = field(repr=False)
    retired_at_size: int | None = None

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.public_key) != 32:
            raise BadVerifierKey

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before a signature: SHA-256(name || LF || 0x01 || public key)[:4]."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:KEY_ID_BYTES]


@dataclass(frozen=True, kw_only=True)
class NoteSignature:
    """One signature line of a note, not yet verified."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class ParsedNote:
    """A note taken apart, not yet verified."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, kw_only=True)
class VerifiedNote:
    """A note that at least one trusted key signed; `signature_count` also counts lines of unknown keys."""

    text: str
    signed_by: tuple[VerifierKey, ...]
    signature_count: int


@dataclass(frozen=True, kw_only=True)
class LogSigner:
    """A log's Ed25519 key: the name that it signs under and its 32-byte seed."""

    name: str
    private_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.private_key) != 32:
            raise BadSigningKey

    @property
    def verifier_key(self) -> VerifierKey:
        """The public half."""
        public_key = Ed25519PrivateKey.from_private_bytes(self.private_key).public_key()
        return VerifierKey(name=self.name, public_key=public_key.public_bytes_raw())

    def sign(self, text: str) -> str:
        """The signed note of a text that ends in a newline; raises MalformedNote for a text that no note can hold."""
        if not text.endswith("\n"):
            raise MalformedNote
        signature = Ed25519PrivateKey.from_private_bytes(self.private_key).sign(_encode_note(text))
        blob = base64.b64encode(self.verifier_key.key_id + signature).decode()
        return f"{text}\n{SIGNATURE_PREFIX}{self.name} {blob}\n"


def check_key_name(name: str) -> None:
    """Raises BadKeyName unless the name can stand in a signature line: no space, plus or control character."""
    if not name or any(character.isspace() or character == "+" or character < " " for character in name):
        raise BadKeyName
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadKeyName from None


def format_verifier_key(key: VerifierKey) -> str:
    """The key as text: `<name>+<key ID in hex>+<base64 of 0x01 and the public key>`."""
    return f"{key.name}+{key.key_id.hex()}+{base64.b64encode(ED25519 + key.public_key).decode()}"


def parse_verifier_key(text: str, *, retired_at_size: int | None = None) -> VerifierKey:
    """The key that a text names; raises BadVerifierKey for any but the canonical text of an Ed25519 key."""
    name, *rest = text.split("+", 2)
    if len(rest) != 2:
        raise BadVerifierKey
    try:
        material = _decode_base64(rest[1])
        key = VerifierKey(name=name, public_key=material[1:], retired_at_size=retired_at_size)
    except (ValueError, BadKeyName):
        raise BadVerifierKey from None
    # Refuses another signature type, a key ID that is not this key's, and a second spelling of either.
    if format_verifier_key(key) != text:
        raise BadVerifierKey
    return key


def parse_note(note: str) -> ParsedNote:
    """Takes a note apart without judging its signatures; raises MalformedNote."""
    if len(_encode_note(note)) > MAX_NOTE_BYTES or not note.endswith("\n"):
        raise MalformedNote
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines:
        raise MalformedNote
    signatures = tuple(_parse_signature_line(line) for line in lines[:-1].split("\n"))
    if len(signatures) > MAX_SIGNATURES:
        raise MalformedNote
    return ParsedNote(text=text + "\n", signatures=signatures)


def verify_note(note: str, verifier_keys: Iterable[VerifierKey]) -> VerifiedNote:
    """The text of a note that a trusted key signed.

    Signatures by unknown keys are passed over, as the specification demands; a failing one by a trusted key refuses the
    whole note. Raises MalformedNote, AmbiguousVerifierKeys, BadNoteSignature or NoTrustedSignature.
    """
    trusted = _by_name_and_id(verifier_keys)
    parsed = parse_note(note)
    message = parsed.text.encode()
    signed_by: list[VerifierKey] = []
    for signature in parsed.signatures:
        key = trusted.get((signature.name, signature.key_id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature.signature, message)
        except (InvalidSignature, ValueError):
            raise BadNoteSignature from None
        if key not in signed_by:
            signed_by.append(key)
    if not signed_by:
        raise NoTrustedSignature
    return VerifiedNote(text=parsed.text, signed_by=tuple(signed_by), signature_count=len(parsed.signatures))


def _by_name_and_id(verifier_keys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    trusted: dict[tuple[str, bytes], VerifierKey] = {}
    for key in verifier_keys:
        if trusted.setdefault((key.name, key.key_id), key) != key:
            raise AmbiguousVerifierKeys
    return trusted


def _parse_signature_line(line: str) -> NoteSignature:
    name, separator, blob = line.removeprefix(SIGNATURE_PREFIX).partition(" ")
    if not line.startswith(SIGNATURE_PREFIX) or not separator:
        raise MalformedNote
    try:
        check_key_name(name)
        data = _decode_base64(blob)
    except (ValueError, BadKeyName):
        raise MalformedNote from None
    if len(data) <= KEY_ID_BYTES:
        raise MalformedNote
    return NoteSignature(name=name, key_id=data[:KEY_ID_BYTES], signature=data[KEY_ID_BYTES:])


def _encode_note(note: str) -> bytes:
    """UTF-8 of a text without control characters other than newlines; raises MalformedNote."""
    if _CONTROL.search(note):
        raise MalformedNote
    try:
        return note.encode()
    except UnicodeEncodeError:
        raise MalformedNote from None


def _decode_base64(text: str) -> bytes:
    """Standard base64 in its one canonical spelling; raises ValueError."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
    if base64.b64encode(data).decode() != text:
        raise ValueError
    return data
