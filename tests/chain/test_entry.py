"""Entries: RFC 8785's own ordering vector, the commitment, and every value that two readers could see differently."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.entry import Entry, commitment, encode_entry, parse_entry
from chain.errors import (
    BadSalt,
    ChainError,
    EntryMembersWrong,
    EntryNotCanonical,
    EntryTooLarge,
    EntryValueRefused,
)

BODY = {"points": 612, "pd_ppm": 41_300, "band": "B"}
ENTRY = (
    b'{"at":1763830800000,"body":{"band":"B","pd_ppm":41300,"points":612},"seq":7,"tenant":"t-1","type":"score","v":1}'
)

INTEGERS = st.integers(-(2**53 - 1), 2**53 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(TEXTS, VALUES, max_size=5)


def encode(**changes: Any) -> bytes:
    members: dict[str, Any] = {"type": "score", "at_ms": 1_763_830_800_000, "tenant": "t-1", "seq": 7, "body": BODY}
    return encode_entry(**{**members, **changes})


def test_an_entry_is_its_canonical_json() -> None:
    assert encode() == ENTRY
    assert parse_entry(ENTRY) == Entry(type="score", at_ms=1_763_830_800_000, tenant="t-1", seq=7, body=BODY)


def test_members_are_ordered_as_rfc_8785_orders_them() -> None:
    # RFC 8785, section 3.2.3: sorted by UTF-16 code units, so that the emoji stands before U+FB33.
    body = {"\u20ac": 0, "\r": 1, "\ufb33": 2, "1": 3, "\U0001f600": 4, "\u0080": 5, "\u00f6": 6}
    encoded = encode(body=body)
    assert list(json.loads(encoded)["body"]) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert b'"body":{"\\r":1,"1":3,"\xc2\x80":5,"\xc3\xb6":6,"\xe2\x82\xac":0,"\xf0\x9f\x98\x80":4,' in encoded


def test_the_commitment_is_the_salted_hash_of_the_text() -> None:
    salt = bytes(range(32))
    assert commitment(ENTRY, salt) == sha256(b"credence/entry/v1\x00" + salt + ENTRY).digest()
    # A fixed value, so that no later version changes what a stored salt proves.
    assert commitment(ENTRY, salt).hex() == COMMITMENT


COMMITMENT = "4d46477d9fd7760f4bc113ee880148a832889bd2f1e83056b92105ea412b87c1"


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_a_salt_of_another_length_is_refused(salt: bytes) -> None:
    with pytest.raises(BadSalt):
        commitment(ENTRY, salt)


@given(BODIES)
def test_entries_come_back(body: dict[str, Any]) -> None:
    encoded = encode(body=body)
    assert parse_entry(encoded).body == body
    assert json.loads(encoded)["body"] == body


@given(BODIES, st.randoms(use_true_random=False))
def test_the_order_of_members_does_not_matter(body: dict[str, Any], random: Any) -> None:
    shuffled = list(body.items())
    random.shuffle(shuffled)
    assert encode(body=dict(shuffled)) == encode(body=body)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        0.5,
        float("nan"),
        float("inf"),
        2**53,
        -(2**53),
        10**400,
        b"bytes",
        (1, 2),
        {1, 2},
        object(),
        {1: "integer name"},
        {None: "null name"},
        "\ud800",
        {"\udfff": 1},
    ],
)
def test_values_that_two_readers_could_see_differently_are_refused(value: object) -> None:
    with pytest.raises(EntryValueRefused):
        encode(body={"value": value})
    with pytest.raises(EntryValueRefused):
        encode(body={"list": [value]})


@pytest.mark.parametrize(
    "changes",
    [
        {"type": ""},
        {"type": "Score"},
        {"type": "score issued"},
        {"type": "s" * 65},
        {"type": 1},
        {"at_ms": -1},
        {"at_ms": True},
        {"at_ms": 1.5},
        {"at_ms": "1"},
        {"seq": -1},
        {"seq": False},
        {"seq": None},
        {"tenant": ""},
        {"tenant": "t" * 129},
        {"tenant": 5},
    ],
)
def test_members_of_another_form_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EntryMembersWrong):
        encode(**changes)


def test_entries_too_large_or_too_deep_are_refused() -> None:
    with pytest.raises(EntryTooLarge):
        encode(body={"text": "x" * 65_536})
    with pytest.raises(EntryTooLarge):
        parse_entry(b" " * 70_000)
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(EntryTooLarge):
        encode(body={"deep": deep})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"{",
        ENTRY + b"\n",
        b" " + ENTRY,
        ENTRY.replace(b":", b": "),
        ENTRY.replace(b'"B"', b'"\\u0042"'),
        ENTRY.replace(b'"seq":7', b'"seq":7,"seq":7'),
        ENTRY.replace(b'"seq":7', b'"seq":-0'),
        ENTRY.replace(b'"type":"score","v":1', b'"v":1,"type":"score"'),
        b"\xef\xbb\xbf" + ENTRY,
        b"[" * 60_000,
    ],
)
def test_another_spelling_is_refused(text: bytes) -> None:
    with pytest.raises(EntryNotCanonical):
        parse_entry(text)


@pytest.mark.parametrize("number", [b"7.0", b"7e0", b"1.5", b"NaN", b"Infinity", b"-Infinity", b"9007199254740992"])
def test_numbers_other_than_integers_are_refused(number: bytes) -> None:
    with pytest.raises(EntryValueRefused):
        parse_entry(ENTRY.replace(b"612", number))
    with pytest.raises(EntryValueRefused):
        parse_entry(ENTRY.replace(b"612", b"9" * 5000))


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b"[]",
        b'"entry"',
        b"{}",
        ENTRY.replace(b'"v":1', b'"v":2'),
        ENTRY.replace(b'"v":1', b'"v":true'),
        ENTRY.replace(b'"v":1', b'"v":1,"x":0'),
        ENTRY.replace(b'"seq":7,', b""),
        ENTRY.replace(b'{"band":"B","pd_ppm":41300,"points":612}', b"[]"),
    ],
)
def test_members_other_than_the_six_are_refused(text: bytes) -> None:
    with pytest.raises(EntryMembersWrong):
        parse_entry(text)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_hostile_entries_raise_only_our_errors(data: bytes) -> None:
    with pytest.raises(ChainError):
        parse_entry(data)


@given(st.data())
def test_one_altered_byte_is_another_entry_or_none(data: st.DataObject) -> None:
    at, mask = data.draw(st.integers(0, len(ENTRY) - 1)), data.draw(st.integers(1, 255))
    altered = ENTRY[:at] + bytes([ENTRY[at] ^ mask]) + ENTRY[at + 1 :]
    try:
        entry = parse_entry(altered)
    except ChainError:
        return
    assert entry != parse_entry(ENTRY)
