"""Key proofs of OpenID4VCI: each way to be wrong is refused by an error of its own, and nothing else escapes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import errors
from identity.did import did_jwk, did_key
from identity.encoding import encode_base64url, encode_json
from identity.errors import IdentityError
from identity.jws import sign_jws
from identity.key_proof import PROOF_TYP, make_key_proof, verify_key_proof, verify_key_proofs
from identity.keys import SigningKey

ISSUER = "https://credence.example/v1/issuers/ten_1"
NOW_MS = 1_790_000_000_000
NOW_S = NOW_MS // 1000
KEY = SigningKey.generate()
OTHER = SigningKey.generate("EdDSA")
CLAIMS = {"aud": ISSUER, "iat": NOW_S, "nonce": "n"}


def proof(key=KEY, header=None, **claims):
    """A proof with members of its payload changed, or left out where None."""
    payload = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return sign_jws({"typ": PROOF_TYP, "jwk": key.public.jwk} if header is None else header, encode_json(payload), key)


def verify(compact):
    return verify_key_proof(compact, credential_issuer=ISSUER, now_ms=NOW_MS)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_proof_of_ours_proves_its_key(algorithm):
    key = SigningKey.generate(algorithm)
    made = make_key_proof(key=key, credential_issuer=ISSUER, nonce="n", now_ms=NOW_MS)
    verified = verify(made)
    assert (verified.key, verified.nonce) == (key.public, "n")


@pytest.mark.parametrize("did", [did_jwk(KEY.public), did_key(KEY.public)])
def test_a_kid_is_a_key_of_a_did_that_is_its_own_document(did):
    fragment = "0" if did.startswith("did:jwk") else did.removeprefix("did:key:")
    assert verify(proof(header={"typ": PROOF_TYP, "kid": f"{did}#{fragment}"})).key == KEY.public


def test_a_batch_proves_as_many_keys_under_one_nonce():
    nonce, keys = verify_key_proofs([proof(), proof(OTHER)], credential_issuer=ISSUER, now_ms=NOW_MS)
    assert (nonce, keys) == ("n", (KEY.public, OTHER.public))


JWK = {"typ": PROOF_TYP, "jwk": KEY.public.jwk}
REFUSED = {
    "another typ": (proof(header=JWK | {"typ": "kb+jwt"}), errors.WrongTyp),
    "no typ": (proof(header={"jwk": KEY.public.jwk}), errors.WrongTyp),
    "jwk and kid": (proof(header=JWK | {"kid": KEY.kid}), errors.KeyProofKeyAmbiguous),
    "no key": (proof(header={"typ": PROOF_TYP}), errors.KeyProofKeyAmbiguous),
    "x5c": (proof(header=JWK | {"x5c": ["a"]}), errors.KeySourceNotAllowed),
    "jku": (proof(header=JWK | {"jku": "https://a.example"}), errors.KeySourceNotAllowed),
    "crit": (proof(header=JWK | {"crit": ["b64"]}), errors.UnsupportedCrit),
    "a key attestation": (proof(header=JWK | {"key_attestation": "a.b.c"}), errors.HeaderNotAllowed),
    "a trust chain": (proof(header=JWK | {"trust_chain": []}), errors.HeaderNotAllowed),
    "a jwk that is none": (proof(header=JWK | {"jwk": "a"}), errors.HeaderNotAllowed),
    "a jwk of another curve": (proof(header=JWK | {"jwk": KEY.public.jwk | {"crv": "P-384"}}), errors.BadKey),
    "a private jwk": (proof(header=JWK | {"jwk": KEY.to_private_jwk()}), errors.PrivateKeyInJwk),
    "a kid that is no DID URL": (proof(header={"typ": PROOF_TYP, "kid": "key-1"}), errors.BadKid),
    "a kid of did:web": (proof(header={"typ": PROOF_TYP, "kid": "did:web:a.example#k"}), errors.BadDid),
    "a kid of no method": (proof(header={"typ": PROOF_TYP, "kid": did_jwk(KEY.public) + "#1"}), errors.UnknownKid),
    "another key": (proof(OTHER, header=JWK), errors.AlgKeyMismatch),
    "another key of the algorithm": (proof(SigningKey.generate(), header=JWK), errors.BadSignature),
    "an issuer": (proof(iss="wallet"), errors.KeyProofIssuerNotAllowed),
    "another audience": (proof(aud="https://other.example"), errors.KeyProofAudienceMismatch),
    "another tenant's audience": (proof(aud=ISSUER.replace("ten_1", "ten_2")), errors.KeyProofAudienceMismatch),
    "several audiences": (proof(aud=[ISSUER]), errors.KeyProofAudienceMismatch),
    "no audience": (proof(aud=None), errors.KeyProofAudienceMismatch),
    "no time": (proof(iat=None), errors.BadTime),
    "a time that is text": (proof(iat="now"), errors.BadTime),
    "an old time": (proof(iat=NOW_S - 361), errors.KeyProofStale),
    "a future time": (proof(iat=NOW_S + 61), errors.IssuedInFuture),
    "an expiry that is past": (proof(exp=NOW_S - 60), errors.Expired),
    "no nonce": (proof(nonce=None), errors.KeyProofNonceMissing),
    "an empty nonce": (proof(nonce=""), errors.KeyProofNonceMissing),
    "a nonce that is a number": (proof(nonce=1), errors.KeyProofNonceMissing),
    "what is no JWS": ("a.b", errors.BadJws),
    "what is too long": ("a" * 8_193, errors.TooLarge),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_proof_is_refused_for(case):
    compact, error = REFUSED[case]
    with pytest.raises(IdentityError) as refused:
        verify(compact)
    assert type(refused.value) is error


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "ES384", "ES256K"])
def test_an_algorithm_that_is_not_listed_is_refused(alg):
    header = encode_base64url(json.dumps(JWK | {"alg": alg}).encode())
    with pytest.raises(errors.AlgNotAllowed):
        verify(header + proof()[proof().index(".") :])


def test_one_key_twice_in_a_request_is_refused():
    with pytest.raises(errors.HolderKeyRepeated):
        verify_key_proofs([proof(), proof(iat=NOW_S - 1)], credential_issuer=ISSUER, now_ms=NOW_MS)


def test_two_nonces_in_a_request_are_refused():
    with pytest.raises(errors.KeyProofNoncesDiffer):
        verify_key_proofs([proof(), proof(OTHER, nonce="m")], credential_issuer=ISSUER, now_ms=NOW_MS)


@given(st.data())
def test_one_changed_character_is_never_accepted(data):
    compact = proof()
    place = data.draw(st.integers(0, len(compact) - 1))
    character = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = compact[:place] + character + compact[place + 1 :]
    if changed != compact:
        with pytest.raises(IdentityError):
            verify(changed)


@given(st.text() | st.binary().map(lambda raw: f"{encode_base64url(raw)}.{encode_base64url(raw)}."))
def test_only_our_errors_escape(compact):
    with pytest.raises(IdentityError):
        verify(compact)
