"""JWE for encrypted answers: round trips, and one refusal for each thing that a header may not say."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from identity.encoding import decode_base64url, encode_base64url, encode_json
from identity.errors import (
    BadBase64,
    BadJson,
    BadJwe,
    BadKey,
    IdentityError,
    JsonDuplicateKey,
    JweKeyMismatch,
    JweNotAllowed,
    NotDecrypted,
    PrivateKeyInJwk,
    TooLarge,
)
from identity.jwe import ENCRYPTIONS, decrypt, derive_decryption_key, encrypt, parse_encryption_jwk

KEY = derive_decryption_key(b"s" * 32, b"req_1")
TWICE = b'{"alg":"ECDH-ES","alg":"dir"}'
PLAINTEXT = b'{"vp_token":{"a":["b"]},"state":"s"}'


def recipient(key: Any = KEY) -> ECKey:
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": key.public.x, "y": key.public.y})


def with_header(**changes: Any) -> str:
    """A JWE whose header says something else, its other parts left alone; ... leaves a member out."""
    parts = encrypt(PLAINTEXT, KEY.public, "A128GCM").split(".")
    header = {**json.loads(decode_base64url(parts[0])), **changes}
    header = {name: value for name, value in header.items() if value is not ...}
    return ".".join([encode_base64url(encode_json(header)), *parts[1:]])


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
def test_what_is_encrypted_to_a_key_is_read_by_it_and_by_no_other(encryption: Any) -> None:
    compact = encrypt(PLAINTEXT, KEY.public, encryption)
    assert decrypt(compact, [KEY]) == PLAINTEXT
    header = json.loads(decode_base64url(compact.split(".")[0]))
    assert {name: header[name] for name in ("alg", "enc", "kid")} == {
        "alg": "ECDH-ES",
        "enc": encryption,
        "kid": KEY.public.kid,
    }
    for other in (derive_decryption_key(b"s" * 32, b"req_2"), derive_decryption_key(b"t" * 32, b"req_1")):
        with pytest.raises(JweKeyMismatch):
            decrypt(compact, [other])
        assert decrypt(compact, [other, KEY]) == PLAINTEXT
    assert "_key" not in repr(KEY)


def test_a_key_is_the_same_whenever_it_is_derived_and_pinned() -> None:
    again = derive_decryption_key(b"s" * 32, b"req_1")
    assert again.public == KEY.public
    # Pinned: another derivation would leave the answers to requests that are open unreadable.
    assert KEY.public.kid == "AEEehEaP7_DP06-qKgxt75ikTkjv-VFEQaOWZplKgs4"


def test_a_public_key_stands_in_client_metadata_and_is_read_there() -> None:
    jwk = KEY.public.jwk
    assert {jwk["use"], jwk["alg"], jwk["crv"]} == {"enc", "ECDH-ES", "P-256"}
    assert parse_encryption_jwk(jwk) == KEY.public
    assert parse_encryption_jwk({**jwk, "x5t": "whatever a verifier adds"}) == KEY.public


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"d": "AA"}, PrivateKeyInJwk),
        ({"kid": ""}, BadKey),
        ({"kid": 1}, BadKey),
        ({"alg": "ECDH-ES+A128KW"}, BadKey),
        ({"use": "sig"}, BadKey),
        ({"crv": "P-384"}, BadKey),
        ({"kty": "OKP"}, BadKey),
        ({"x": "AA"}, BadKey),
        ({"y": KEY.public.x}, BadKey),
    ],
)
def test_a_key_that_is_not_to_encrypt_to_is_refused(changes: dict[str, Any], error: type[IdentityError]) -> None:
    with pytest.raises(error):
        parse_encryption_jwk({**KEY.public.jwk, **changes})
    with pytest.raises(BadKey):
        parse_encryption_jwk("not an object")


def test_party_information_may_be_the_same_on_both_sides() -> None:
    """What @openid4vc/openid4vp sends, and other libraries refuse: apu and apv both hold the nonce."""
    nonce = encode_base64url(b"n-0S6_WzA2Mj")
    header = {"alg": "ECDH-ES", "enc": "A128GCM", "kid": KEY.public.kid, "apu": nonce, "apv": nonce}
    compact = jwe.encrypt_compact(header, PLAINTEXT, recipient(), algorithms=["ECDH-ES", "A128GCM"])
    assert decrypt(compact, [KEY]) == PLAINTEXT


RSA = RSAKey.generate_key(2048)


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_38_an_algorithm_or_a_compression_that_was_not_offered() -> None:
    kid = {"kid": KEY.public.kid}
    every = ["RSA1_5", "RSA-OAEP", "dir", "A128KW", "PBES2-HS256+A128KW", "ECDH-ES", "ECDH-ES+A128KW", "A128GCM",
             "A128CBC-HS256", "DEF"]  # fmt: skip
    compacts = [
        jwe.encrypt_compact({"alg": "RSA1_5", "enc": "A128GCM", **kid}, PLAINTEXT, RSA, algorithms=every),
        jwe.encrypt_compact({"alg": "RSA-OAEP", "enc": "A128GCM", **kid}, PLAINTEXT, RSA, algorithms=every),
        jwe.encrypt_compact(
            {"alg": "dir", "enc": "A128GCM", **kid}, PLAINTEXT, OctKey.import_key(b"k" * 16), algorithms=every
        ),
        jwe.encrypt_compact(
            {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 1000, **kid},
            PLAINTEXT,
            OctKey.import_key(b"password"),
            algorithms=every,
        ),
        jwe.encrypt_compact(
            {"alg": "ECDH-ES+A128KW", "enc": "A128GCM", **kid}, PLAINTEXT, recipient(), algorithms=every
        ),
        jwe.encrypt_compact(
            {"alg": "ECDH-ES", "enc": "A128CBC-HS256", **kid}, PLAINTEXT, recipient(), algorithms=every
        ),
        jwe.encrypt_compact(
            {"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF", **kid}, PLAINTEXT, recipient(), algorithms=every
        ),
    ]
    for compact in compacts:
        with pytest.raises(JweNotAllowed):
            decrypt(compact, [KEY])


EPK = json.loads(decode_base64url(encrypt(PLAINTEXT, KEY.public, "A128GCM").split(".")[0]))["epk"]
P384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": ...},
        {"alg": ["ECDH-ES"]},
        {"enc": ...},
        {"enc": None},
        {"kid": ...},
        {"epk": ...},
        {"epk": "x"},
        {"epk": {**EPK, "d": "AA"}},
        {"epk": {**EPK, "crv": "P-384"}},
        {"epk": {**EPK, "kid": "x"}},
        {"epk": {**EPK, "y": EPK["x"]}},
        {"epk": {**EPK, "x": "!" * 43}},
        {"epk": ECKey.import_key(P384).as_dict(private=False)},
        {"epk": OKPKey.generate_key("X25519").as_dict(private=False)},
        {"crit": ["exp"]},
        {"b64": False},
        {"jku": "https://attacker.example/keys"},
        {"jwk": EPK},
        {"x5c": ["AA"]},
        {"p2c": 2_000_000_000},
        {"p2s": "AA"},
        {"zip": "DEF"},
        {"typ": "at+jwt"},
        {"cty": "JWT"},
        {"apu": 1},
        {"apv": "A" * 257},
    ],
)
def test_38_a_header_that_says_what_it_may_not(changes: dict[str, Any]) -> None:
    with pytest.raises(JweNotAllowed):
        decrypt(with_header(**changes), [KEY])


def test_the_key_that_is_named_must_be_the_requests() -> None:
    for kid in ("", "another", KEY.public.kid + "x"):
        with pytest.raises(JweKeyMismatch):
            decrypt(with_header(kid=kid), [KEY])


def test_what_is_no_jwe_is_refused() -> None:
    good = encrypt(PLAINTEXT, KEY.public, "A128GCM")
    header, _, iv, ciphertext, tag = good.split(".")
    cases = [
        ("", BadJwe),
        ("a.b.c", BadJwe),
        (good + ".x", BadJwe),
        (f"{header}.AA.{iv}.{ciphertext}.{tag}", BadJwe),
        (f"{header}..AA.{ciphertext}.{tag}", BadJwe),
        (f"{header}..{iv}.{ciphertext}.AA", BadJwe),
        (f"{header}..{iv}.{ciphertext}.", BadJwe),
        (f"{header}=..{iv}.{ciphertext}.{tag}", BadBase64),
        (f"{header}..{iv}.{ciphertext}.{tag}=", BadBase64),
        (f"{header}..{iv}.{ciphertext[:-1]} .{tag}", BadBase64),
        (f"AA..{iv}.{ciphertext}.{tag}", BadJson),
        (f"{encode_base64url(b'[]')}..{iv}.{ciphertext}.{tag}", BadJson),
        (f"{encode_base64url(TWICE)}..{iv}.{ciphertext}.{tag}", JsonDuplicateKey),
        (f"{'A' * 1025}..{iv}.{ciphertext}.{tag}", TooLarge),
        (f"{header}..{iv}.{'A' * 65_536}.{tag}", TooLarge),
    ]
    for compact, error in cases:
        with pytest.raises(error):
            decrypt(compact, [KEY])


def test_an_ephemeral_key_that_is_not_the_senders_does_not_decrypt() -> None:
    other = json.loads(decode_base64url(encrypt(b"x", KEY.public, "A128GCM").split(".")[0]))["epk"]
    with pytest.raises(NotDecrypted):
        decrypt(with_header(epk=other), [KEY])


@settings(max_examples=150)
@given(place=st.integers(0, 10_000), replacement=st.characters(codec="utf-8"))
def test_one_altered_character_is_noticed(place: int, replacement: str) -> None:
    compact = encrypt(PLAINTEXT, KEY.public, "A256GCM")
    place %= len(compact)
    if compact[place] == replacement:
        return
    with pytest.raises(IdentityError):
        decrypt(compact[:place] + replacement + compact[place + 1 :], [KEY])


@settings(max_examples=100)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6), st.dictionaries(st.text(), st.text(), max_size=4))
def test_hostile_text_raises_only_our_errors(parts: list[str], header: dict[str, str]) -> None:
    for compact in (".".join(parts), ".".join([encode_base64url(encode_json(header)), *parts[1:]])):
        with pytest.raises(IdentityError):
            decrypt(compact, [KEY])
