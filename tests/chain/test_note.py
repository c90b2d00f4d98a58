"""C2SP signed-note: the specification's examples and Go's, then forgeries, then hostile texts."""

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import (
    AmbiguousVerifierKeys,
    BadKeyName,
    BadNoteSignature,
    BadSigningKey,
    BadVerifierKey,
    ChainError,
    MalformedNote,
    NoTrustedSignature,
)
from chain.note import (
    LogSigner,
    VerifierKey,
    format_verifier_key,
    parse_note,
    parse_verifier_key,
    verify_note,
)

# C2SP signed-note v1.0.0, "Verifier keys", "Example": the key and the note that it verifies.
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# The same, introduction: a note whose text has an empty line; its key is not published.
SPEC_POEM = (
    "Ognuno sta solo sul cuor della terra\n"
    "trafitto da un raggio di sole:\n"
    "\n"
    "ed è subito sera.\n"
    "\n"
    "— quasimodo.example/salvatore "
    "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
# golang.org/x/mod, sumdb/note, package documentation: signer key PRIVATE+KEY+PeterNeumann+c74f20a3+<base64>.
GO_SIGNER = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

ALICE = LogSigner(name="alice.example/log", private_key=bytes(range(32)))
BOB = LogSigner(name="bob.example/witness", private_key=bytes(range(1, 33)))
TEXT = "first line\n\nsecond line\n"
NOTE = ALICE.sign(TEXT)
BOTH = NOTE + BOB.sign(TEXT).removeprefix(f"{TEXT}\n")


def test_the_example_of_the_specification_verifies() -> None:
    key = parse_verifier_key(SPEC_KEY)
    assert (key.name, key.key_id.hex()) == ("example.com/foo", "530d903a")
    note = verify_note(SPEC_NOTE, [key])
    assert (note.text, note.signed_by) == ("This is an example message.\n", (key,))
    assert format_verifier_key(key) == SPEC_KEY


def test_the_text_of_a_note_may_hold_empty_lines() -> None:
    parsed = parse_note(SPEC_POEM)
    assert parsed.text.endswith("di sole:\n\ned è subito sera.\n")
    assert [(item.name, len(item.signature)) for item in parsed.signatures] == [("quasimodo.example/salvatore", 64)]


def test_we_sign_what_go_signs_byte_for_byte() -> None:
    signer = LogSigner(name="PeterNeumann", private_key=base64.b64decode(GO_SIGNER)[1:])
    assert signer.sign(GO_TEXT) == GO_NOTE
    assert format_verifier_key(signer.verifier_key) == GO_KEY
    assert verify_note(GO_NOTE, [parse_verifier_key(GO_KEY)]).text == GO_TEXT


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=60))
def test_what_is_signed_verifies(text: str) -> None:
    note = ALICE.sign(f"{text}\n")
    assert verify_note(note, [ALICE.verifier_key]).text == f"{text}\n"


@given(st.data())
def test_one_altered_byte_is_refused(data: st.DataObject) -> None:
    note = NOTE.encode()
    at, mask = data.draw(st.integers(0, len(note) - 1)), data.draw(st.integers(1, 255))
    altered = note[:at] + bytes([note[at] ^ mask]) + note[at + 1 :]
    try:
        text = altered.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises((MalformedNote, BadNoteSignature, NoTrustedSignature)):
        verify_note(text, [ALICE.verifier_key])


def test_every_altered_character_of_a_verifier_key_is_refused() -> None:
    for at, character in enumerate(SPEC_KEY):
        for other in "aAbBzZ019/+= é\n":
            if other != character:
                with pytest.raises(BadVerifierKey):
                    parse_verifier_key(SPEC_KEY[:at] + other + SPEC_KEY[at + 1 :])
    for end in range(len(SPEC_KEY)):
        with pytest.raises(BadVerifierKey):
            parse_verifier_key(SPEC_KEY[:end])


def test_a_key_of_another_signature_type_is_refused() -> None:
    material = b"\x04" + parse_verifier_key(SPEC_KEY).public_key
    key_id = sha256(b"example.com/foo\n" + material).hexdigest()[:8]
    with pytest.raises(BadVerifierKey):
        parse_verifier_key(f"example.com/foo+{key_id}+{base64.b64encode(material).decode()}")


def test_signatures_by_unknown_keys_are_passed_over_but_counted() -> None:
    note = verify_note(BOTH, [ALICE.verifier_key])
    assert (note.signed_by, note.signature_count) == ((ALICE.verifier_key,), 2)
    assert verify_note(BOTH, [ALICE.verifier_key, BOB.verifier_key]).signed_by == (
        ALICE.verifier_key,
        BOB.verifier_key,
    )


def test_a_note_by_unknown_keys_only_is_refused() -> None:
    with pytest.raises(NoTrustedSignature):
        verify_note(NOTE, [BOB.verifier_key])
    with pytest.raises(NoTrustedSignature):
        verify_note(NOTE, [])


def test_a_key_counts_under_its_own_name_only() -> None:
    renamed = LogSigner(name=BOB.name, private_key=ALICE.private_key)
    with pytest.raises(NoTrustedSignature):
        verify_note(NOTE, [renamed.verifier_key])


def test_a_failing_signature_by_a_trusted_key_refuses_the_whole_note() -> None:
    bad = ALICE.sign("another text\n").removeprefix("another text\n\n")
    with pytest.raises(BadNoteSignature):
        verify_note(BOB.sign(TEXT) + bad, [ALICE.verifier_key, BOB.verifier_key])


def test_a_signature_that_is_cut_short_is_refused() -> None:
    cut = base64.b64encode(ALICE.verifier_key.key_id + bytes(10)).decode()
    with pytest.raises(BadNoteSignature):
        verify_note(f"{TEXT}\n— {ALICE.name} {cut}\n", [ALICE.verifier_key])


def test_two_keys_under_one_name_and_id_are_refused() -> None:
    # A retirement that one copy of a key carries and the other does not is no agreement either.
    key = ALICE.verifier_key
    retired = VerifierKey(name=key.name, public_key=key.public_key, retired_at_size=7)
    with pytest.raises(AmbiguousVerifierKeys):
        verify_note(NOTE, [key, retired])
    assert verify_note(NOTE, [key, key]).signed_by == (key,)


def test_at_least_16_signatures_are_read_and_a_flood_is_not() -> None:
    line = BOB.sign(TEXT).removeprefix(f"{TEXT}\n")
    assert verify_note(NOTE + line * 15, [ALICE.verifier_key]).signature_count == 16
    with pytest.raises(MalformedNote):
        verify_note(NOTE + line * 100, [ALICE.verifier_key])
    with pytest.raises(MalformedNote):
        parse_note("x" * 300_000 + "\n\n" + line)


LINE = NOTE.removeprefix(f"{TEXT}\n")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        TEXT,
        f"{TEXT}\n",
        LINE,
        f"text{LINE}",
        f"text\n{LINE}",
        NOTE.removesuffix("\n"),
        NOTE + "\n",
        NOTE + "trailing\n",
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("first", "fi\trst"),
        NOTE.replace("first", "fi\x00rst"),
        NOTE.replace("first", "fi\ud800rst"),
        NOTE.replace("— ", "- "),
        NOTE.replace("— ", "—  "),
        NOTE.replace("alice.example", "alice+example"),
        NOTE.replace("alice.example", "alice\u2003example"),
        NOTE.replace("alice.example/log ", " "),
        f"{TEXT}\n— {ALICE.name}\n",
        f"{TEXT}\n— {ALICE.name} \n",
        f"{TEXT}\n— {ALICE.name} AAAA\n",
        f"{TEXT}\n— {ALICE.name} AAAAAA==\n",
        NOTE.replace("=\n", "\n"),
        NOTE.replace("=\n", "= \n"),
        LINE.replace("/", "_"),
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(MalformedNote):
        verify_note(note, [ALICE.verifier_key])


def test_a_second_base64_spelling_of_a_signature_is_refused() -> None:
    last = NOTE[-3]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(last) ^ 1]
    respelled = f"{NOTE[:-3]}{other}=\n"
    assert base64.b64decode(respelled.split(" ")[-1]) == base64.b64decode(NOTE.split(" ")[-1])
    with pytest.raises(MalformedNote):
        verify_note(respelled, [ALICE.verifier_key])


@given(st.text(st.characters(), max_size=80), st.text(st.sampled_from("— \n+=ABalice.example/log"), max_size=120))
def test_hostile_notes_raise_only_our_errors(text: str, tail: str) -> None:
    with pytest.raises(ChainError):
        verify_note(f"{text}\n\n{tail}\n", [ALICE.verifier_key])


@given(st.text(max_size=80))
def test_hostile_verifier_keys_raise_only_our_errors(text: str) -> None:
    with pytest.raises(ChainError):
        parse_verifier_key(text)
    with pytest.raises(ChainError):
        parse_verifier_key(f"name+00000000+{text}")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a\x01b", "a\ud800"])
def test_names_that_no_signature_line_can_hold_are_refused(name: str) -> None:
    with pytest.raises(BadKeyName):
        LogSigner(name=name, private_key=bytes(32))


def test_a_text_that_no_note_can_hold_is_not_signed() -> None:
    for text in ("", "no newline", "tab\t\n", "\ud800\n"):
        with pytest.raises(MalformedNote):
            ALICE.sign(text)


def test_keys_of_another_length_are_refused() -> None:
    with pytest.raises(BadSigningKey):
        LogSigner(name="a", private_key=bytes(64))
    with pytest.raises(BadVerifierKey):
        VerifierKey(name="a", public_key=bytes(31))


def test_a_signer_does_not_show_its_private_key() -> None:
    assert repr(ALICE.private_key) not in repr(ALICE)
    public = Ed25519PrivateKey.from_private_bytes(ALICE.private_key).public_key().public_bytes_raw()
    assert ALICE.verifier_key.public_key == public
