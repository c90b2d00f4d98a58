"""Keys: RFC 8037 and Wycheproof vectors, then round trips, then the keys and signatures to refuse."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import decode_base64url, encode_base64url
from identity.errors import BadKey, BadSignature, BadSignatureEncoding, IdentityError, PrivateKeyInJwk
from identity.keys import Algorithm, PublicKey, SigningKey, ed25519_public_key, p256_public_key, parse_public_jwk

VECTORS = Path(os.environ.get("CREDENCE_TEST_DATA", "")) / "vectors/wycheproof/testvectors_v1"
needs_vectors = pytest.mark.skipif("CREDENCE_TEST_DATA" not in os.environ, reason="CREDENCE_TEST_DATA is not set")

ED25519_P = 2**255 - 19
ES256_KEY = SigningKey.generate("ES256")
EDDSA_KEY = SigningKey.generate("EdDSA")


def test_ed25519_key_and_thumbprint_of_rfc_8037_appendix_a() -> None:
    key = SigningKey.from_private_jwk(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    )
    assert key.public.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def wycheproof(file: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / file).read_bytes())
    return document


def accepts(key: PublicKey, signature: str, message: str) -> bool:
    try:
        key.verify(bytes.fromhex(signature), bytes.fromhex(message))
    except IdentityError:
        return False
    return True


@needs_vectors
def test_input_05_wycheproof_p256_signatures() -> None:
    document = wycheproof("ecdsa_secp256r1_sha256_p1363_test.json")
    ran = 0
    for group in document["testGroups"]:
        key = p256_public_key(bytes.fromhex(group["publicKey"]["uncompressed"]))
        for case in group["tests"]:
            assert accepts(key, case["sig"], case["msg"]) is (case["result"] == "valid"), case
            ran += 1
    assert ran == document["numberOfTests"] == 262


@needs_vectors
def test_input_05_wycheproof_ed25519_signatures() -> None:
    document = wycheproof("ed25519_test.json")
    ran = 0
    for group in document["testGroups"]:
        key = ed25519_public_key(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            assert accepts(key, case["sig"], case["msg"]) is (case["result"] == "valid"), case
            ran += 1
    assert ran == document["numberOfTests"] == 151


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_jwk_round_trips(alg: Algorithm) -> None:
    key = SigningKey.generate(alg)
    assert parse_public_jwk(key.public.jwk) == key.public
    again = SigningKey.from_private_jwk(key.to_private_jwk())
    assert again == key
    assert again.did == key.did
    key.public.verify(again.sign(b"data"), b"data")
    assert len(key.sign(b"data")) == 64


def test_a_jwk_may_name_its_algorithm() -> None:
    assert parse_public_jwk({**ES256_KEY.public.jwk, "alg": "ES256"}) == ES256_KEY.public
    for name in ("EdDSA", "Ed25519"):
        assert parse_public_jwk({**EDDSA_KEY.public.jwk, "alg": name}) == EDDSA_KEY.public


def test_keys_do_not_show_their_secret() -> None:
    for key in (ES256_KEY, EDDSA_KEY):
        secret = key.to_private_jwk()["d"]
        assert isinstance(secret, str)
        assert secret not in repr(key)
        assert decode_base64url(secret).hex() not in repr(key)


@pytest.mark.parametrize("key", [ES256_KEY, EDDSA_KEY], ids=lambda key: key.alg)
@given(place=st.integers(0, 63), flip=st.integers(1, 255))
def test_a_signature_with_one_altered_byte_is_refused(key: SigningKey, place: int, flip: int) -> None:
    signature = bytearray(key.sign(b"data"))
    signature[place] ^= flip
    with pytest.raises(BadSignature):
        key.public.verify(bytes(signature), b"data")


def test_input_04_der_or_other_lengths_are_refused() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    key = p256_public_key(b"\x04" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32))
    der = private.sign(b"data", ec.ECDSA(hashes.SHA256()))
    raw = ES256_KEY.sign(b"data")
    for public, signature in ((key, der), (ES256_KEY.public, raw + b"\0"), (ES256_KEY.public, raw[:-1]), (key, b"")):
        with pytest.raises(BadSignatureEncoding):
            public.verify(signature, b"data")
    with pytest.raises(BadSignatureEncoding):
        EDDSA_KEY.public.verify(EDDSA_KEY.sign(b"data") + b"\0", b"data")


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (2**256 - 1, 1)])
def test_input_05_zero_or_huge_signature_parts_are_refused(r: int, s: int) -> None:
    with pytest.raises(BadSignature):
        ES256_KEY.public.verify(r.to_bytes(32) + s.to_bytes(32), b"data")


P256_P = 2**256 - 2**224 + 2**192 + 2**96 - 1


@pytest.mark.parametrize(
    "changes",
    [
        {"x": encode_base64url(P256_P.to_bytes(32))},
        {"y": encode_base64url(b"\1" * 32)},
        {"x": encode_base64url(b"\xff" * 32)},
        {"x": encode_base64url(b"\0" * 32), "y": encode_base64url(b"\0" * 32)},
        {"x": encode_base64url(b"\1" * 31)},
        {"x": encode_base64url(b"\1" * 33)},
        {"x": 5},
        {"x": None},
        {"y": "*" * 43},
        {"kty": "RSA"},
        {"kty": "oct"},
        {"kty": None},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"alg": "ES384"},
        {"alg": "none"},
        {"alg": "Ed25519"},
        {"alg": ["ES256"]},
        {"use": "enc"},
        {"key_ops": ["verify", "sign"]},
        {"x5u": "https://example.com/key"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_input_05_a_public_key_off_the_curve_or_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadKey):
        parse_public_jwk({**ES256_KEY.public.jwk, **changes})


@pytest.mark.parametrize("value", [None, [], "key", 1, {}])
def test_what_is_no_jwk_is_refused(value: Any) -> None:
    with pytest.raises(BadKey):
        parse_public_jwk(value)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("key", [ES256_KEY, EDDSA_KEY], ids=lambda key: key.alg)
def test_input_16_private_material_in_a_public_jwk_is_refused(key: SigningKey, member: str) -> None:
    with pytest.raises(PrivateKeyInJwk):
        parse_public_jwk({**key.public.jwk, member: "AAAA"})


def test_a_private_jwk_of_two_keys_is_refused() -> None:
    mixed = {**ES256_KEY.to_private_jwk(), "d": SigningKey.generate().to_private_jwk()["d"]}
    for jwk in (mixed, {**mixed, "d": encode_base64url(b"\0" * 32)}, {**mixed, "d": encode_base64url(b"\xff" * 32)}):
        with pytest.raises(BadKey):
            SigningKey.from_private_jwk(jwk)
    with pytest.raises(BadKey):
        SigningKey.from_private_jwk(ES256_KEY.public.jwk)


def edwards_double(x: int, y: int) -> tuple[int, int]:
    d = -121665 * pow(121666, -1, ED25519_P) % ED25519_P
    product = d * x * x * y * y % ED25519_P
    twice_x = 2 * x * y * pow(1 + product, -1, ED25519_P) % ED25519_P
    twice_y = (y * y + x * x) * pow(1 - product, -1, ED25519_P) % ED25519_P
    return twice_x, twice_y


def edwards_x(y: int) -> int:
    d = -121665 * pow(121666, -1, ED25519_P) % ED25519_P
    square = (y * y - 1) * pow(d * y * y + 1, -1, ED25519_P) % ED25519_P
    x = pow(square, (ED25519_P + 3) // 8, ED25519_P)
    if x * x % ED25519_P != square:
        x = x * pow(2, (ED25519_P - 1) // 4, ED25519_P) % ED25519_P
    assert x * x % ED25519_P == square
    return x


@pytest.mark.parametrize(
    "y",
    [
        0,
        1,
        ED25519_P - 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    ],
)
@pytest.mark.parametrize("sign", [0, 1])
def test_input_05_ed25519_keys_of_small_order_are_refused(y: int, sign: int) -> None:
    point = (edwards_x(y), y)
    for _ in range(3):
        point = edwards_double(*point)
    assert point == (0, 1), "eight times a point of small order is the neutral element"
    with pytest.raises(BadKey):
        ed25519_public_key((y | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("raw", [b"", b"\1" * 31, b"\1" * 33, b"\xff" * 32, ED25519_P.to_bytes(32, "little")], ids=len)
def test_input_05_ed25519_keys_out_of_range_are_refused(raw: bytes) -> None:
    with pytest.raises(BadKey):
        ed25519_public_key(raw)


def test_a_key_can_sign_as_the_method_of_another_did() -> None:
    key = SigningKey.generate()
    assert key.kid == key.did + "#0"
    assert key.did.startswith("did:jwk:")
    for name, kid in (
        ("did:web:issuer.example", f"did:web:issuer.example#{key.public.thumbprint}"),
        ("did:web:issuer.example:bank#key-1", "did:web:issuer.example:bank#key-1"),
    ):
        known = key.known_as(name)
        assert (known.did, known.kid) == (name.partition("#")[0], kid)
        assert known.public == key.public
        key.public.verify(known.sign(b"data"), b"data")
