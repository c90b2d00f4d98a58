"""did:key and did:jwk: published vectors, then round trips, then the DIDs and key ids to refuse."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import _decode_base58, did_jwk, did_key, resolve_did, resolve_verification_key
from identity.encoding import encode_base64url, encode_json
from identity.errors import BadDid, BadKid, IdentityError, IssuerKeyMismatch, PrivateKeyInJwk, UnknownKid
from identity.keys import Algorithm, SigningKey, ed25519_public_key, p256_public_key, parse_public_jwk

VECTORS = Path(os.environ.get("CREDENCE_TEST_DATA", "")) / "vectors/did-key/test-vectors"
needs_vectors = pytest.mark.skipif("CREDENCE_TEST_DATA" not in os.environ, reason="CREDENCE_TEST_DATA is not set")
KEY = SigningKey.generate()


def did_key_vectors(file: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / file).read_bytes())
    return document


@needs_vectors
def test_did_key_vectors_of_p256() -> None:
    ran = 0
    for did, vector in did_key_vectors("nist-curves.json").items():
        method = vector["didDocument"]["verificationMethod"][0]
        if not did.startswith("did:key:zDn"):  # P-384 and P-521
            with pytest.raises(BadDid):
                resolve_did(did)
            continue
        if "publicKeyJwk" in method:
            key = parse_public_jwk(method["publicKeyJwk"])
        else:
            key = p256_public_key(_decode_base58(method["publicKeyBase58"]))
        assert dict(resolve_did(did).verification_methods) == {method["id"]: key}
        assert did_key(key) == did
        ran += 1
    assert ran == 3


@needs_vectors
def test_did_key_vectors_of_ed25519() -> None:
    vectors = did_key_vectors("ed25519-x25519.json")
    for did, vector in vectors.items():
        method = vector["didDocument"]["verificationMethod"][0]
        if "publicKeyJwk" in method:
            key = parse_public_jwk(method["publicKeyJwk"])
        else:
            key = ed25519_public_key(_decode_base58(method["publicKeyBase58"]))
        assert dict(resolve_did(did).verification_methods) == {method["id"]: key}
        assert did_key(key) == did
    assert len(vectors) == 5


@needs_vectors
@pytest.mark.parametrize("file", ["secp256k1.json", "bls12381.json", "rsa.json", "x25519.json"])
def test_input_50_did_keys_of_other_codecs_are_refused(file: str) -> None:
    vectors = did_key_vectors(file)
    assert vectors
    for did in vectors:
        with pytest.raises(BadDid):
            resolve_did(did)


def test_did_jwk_example_of_its_specification() -> None:
    jwk = {
        "crv": "P-256",
        "kty": "EC",
        "x": "acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0",
        "y": "_KcyLj9vWMptnmKtm46GqDz8wf74I5LKgrl2GzH3nSE",
    }
    did = (
        "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAi"
        "LCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9"
    )
    assert dict(resolve_did(did).verification_methods) == {did + "#0": parse_public_jwk(jwk)}


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
@pytest.mark.parametrize("make_did", [did_key, did_jwk])
def test_round_trip(alg: Algorithm, make_did: Any) -> None:
    key = SigningKey.generate(alg)
    did = make_did(key.public)
    assert list(resolve_did(did).verification_methods.values()) == [key.public]
    assert resolve_verification_key(did=did, kid=None) == key.public


def test_a_signing_key_is_known_by_its_did_jwk() -> None:
    assert KEY.did == did_jwk(KEY.public)
    assert resolve_verification_key(did=KEY.did, kid=KEY.kid) == KEY.public
    assert resolve_verification_key(did=KEY.did, kid="#0") == KEY.public


DID_KEY = did_key(KEY.public)


@given(
    st.text(st.characters(codec=None)).flatmap(
        lambda text: st.sampled_from([text, "did:key:z" + text, "did:jwk:" + text, DID_KEY + text, KEY.did + text])
    )
)
def test_hostile_dids_raise_only_our_errors(did: str) -> None:
    if did in (DID_KEY, KEY.did):
        return
    with pytest.raises(IdentityError):
        resolve_did(did)


@given(place=st.integers(9, len(DID_KEY) - 1), character=st.characters(codec="utf-8"))
def test_an_altered_did_key_never_resolves_to_the_same_key(place: int, character: str) -> None:
    altered = DID_KEY[:place] + character + DID_KEY[place + 1 :]
    if altered == DID_KEY:
        return
    try:
        methods = resolve_did(altered).verification_methods
    except IdentityError:
        return
    assert KEY.public not in methods.values()


def test_input_50_a_long_did_key_is_refused_before_it_is_decoded() -> None:
    started = time.perf_counter()
    for did in (DID_KEY + "1" * 100, "did:key:z6Mk" + "z" * 400_000):
        with pytest.raises(BadDid):
            resolve_did(did)
    assert time.perf_counter() - started < 2  # decoding the second takes ten seconds and more


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:key:",
        "did:key:z",
        "did:key:z1" + DID_KEY.removeprefix("did:key:z"),
        "did:key:m" + encode_base64url(b"\xed\x01" + b"\1" * 32),
        "did:key:z6Mk0OIl",
        "did:web:example.com",
        "did:ion:EiA",
        "did:jwk:",
        "did:jwk:e30",
        "did:jwk:" + encode_base64url(b"[]"),
        "did:jwk:" + encode_base64url(b'{"kty":"EC","kty":"EC"}'),
        KEY.did + "=",
        KEY.did + "#0",
        DID_KEY + "?service=x",
        "DID:KEY:" + DID_KEY.removeprefix("did:key:"),
    ],
)
def test_input_50_malformed_or_unknown_dids_are_refused(did: str) -> None:
    with pytest.raises(BadDid):
        resolve_did(did)


def test_input_16_a_did_jwk_with_a_private_key_is_refused() -> None:
    with pytest.raises(PrivateKeyInJwk):
        resolve_did("did:jwk:" + encode_base64url(encode_json(KEY.to_private_jwk())))


@pytest.mark.parametrize("kid", ["key-1", "#", "0", "", "http:example", "issuer#0", "jwk:abc#0"])
def test_input_08_a_kid_that_is_no_did_url_is_refused(kid: str) -> None:
    with pytest.raises(BadKid):
        resolve_verification_key(did=KEY.did, kid=kid)


def test_input_09_the_kid_of_another_did_is_refused() -> None:
    other = SigningKey.generate()
    for kid in (other.kid, DID_KEY + "#0", KEY.did[:-1] + "#0", KEY.did.upper().replace("DID:", "did:") + "#0"):
        with pytest.raises(IssuerKeyMismatch):
            resolve_verification_key(did=KEY.did, kid=kid)


@pytest.mark.parametrize("fragment", ["1", "00", "key-1", "0#0"])
def test_a_method_that_the_did_lacks_is_refused(fragment: str) -> None:
    with pytest.raises(UnknownKid):
        resolve_verification_key(did=KEY.did, kid=f"{KEY.did}#{fragment}")
