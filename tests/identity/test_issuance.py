import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.did import resolve_verification_key
from identity.encoding import parse_json_object
from identity.errors import ClaimsDoNotFit
from identity.issuance import issue_credential
from identity.jws import parse_jws
from identity.sd_jwt import verify_sd_jwt
from identity.status_list import StatusReference


def verified(scene: Any, sd_jwt: str) -> Any:
    return verify_sd_jwt(
        sd_jwt,
        issuer_key_for=lambda parsed: resolve_verification_key(did=parsed.issuer, kid=parsed.kid),
        now_ms=scene.now_ms,
        key_binding=None,
    )


@pytest.mark.parametrize(
    "name",
    [
        "agri-delivery",
        "airtime",
        "gig-income",
        "loan-outcome",
        "mobile-money",
        "recurring-bill",
        "remittance",
        "repayment-history",
        "savings-group",
    ],
)
def test_a_credential_of_each_type_is_issued_and_verified(scene: Any, name: str) -> None:
    claims = scene.claims(name)
    credential = verified(scene, scene.credential(name))
    assert set(credential.disclosed) == set(claims)
    assert {key: credential.claims[key] for key in claims} == claims
    assert (credential.issuer, credential.vct) == (scene.issuer.did, f"urn:credence:{name}:1")
    assert credential.holder == scene.holder.public
    assert credential.expires_at_ms == scene.now_ms + 90 * 86_400_000


def test_no_claim_of_the_type_stands_in_the_signed_payload(scene: Any) -> None:
    status = StatusReference(uri="https://issuer.example/status/1", index=7)
    sd_jwt = scene.credential(status=status)
    payload = parse_json_object(parse_jws(sd_jwt.split("~")[0]).payload)
    assert payload.keys() == {"iss", "iat", "exp", "vct", "cnf", "status", "_sd", "_sd_alg"}
    assert payload["status"] == {"status_list": {"idx": 7, "uri": "https://issuer.example/status/1"}}
    assert len(payload["_sd"]) == len(scene.claims("mobile-money"))


def test_expiry_and_status_are_left_out_when_there_are_none(scene: Any) -> None:
    payload = json.loads(parse_jws(scene.credential(expires_at_ms=None).split("~")[0]).payload)
    assert {"exp", "status"}.isdisjoint(payload)


@settings(max_examples=50)
@given(
    name=st.sampled_from(["period_to", "currency", "inflow_minor", "reversal_n"]), spoilt=st.sampled_from([None, 1.0])
)
def test_nothing_is_issued_that_does_not_fit_its_type(scene: Any, name: str, spoilt: Any) -> None:
    claims = scene.claims("mobile-money")
    for bad in (
        {key: value for key, value in claims.items() if key != name},
        {**claims, name: spoilt},
        {**claims, "sub": "+254700000001"},
    ):
        with pytest.raises(ClaimsDoNotFit):
            scene.credential(claims=bad)


def test_issuance_is_repeatable_but_for_salts_and_signature(scene: Any) -> None:
    """With the randomness fixed, the digests are the same: nothing else enters them."""

    def digests() -> Any:
        sd_jwt = issue_credential(
            type=scene.types["urn:credence:airtime:1"],
            claims=scene.claims("airtime"),
            holder=scene.holder.public,
            key=scene.issuer,
            now_ms=scene.now_ms,
            expires_at_ms=None,
            status=None,
            random_bytes=lambda count: b"\7" * count,
        )
        return json.loads(parse_jws(sd_jwt.split("~")[0]).payload)["_sd"]

    assert digests() == digests()
    first, second = (json.loads(parse_jws(scene.credential().split("~")[0]).payload)["_sd"] for _ in range(2))
    assert set(first).isdisjoint(second)
