import hashlib
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.errors import BadSignature, CannotIssue, Expired, IdentityError, IssuerNotTrusted, VctNotAsked
from identity.keys import SigningKey
from identity.score_credential import IssuedScore, issue_score_credential, verify_score_credential
from identity.sd_jwt import issuer_jwt_of, select_disclosures
from identity.status_list import StatusReference

SCORE = {
    "outcome": "scored",
    "points": 612,
    "pd_ppm": 81_000,
    "band": "C",
    "reasons": ["R01", "R07"],
    "test_mode": True,
}
STATUS = StatusReference(uri="https://credence.example/v1/status-lists/1", index=90_210)


def issue(scene: Any, **changes: Any) -> IssuedScore:
    arguments = {
        "score": SCORE,
        "holder": scene.holder.public,
        "subject": "s-5f2b",
        "status": STATUS,
        "issued_at_ms": scene.now_ms,
        "valid_until_ms": scene.now_ms + 86_400_000,
        "key": scene.verifier_key,
    }
    return issue_score_credential(**{**arguments, **changes})


def verify(scene: Any, sd_jwt: str, **changes: Any) -> Any:
    arguments = {"trusted_issuers": {scene.verifier_key.did}, "now_ms": scene.now_ms}
    return verify_score_credential(sd_jwt, **{**arguments, **changes})


def test_a_score_is_issued_and_verified(scene: Any) -> None:
    issued = issue(scene)
    verified = verify(scene, issued.sd_jwt)
    assert {name: verified.claims[name] for name in SCORE} == SCORE
    assert verified.claims["sub"] == "s-5f2b"
    assert (verified.status, verified.holder) == (STATUS, scene.holder.public)
    assert verified.expires_at_ms == scene.now_ms + 86_400_000
    assert issued.issuer_jwt_sha256 == hashlib.sha256(issued.issuer_jwt.encode()).digest()


def test_any_part_of_a_score_keeps_the_digest_that_is_logged(scene: Any) -> None:
    issued = issue(scene)
    for names in itertools.chain.from_iterable(itertools.combinations(SCORE, size) for size in range(len(SCORE) + 1)):
        part = select_disclosures(issued.sd_jwt, names)
        verified = verify(scene, part)
        assert set(verified.disclosed) == set(names)
        assert SCORE.keys() & verified.claims.keys() == set(names)
        assert hashlib.sha256(issuer_jwt_of(part).encode()).digest() == issued.issuer_jwt_sha256


def test_nothing_of_the_score_stands_in_the_signed_payload(scene: Any) -> None:
    issued = issue(scene)
    assert verify(scene, issued.issuer_jwt + "~").claims.keys() == {"iss", "iat", "exp", "vct", "sub", "cnf", "status"}


@pytest.mark.parametrize(
    "score",
    [
        {},
        {"pd": 0.081},
        {"privacy": {"epsilon": 1.0}},
        {"reasons": ["R01", 2.5]},
        {"exp": 1},
        {"sub": "x"},
        {"vct": "x"},
        {"_sd": []},
        {"...": 1},
        {"x": float("nan")},
        {"x": object()},
    ],
)
def test_a_score_that_cannot_be_written_in_one_way_is_not_issued(scene: Any, score: dict[str, Any]) -> None:
    with pytest.raises(CannotIssue):
        issue(scene, score=score)


def test_a_score_of_an_issuer_that_the_reader_does_not_trust(scene: Any) -> None:
    other = SigningKey.generate()
    with pytest.raises(IssuerNotTrusted):
        verify(scene, issue(scene, key=other).sd_jwt)
    with pytest.raises(IssuerNotTrusted):
        verify(scene, issue(scene).sd_jwt, trusted_issuers=())


def test_a_credential_of_a_trusted_issuer_is_not_a_score_for_that(scene: Any) -> None:
    with pytest.raises(VctNotAsked):
        verify(scene, scene.credential(key=scene.verifier_key))


def test_an_old_score_is_refused_now_and_still_verifies_for_an_auditor(scene: Any) -> None:
    issued = issue(scene)
    later_ms = scene.now_ms + 2 * 86_400_000
    with pytest.raises(Expired):
        verify(scene, issued.sd_jwt, now_ms=later_ms)
    assert verify(scene, issued.sd_jwt, now_ms=None).claims["points"] == 612


def test_a_score_signed_by_another_in_our_name(scene: Any) -> None:
    forged = replace(SigningKey.generate(), public=scene.verifier_key.public)  # says our DID, signs with its own key
    with pytest.raises(BadSignature):
        verify(scene, issue(scene, key=forged).sd_jwt)


@settings(max_examples=200)
@given(place=st.integers(0, 100_000), replacement=st.sampled_from("ABab01-_~.="))
def test_one_altered_character_is_noticed(scene: Any, place: int, replacement: str) -> None:
    sd_jwt = issue(scene).sd_jwt
    place %= len(sd_jwt)
    if sd_jwt[place] == replacement:
        return
    with pytest.raises(IdentityError):
        verify(scene, sd_jwt[:place] + replacement + sd_jwt[place + 1 :], now_ms=None)
