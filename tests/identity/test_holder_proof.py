"""Proofs of a holder's key: ours to read, for us, fresh, and by the very key that they name."""

import secrets

import pytest

from identity.did import did_key
from identity.encoding import encode_base64url, encode_json
from identity.errors import (
    AlgNotAllowed,
    AudienceMismatch,
    BadDid,
    BadSignature,
    BadTime,
    Expired,
    HolderProofStale,
    IdentityError,
    IssuedInFuture,
    IssuerKeyMismatch,
    IssuerNotTrusted,
    KbInFuture,
    KbStale,
    KeyBindingMissing,
    KeySourceNotAllowed,
    MissingClaim,
    SdHashMismatch,
    TooLarge,
    VctNotAsked,
    WrongTyp,
)
from identity.holder import add_key_binding
from identity.holder_proof import (
    HOLDER_PROOF_TYP,
    HolderProof,
    sign_holder_proof,
    verify_holder_proof,
    verify_score_presentation,
)
from identity.jws import sign_jws
from identity.keys import SigningKey
from identity.score_credential import issue_score_credential
from identity.sd_jwt import issue_sd_jwt, select_disclosures
from identity.status_list import StatusReference

NOW_MS = 1_790_000_000_000
AUDIENCE = "https://credence.example"
KEY = SigningKey.generate()
CLAIMS = {"iss": KEY.did, "aud": AUDIENCE, "nonce": "n", "iat": NOW_MS // 1000}


def signed(changes=(), header=(), key=KEY):
    claims = {name: value for name, value in (CLAIMS | dict(changes)).items() if value is not None}
    return sign_jws({"typ": HOLDER_PROOF_TYP, "kid": key.kid} | dict(header), encode_json(claims), key)


def verify(compact, now_ms=NOW_MS):
    return verify_holder_proof(compact, audience=AUDIENCE, now_ms=now_ms)


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_proof_says_whose_key_signed_which_nonce(alg):
    key = SigningKey.generate(alg)
    compact = sign_holder_proof(audience=AUDIENCE, nonce="n", key=key, now_ms=NOW_MS)
    assert verify(compact) == HolderProof(key=key.public, nonce="n")


def test_a_key_may_be_named_by_its_did_key():
    did = did_key(KEY.public)
    for kid in (f"{did}#{did.removeprefix('did:key:')}", None):
        header = {"typ": HOLDER_PROOF_TYP} | ({} if kid is None else {"kid": kid})
        assert verify(sign_jws(header, encode_json(CLAIMS | {"iss": did}), KEY)).key == KEY.public


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"aud": "https://another.example"}, AudienceMismatch),
        ({"aud": [AUDIENCE]}, AudienceMismatch),
        ({"aud": None}, AudienceMismatch),
        ({"nonce": None}, MissingClaim),
        ({"nonce": 7}, MissingClaim),
        ({"iss": None}, MissingClaim),
        ({"iss": "did:web:example.com"}, BadDid),
        ({"iss": SigningKey.generate().did}, IssuerKeyMismatch),
        ({"iat": None}, MissingClaim),
        ({"iat": "now"}, BadTime),
        ({"iat": True}, BadTime),
        ({"iat": NOW_MS // 1000 - 301}, HolderProofStale),
        ({"iat": NOW_MS // 1000 + 61}, IssuedInFuture),
        ({"exp": NOW_MS // 1000 - 61}, Expired),
    ],
    ids=range(14),
)
def test_a_proof_for_another_at_another_time_or_of_nobody_is_refused(changes, error):
    with pytest.raises(error):
        verify(signed(changes))


@pytest.mark.parametrize(
    "typ", ["JWT", "kb+jwt", "openid4vci-proof+jwt", "oauth-authz-req+jwt", "dc+sd-jwt", "consent-receipt+jwt"]
)
def test_what_was_signed_for_something_else_proves_nothing(typ):
    with pytest.raises(WrongTyp):
        verify(signed(header={"typ": typ}))


def test_another_keys_signature_under_our_name_is_refused():
    other = SigningKey.generate()
    with pytest.raises(BadSignature):
        verify(signed(header={"kid": KEY.kid}, key=other))
    with pytest.raises(IssuerKeyMismatch):
        verify(signed(key=other))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5c"])
def test_a_key_in_the_header_is_refused(name):
    with pytest.raises(KeySourceNotAllowed):
        verify(signed(header={name: KEY.public.jwk}))


def test_a_proof_without_a_signature_is_refused():
    header = encode_base64url(encode_json({"alg": "none", "typ": HOLDER_PROOF_TYP}))
    _, payload, signature = signed().split(".")
    for unsigned in (f"{header}.{payload}.", f"{header}.{payload}.{signature}"):
        with pytest.raises(AlgNotAllowed):
            verify(unsigned)


def test_a_proof_altered_in_any_character_is_refused():
    compact = signed()
    for place in range(len(compact)):
        altered = compact[:place] + ("A" if compact[place] != "A" else "B") + compact[place + 1 :]
        with pytest.raises(IdentityError):
            verify(altered)
    with pytest.raises(TooLarge):
        verify("a" * 8193)


ISSUER = SigningKey.generate()


def score_credential(key=ISSUER, holder=KEY, valid_until_ms=NOW_MS + 86_400_000):
    return issue_score_credential(
        score={"band": "B", "points": 612},
        holder=holder.public,
        subject="sub_1",
        status=StatusReference(uri="https://credence.example/v1/status-lists/1", index=3),
        issued_at_ms=NOW_MS - 1000,
        valid_until_ms=valid_until_ms,
        key=key,
    ).sd_jwt


def bound(sd_jwt, *, nonce="n", audience=AUDIENCE, key=KEY, now_ms=NOW_MS):
    return add_key_binding(sd_jwt, nonce=nonce, audience=audience, key=key, now_ms=now_ms)


def verify_presented(presentation):
    return verify_score_presentation(presentation, audience=AUDIENCE, trusted_issuers={ISSUER.did}, now_ms=NOW_MS)


def test_a_score_credential_proves_its_holders_key_and_need_show_nothing():
    whole = score_credential()
    for presented in (whole, select_disclosures(whole, ["band"]), select_disclosures(whole, [])):
        assert verify_presented(bound(presented)) == HolderProof(key=KEY.public, nonce="n")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (score_credential, KeyBindingMissing),
        (lambda: bound(score_credential(key=SigningKey.generate())), IssuerNotTrusted),
        (lambda: bound(score_credential(), audience="https://another.example"), AudienceMismatch),
        (lambda: bound(score_credential(), key=SigningKey.generate()), BadSignature),
        (lambda: bound(score_credential(), now_ms=NOW_MS - 301_000), KbStale),
        (lambda: bound(score_credential(), now_ms=NOW_MS + 61_000), KbInFuture),
        (lambda: bound(score_credential(valid_until_ms=NOW_MS - 61_000)), Expired),
        (
            lambda: bound(score_credential()).replace("~", "~" + score_credential().split("~")[1] + "~", 1),
            IdentityError,
        ),
        (lambda: bound(score_credential(), nonce=7), MissingClaim),
        (
            lambda: select_disclosures(whole := score_credential(), []) + bound(whole).rpartition("~")[2],
            SdHashMismatch,
        ),
    ],
    ids=range(10),
)
def test_a_score_credential_that_is_not_held_or_not_ours_proves_nothing(make, error):
    with pytest.raises(error):
        verify_presented(make())


def test_another_credential_of_ours_is_no_score():
    other = issue_sd_jwt(
        claims={
            "iss": ISSUER.did,
            "iat": NOW_MS // 1000,
            "vct": "urn:credence:airtime:1",
            "cnf": {"jwk": KEY.public.jwk},
            "topup_n": 3,
        },
        disclosable={"topup_n"},
        key=ISSUER,
        random_bytes=secrets.token_bytes,
    )
    with pytest.raises(VctNotAsked):
        verify_presented(bound(other))
