"""Strict base64url and strict JSON: published examples, then properties, then the inputs to refuse."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import decode_base64url, encode_base64url, encode_json, parse_json, parse_json_object
from identity.errors import BadBase64, BadJson, IdentityError, JsonDepth, JsonDuplicateKey, JsonNumber

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**19)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_base64url_example_of_rfc_7515_appendix_c() -> None:
    assert encode_base64url(bytes([3, 236, 255, 224, 193])) == "A-z_4ME"
    assert decode_base64url("A-z_4ME") == bytes([3, 236, 255, 224, 193])


@given(st.binary())
def test_base64url_round_trip(data: bytes) -> None:
    assert decode_base64url(encode_base64url(data)) == data


@given(st.text() | st.text(alphabet="ABQgwxyz-_+/=\n", max_size=9))
def test_base64url_has_one_spelling_a_value(text: str) -> None:
    try:
        data = decode_base64url(text)
    except BadBase64:
        return
    assert encode_base64url(data) == text


@pytest.mark.parametrize(
    "text",
    ["A-z_4ME=", "QQ==", "QR", "QUJ", "A", "AAAAA", "A+z/4ME", "QQ\n", " QQ", "Q Q", "QQ\0", "é", "Ａ", "=", "Q=Q"],
    ids=ascii,
)
def test_input_10_padded_or_non_canonical_base64url_is_refused(text: str) -> None:
    with pytest.raises(BadBase64):
        decode_base64url(text)


@given(JSON_VALUES)
def test_json_round_trip(value: object) -> None:
    assert parse_json(encode_json(value)) == value
    assert parse_json(json.dumps(value, indent=1)) == value


@given(st.binary() | st.text(st.characters(codec=None)) | st.text(alphabet='{}[]",:01.eE-\\u d8\n', max_size=30))
def test_hostile_json_raises_only_our_errors(text: bytes | str) -> None:
    try:
        value = parse_json(text)
    except IdentityError:
        return
    assert value == json.loads(text)


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', '{"b":[{"a":1,"\\u0061":2}]}'])
def test_input_11_duplicate_member_is_refused(text: str) -> None:
    with pytest.raises(JsonDuplicateKey):
        parse_json(text)


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "[1E999]", "9" * 5000, "-" + "9" * 21, '{"a":1e309}']
)
def test_input_12_number_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(JsonNumber):
        parse_json(text)


def test_numbers_within_bounds_are_kept_exactly() -> None:
    assert parse_json("-99999999999999999999") == -99999999999999999999
    assert parse_json("[0.1,1e2,-0.0]") == [0.1, 100.0, 0.0]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [33, 100_000])
def test_input_13_deep_json_is_refused(opening: str, depth: int) -> None:
    with pytest.raises(JsonDepth):
        parse_json(opening * depth)


def test_depth_counts_nesting_and_nothing_else() -> None:
    assert parse_json("[" * 32 + "]" * 32) is not None
    assert parse_json("[" + "[]," * 500 + '"' + "[" * 99 + '\\"["]') is not None


def test_depth_scan_is_linear_on_unterminated_strings() -> None:
    started = time.perf_counter()
    for text in ('["' + '\\"' * 100_000 + "[" * 40, "[" * 40 + '"' * 100_001, '"\\' * 100_000 + "{" * 40):
        with pytest.raises(IdentityError):
            parse_json(text)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b'"\xed\xa0\x80"',  # a surrogate in UTF-8
        b'"\xc0\x80"',  # an overlong NUL
        '"\\ud800"',
        '["\\udc00\\ud800"]',
        '{"\\udfff":1}',
        '"\ud800"',
        "\ufeff1",
        b"\xef\xbb\xbf1",
        "",
        " ",
        "1 2",
        "[1,]",
        "{'a':1}",
        '"\n"',
        "01",
        "+1",
        ".5",
        "nan",
        "[",
        "\u00a01",
    ],
    ids=ascii,
)
def test_text_that_is_no_json_is_refused(text: bytes | str) -> None:
    with pytest.raises(BadJson):
        parse_json(text)


def test_surrogate_pairs_are_one_character() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "😀"


def test_only_an_object_is_an_object() -> None:
    assert parse_json_object(b' {"a": [1]}\n') == {"a": [1]}
    with pytest.raises(BadJson):
        parse_json_object("[]")


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {"a": object()}, b"bytes"])
def test_what_json_cannot_say_is_not_written(value: object) -> None:
    with pytest.raises(BadJson):
        encode_json(value)
