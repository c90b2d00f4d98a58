"""Multikeys and multibase: the published examples, round trips, then what to refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import encode_base64url
from identity.errors import BadKey, BadMultibase, IdentityError, KeyNotSupported
from identity.keys import Algorithm, SigningKey
from identity.multikey import decode_base58, decode_multibase, encode_base58, encode_multikey, parse_multikey

MAX_CHARS = 1_000
P256 = SigningKey.generate().public


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
        (
            b"The quick brown fox jumps over the lazy dog.",
            "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
        ),
        (bytes.fromhex("0000287fb4cd"), "11233QC4"),
    ],
)
def test_base58_examples_of_its_draft(data: bytes, text: str) -> None:
    """draft-msporny-base58-03, section 5."""
    assert encode_base58(data) == text
    assert decode_base58(text, max_chars=MAX_CHARS) == data
    assert decode_multibase("z" + text, max_chars=MAX_CHARS) == data


def test_the_multikey_examples_of_the_ed25519_and_p256_codecs() -> None:
    """CID 1.0, examples of section 2.2.2 (Multikey), and of the ECDSA cryptosuites, section 2.1.1."""
    ed25519 = parse_multikey("z6MkmM42vxfqZQsv4ehtTjFFxQ4sQKS2w6WR7emozFAn5cxu")
    p256 = parse_multikey("zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv")
    assert (ed25519.alg, p256.alg) == ("EdDSA", "ES256")
    assert p256.jwk["x"] == "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns"


@given(st.binary(max_size=80))
def test_base58_round_trip(data: bytes) -> None:
    assert decode_base58(encode_base58(data), max_chars=MAX_CHARS) == data


@given(st.text(alphabet="123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", max_size=80))
def test_each_base58_text_is_the_only_one_of_its_bytes(text: str) -> None:
    assert encode_base58(decode_base58(text, max_chars=MAX_CHARS)) == text


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_multikey_round_trip(alg: Algorithm) -> None:
    key = SigningKey.generate(alg).public
    assert parse_multikey(encode_multikey(key)) == key
    data = decode_multibase(encode_multikey(key), max_chars=MAX_CHARS)
    assert parse_multikey("u" + encode_base64url(data)) == key


@pytest.mark.parametrize(
    "text",
    [
        *("", "2NEpo", "mAAAA", "f00", "Z6Mk"),
        *("z0", "zO", "zI", "zl", "z ", "z\u0661"),
        *("uAA=", "uAB", "u+w", "z" + "2" * MAX_CHARS),
    ],
    ids=ascii,
)
def test_input_46_another_multibase_is_refused(text: str) -> None:
    with pytest.raises(BadMultibase):
        decode_multibase(text, max_chars=MAX_CHARS)


@pytest.mark.parametrize("codec", ["e701", "ea01", "eb01", "ee01", "ec01", "8124", "8224", "8324", "8424", "8524"])
def test_input_50_other_kinds_of_keys_are_told_from_nonsense(codec: str) -> None:
    with pytest.raises(KeyNotSupported):
        parse_multikey("z" + encode_base58(bytes.fromhex(codec) + b"\2" * 48))


UNCOMPRESSED = b"\x04" + P256.point
HYBRID = bytes([6 + (P256.point[-1] & 1)]) + P256.point


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xed",
        b"\xed\x01",
        b"\xed\x01" + b"\x07" * 31,
        b"\xed\x01" + b"\x07" * 33,
        b"\xed\x01" + bytes(32),
        b"\x80\x24" + UNCOMPRESSED,
        b"\x80\x24" + HYBRID,
        b"\x80\x24" + P256.point[:32],
        b"\x80\x24\x02" + b"\xff" * 32,
        b"\x80\x24\x00" + P256.point[:32],
        b"\x12\x20" + b"\x07" * 32,
        b"\xec" + b"\x07" * 32,
    ],
    ids=lambda data: f"{len(data)} from {data.hex()[:4]}",
)
def test_input_50_a_point_in_another_form_or_off_its_curve_is_refused(data: bytes) -> None:
    with pytest.raises(BadKey):
        parse_multikey("u" + encode_base64url(data))


@given(st.text(max_size=140) | st.binary(max_size=90).map(lambda data: "u" + encode_base64url(data)))
def test_hostile_multikeys_raise_only_our_errors(text: str) -> None:
    try:
        key = parse_multikey(text)
    except IdentityError:
        return
    assert parse_multikey(encode_multikey(key)) == key
