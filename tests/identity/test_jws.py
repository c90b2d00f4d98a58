"""JWS: RFC and Wycheproof vectors, then round trips, then the headers to refuse."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import encode_base64url, encode_json
from identity.errors import (
    AlgKeyMismatch,
    AlgNotAllowed,
    BadJws,
    BadKid,
    BadSignature,
    BadSignatureEncoding,
    HeaderNotAllowed,
    IdentityError,
    KeySourceNotAllowed,
    TooLarge,
    UnsupportedCrit,
    WrongTyp,
)
from identity.jws import MAX_JWS_CHARS, parse_jws, sign_jws, verify_jws
from identity.keys import SigningKey, parse_public_jwk

VECTORS = Path(os.environ.get("CREDENCE_TEST_DATA", "")) / "vectors/wycheproof/testvectors_v1"
needs_vectors = pytest.mark.skipif("CREDENCE_TEST_DATA" not in os.environ, reason="CREDENCE_TEST_DATA is not set")

ES256_KEY = SigningKey.generate("ES256")
EDDSA_KEY = SigningKey.generate("EdDSA")


def jws_with(header: Any, payload: bytes = b"{}", key: SigningKey = ES256_KEY) -> str:
    """A JWS with exactly this header, correctly signed."""
    text = header if isinstance(header, bytes) else encode_json(header)
    signing_input = encode_base64url(text) + "." + encode_base64url(payload)
    return signing_input + "." + encode_base64url(key.sign(signing_input.encode()))


def test_es256_example_of_rfc_7515_appendix_a_3() -> None:
    key = parse_public_jwk(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    )
    jws = (
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290"
        "Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    payload = verify_jws(parse_jws(jws), key, typ=None)
    assert json.loads(payload) == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}


def test_eddsa_example_of_rfc_8037_appendix_a_4() -> None:
    key = SigningKey.from_private_jwk(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    )
    jws = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    assert verify_jws(parse_jws(jws), key.public, typ=None) == b"Example of Ed25519 signing"
    assert sign_jws({}, b"Example of Ed25519 signing", key) == jws


def test_eddsa_goes_by_its_fully_specified_name_too() -> None:
    """RFC 9864, section 2.2: `Ed25519` is what wallets are told that we take."""
    jws = jws_with({"alg": "Ed25519"}, b"{}", EDDSA_KEY)
    assert verify_jws(parse_jws(jws), EDDSA_KEY.public, typ=None) == b"{}"
    with pytest.raises(AlgKeyMismatch):
        verify_jws(parse_jws(jws_with({"alg": "Ed25519"})), ES256_KEY.public, typ=None)


@needs_vectors
def test_wycheproof_jws() -> None:
    """The two valid ES256 ones verify; every invalid one, and every algorithm that we do not have, is refused."""
    document = json.loads((VECTORS / "json_web_signature_test.json").read_bytes())
    accepted, refused = [], 0
    for group in document["testGroups"]:
        jwk = {name: value for name, value in group.get("public", group["private"]).items() if name != "d"}
        for case in group["tests"]:
            try:
                parsed = parse_jws(case["jws"])
                verify_jws(parsed, parse_public_jwk(jwk), typ=parsed.typ)
                accepted.append((group["comment"], case["comment"], case["result"]))
            except IdentityError:
                refused += 1
                assert case["result"] == "invalid" or jwk.get("alg") != "ES256", case
    assert {result for _, _, result in accepted} == {"valid"}
    assert (len(accepted), refused) == (2, 399)


@pytest.mark.parametrize("key", [ES256_KEY, EDDSA_KEY], ids=lambda key: key.alg)
@given(payload=st.binary(max_size=200))
def test_round_trip(key: SigningKey, payload: bytes) -> None:
    parsed = parse_jws(sign_jws({"typ": "x+jwt", "kid": key.kid}, payload, key))
    assert parsed.header == {"alg": key.alg, "typ": "x+jwt", "kid": key.kid}
    assert verify_jws(parsed, key.public, typ="x+jwt") == payload


SIGNED = sign_jws({"typ": "x+jwt", "kid": "#0"}, b'{"a":1}', ES256_KEY)


@given(place=st.integers(0, len(SIGNED) - 1), character=st.characters(codec="utf-8"))
def test_one_altered_character_is_refused(place: int, character: str) -> None:
    altered = SIGNED[:place] + character + SIGNED[place + 1 :]
    if altered == SIGNED:
        return
    with pytest.raises(IdentityError):
        verify_jws(parse_jws(altered), ES256_KEY.public, typ="x+jwt")


@given(
    st.text(st.characters(codec=None))
    | st.lists(st.binary(), min_size=3, max_size=3).map(lambda parts: ".".join(map(encode_base64url, parts)))
)
def test_hostile_jws_raises_only_our_errors(text: str) -> None:
    with pytest.raises(IdentityError):
        parse_jws(text)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, 1, ["ES256"]])
def test_input_01_alg_none_is_refused(alg: Any) -> None:
    with pytest.raises(AlgNotAllowed):
        parse_jws(jws_with({"alg": alg}))
    with pytest.raises(AlgNotAllowed):
        parse_jws(encode_base64url(encode_json({"alg": alg})) + ".e30.")


def test_input_01_missing_alg_is_refused() -> None:
    with pytest.raises(AlgNotAllowed):
        parse_jws(jws_with({"typ": "x"}))


@pytest.mark.parametrize(
    "alg", ["HS256", "HS384", "HS512", "RS256", "PS256", "ES384", "ES256K", "es256", "Ed448", "ed25519"]
)
def test_input_02_hmac_and_every_other_algorithm_is_refused(alg: str) -> None:
    with pytest.raises(AlgNotAllowed):
        parse_jws(jws_with({"alg": alg}))


def test_input_03_alg_of_another_key_type_is_refused() -> None:
    with pytest.raises(AlgKeyMismatch):
        verify_jws(parse_jws(jws_with({"alg": "EdDSA"})), ES256_KEY.public, typ=None)
    with pytest.raises(AlgKeyMismatch):
        verify_jws(parse_jws(jws_with({"alg": "ES256"}, key=EDDSA_KEY)), EDDSA_KEY.public, typ=None)


def test_input_04_signature_of_another_length_is_refused() -> None:
    head, _, _ = SIGNED.rpartition(".")
    signature = parse_jws(SIGNED).signature
    for altered in (b"", signature[:-1], signature + b"\0", signature * 2):
        with pytest.raises(BadSignatureEncoding):
            verify_jws(parse_jws(f"{head}.{encode_base64url(altered)}"), ES256_KEY.public, typ="x+jwt")


def test_another_keys_signature_is_refused() -> None:
    with pytest.raises(BadSignature):
        verify_jws(parse_jws(SIGNED), SigningKey.generate().public, typ="x+jwt")


@pytest.mark.parametrize(
    "extension", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False}, {"b64": True}], ids=str
)
def test_input_06_crit_and_b64_are_refused(extension: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedCrit):
        parse_jws(jws_with({"alg": "ES256", **extension}))


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"])
def test_input_07_a_key_source_in_the_header_is_refused(name: str) -> None:
    value = ES256_KEY.public.jwk if name == "jwk" else "https://example.com/keys"
    with pytest.raises(KeySourceNotAllowed):
        parse_jws(jws_with({"alg": "ES256", name: value}))


@pytest.mark.parametrize("name", ["cty", "zip", "enc", "nonce", "vctm", "trust_chain", "ALG"])
def test_any_other_header_parameter_is_refused(name: str) -> None:
    with pytest.raises(HeaderNotAllowed):
        parse_jws(jws_with({"alg": "ES256", name: "x"}))


@pytest.mark.parametrize("typ", [None, 1, {}, ["dc+sd-jwt"]])
def test_a_typ_that_is_no_string_is_refused(typ: Any) -> None:
    with pytest.raises(HeaderNotAllowed):
        parse_jws(jws_with({"alg": "ES256", "typ": typ}))


@pytest.mark.parametrize(
    "kid",
    [
        "../../etc/passwd",
        "a\0b",
        "' OR 1=1 --",
        "http://example.com/key",
        "",
        "a" * 2049,
        "a b",
        "%2e%2e",
        "did:web:a.example%3a8443#k",
        "did:web:a.example%2F..%2Fk#k",
        "did:web:a.example%00#k",
        "did:web:a.example%",
        "did:web:a.example/../k#k",
        "%3A" * 683,
        "a\n",
        "ключ",
        42,
        None,
    ],
    ids=ascii,
)
def test_input_08_a_hostile_kid_is_refused(kid: Any) -> None:
    with pytest.raises(BadKid):
        parse_jws(jws_with({"alg": "ES256", "kid": kid}))


@pytest.mark.parametrize(
    "kid", ["#0", "did:web:issuer.example:a_b#key-1", "did:web:localhost%3A8443#key-1", "a" * 2048]
)
def test_a_kid_may_be_any_did_url_that_can_be_resolved(kid: str) -> None:
    assert parse_jws(jws_with({"alg": "ES256", "kid": kid})).kid == kid


@pytest.mark.parametrize("typ", ["kb+jwt", "X+JWT", "application/x+jwt", "x+jwt ", None])
def test_input_15_another_typ_is_refused(typ: str | None) -> None:
    header = {"alg": "ES256"} if typ is None else {"alg": "ES256", "typ": typ}
    with pytest.raises(WrongTyp):
        verify_jws(parse_jws(jws_with(header)), ES256_KEY.public, typ="x+jwt")


def test_input_15_a_typ_where_none_is_expected_is_refused() -> None:
    with pytest.raises(WrongTyp):
        verify_jws(parse_jws(SIGNED), ES256_KEY.public, typ=None)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d", SIGNED + ".", "." + SIGNED, "é.e30.AA", "*.e30.AA"])
def test_what_is_no_compact_jws_is_refused(text: str) -> None:
    with pytest.raises(IdentityError):
        parse_jws(text)
    if text.count(".") != 2:
        with pytest.raises(BadJws):
            parse_jws(text)


def test_input_14_a_huge_jws_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        parse_jws("a" * (MAX_JWS_CHARS + 1))
    with pytest.raises(TooLarge):
        parse_jws(SIGNED, max_chars=len(SIGNED) - 1)
