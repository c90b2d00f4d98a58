from collections.abc import Sequence
from typing import Any

import pytest

from identity.data_integrity import add_proof
from identity.dcql import parse_dcql_query
from identity.did import did_key
from identity.errors import CannotPresent
from identity.issuance import build_w3c_credential
from identity.keys import SigningKey
from identity.sd_jwt import issue_sd_jwt
from identity.vc_jwt import sign_credential_jwt
from identity.vcdm import format_date_time

MOBILE_MONEY = "urn:credence:mobile-money:1"
GIG_INCOME = "urn:credence:gig-income:1"


def disclosure_count(presentation: str) -> int:
    return presentation.count("~") - 1


def queried(*credentials: dict[str, Any], **members: Any) -> Any:
    return parse_dcql_query({"credentials": list(credentials), **members})


def asking(id: str, vct: str, *names: str, **members: Any) -> dict[str, Any]:
    claims = [{"id": name, "path": [name]} for name in names or ("currency",)]
    return {"id": id, "format": "dc+sd-jwt", "meta": {"vct_values": [vct]}, "claims": claims, **members}


def test_no_more_is_disclosed_than_is_asked(scene: Any) -> None:
    request = scene.request(scene.query(claims=["currency"]))
    (presentation,) = scene.present(request, scene.credential())["c0"]
    assert disclosure_count(presentation) == 1
    assert scene.verify({"c0": [presentation]}, request).credentials[0].claims == {"currency": "KES"}


def test_the_first_credential_that_answers_is_shown(scene: Any) -> None:
    request = scene.request(
        queried(asking("c0", MOBILE_MONEY) | {"claims": [{"path": ["currency"], "values": ["UGX"]}]})
    )
    ugandan = scene.credential(claims={**scene.claims("mobile-money"), "currency": "UGX"})
    vp_token = scene.present(request, scene.credential("gig-income"), scene.credential(), ugandan)
    assert vp_token["c0"][0].startswith(ugandan.split("~")[0])


def test_the_preferred_claim_set_is_shown(scene: Any) -> None:
    query = queried(asking("c0", MOBILE_MONEY, "currency", "in_n", claim_sets=[["currency"], ["currency", "in_n"]]))
    request = scene.request(query)
    vp_token = scene.present(request, scene.credential())
    assert disclosure_count(vp_token["c0"][0]) == 1
    assert scene.verify(vp_token, request).credentials[0].claims == {"currency": "KES"}


def test_the_first_set_of_credentials_that_is_held_is_shown_and_nothing_optional(scene: Any) -> None:
    query = queried(
        asking("mobile", MOBILE_MONEY),
        asking("gig", GIG_INCOME),
        asking("airtime", "urn:credence:airtime:1"),
        credential_sets=[{"options": [["mobile"], ["gig"]]}, {"options": [["airtime"]], "required": False}],
    )
    request = scene.request(query)
    mobile, gig, airtime = (scene.credential(name) for name in ("mobile-money", "gig-income", "airtime"))
    assert scene.present(request, airtime, gig, mobile).keys() == {"mobile"}
    vp_token = scene.present(request, airtime, gig)
    assert vp_token.keys() == {"gig"}
    assert scene.verify(vp_token, request).credentials[0].vct == GIG_INCOME
    with pytest.raises(CannotPresent):
        scene.present(request, airtime)


def test_one_credential_answers_one_query(scene: Any) -> None:
    request = scene.request(scene.query(MOBILE_MONEY, MOBILE_MONEY))
    with pytest.raises(CannotPresent):
        scene.present(request, scene.credential())
    vp_token = scene.present(request, scene.credential(), scene.credential())
    assert len(scene.verify(vp_token, request).credentials) == 2


def test_a_query_for_several_gets_all_that_answer(scene: Any) -> None:
    request = scene.request(scene.query(multiple=True))
    vp_token = scene.present(request, scene.credential(), scene.credential("gig-income"), scene.credential())
    assert len(vp_token["c0"]) == 2


def test_a_credential_bound_to_another_key_stays_in_the_wallet(scene: Any) -> None:
    request = scene.request()
    with pytest.raises(CannotPresent):
        scene.present(request, scene.credential(holder=SigningKey.generate().public))


def test_a_wallet_with_too_little_presents_nothing(scene: Any) -> None:
    request = scene.request(scene.query(MOBILE_MONEY, GIG_INCOME))
    for credentials in ([], [scene.credential()], [scene.credential("airtime")]):
        with pytest.raises(CannotPresent):
            scene.present(request, *credentials)


def test_a_query_of_optional_parts_alone_is_answered_by_nothing(scene: Any) -> None:
    query = queried(asking("c0", MOBILE_MONEY), credential_sets=[{"options": [["c0"]], "required": False}])
    with pytest.raises(CannotPresent):
        scene.present(scene.request(query), scene.credential())


def test_a_holder_key_may_be_written_with_more_members_than_we_write(scene: Any) -> None:
    claims = {
        "iss": scene.issuer.did,
        "iat": scene.now_ms // 1000,
        "vct": MOBILE_MONEY,
        "cnf": {"jwk": {**scene.holder.public.jwk, "alg": "ES256", "use": "sig"}},
        **scene.claims("mobile-money"),
    }
    sd_jwt = issue_sd_jwt(claims=claims, disclosable=(), key=scene.issuer, random_bytes=bytes)
    request = scene.request()
    assert scene.verify(scene.present(request, sd_jwt), request).holder == scene.holder.public


def test_an_expired_credential_stays_in_the_wallet_and_of_the_others_the_newest_is_shown(scene: Any) -> None:
    day_ms = 86_400_000
    expired = scene.credential(now_ms=scene.now_ms - 30 * day_ms, expires_at_ms=scene.now_ms - day_ms)
    old, new = (scene.credential(now_ms=scene.now_ms - days * day_ms) for days in (20, 10))
    request = scene.request()
    vp_token = scene.present(request, expired, old, new)
    assert vp_token["c0"][0].startswith(new.split("~")[0])
    assert scene.verify(vp_token, request).credentials[0].issued_at_ms == scene.now_ms - 10 * day_ms
    several = scene.request(scene.query(multiple=True))
    assert len(scene.verify(scene.present(several, expired, old, new), several).credentials) == 2
    with pytest.raises(CannotPresent):
        scene.present(request, expired)


@pytest.mark.parametrize(
    "broad", [{"meta": {"vct_values": [MOBILE_MONEY, GIG_INCOME]}}, {"multiple": True}], ids=["types", "several"]
)
def test_a_query_that_takes_anything_leaves_the_others_what_they_need(scene: Any, broad: dict[str, Any]) -> None:
    request = scene.request(queried(asking("broad", MOBILE_MONEY) | broad, asking("narrow", MOBILE_MONEY)))
    other = scene.credential("gig-income") if "meta" in broad else scene.credential()
    vp_token = scene.present(request, scene.credential(), other)
    assert [one.query_id for one in scene.verify(vp_token, request).credentials] == ["broad", "narrow"]


def test_a_query_that_takes_several_gets_no_more_than_an_answer_may_hold(scene: Any) -> None:
    request = scene.request(scene.query(multiple=True))
    held = [scene.credential(now_ms=scene.now_ms - (n + 1) * 1000) for n in range(18)]
    presented = scene.present(request, *reversed(held))["c0"]
    assert [one.split("~")[0] for one in presented] == [one.split("~")[0] for one in held[:16]]
    assert len(scene.verify({"c0": presented}, request).credentials) == 16


# W3C credentials


def w3c_request(scene: Any, *formats: str, claims: Sequence[str] = ("currency",)) -> Any:
    """Ask for mobile money in each of the formats, as c0, c1, ..."""
    return scene.request(
        parse_dcql_query(
            {
                "credentials": [
                    {
                        "id": f"c{index}",
                        "format": format,
                        "meta": {"type_values": [["VerifiableCredential", "MobileMoneyCredential"]]},
                        "claims": [{"path": ["credentialSubject", name]} for name in claims],
                    }
                    for index, format in enumerate(formats)
                ]
            }
        )
    )


def w3c_credential(scene: Any, format: str, holder: str, **changes: Any) -> Any:
    arguments = {
        "type": scene.types["urn:credence:mobile-money:1"],
        "claims": scene.claims("mobile-money"),
        "holder": holder,
        "issuer": scene.issuer.did,
        "now_ms": scene.now_ms - 1000,
        "expires_at_ms": scene.now_ms + 1000,
    }
    document = build_w3c_credential(**{**arguments, **changes})
    if format == "jwt_vc_json":
        return sign_credential_jwt(document, scene.issuer, kid=scene.issuer.kid)
    return add_proof(
        document,
        scene.issuer,
        cryptosuite="ecdsa-jcs-2019",
        verification_method=scene.issuer.kid,
        purpose="assertionMethod",
        created=format_date_time(scene.now_ms),
        canonicalize=scene.linked_data.canonicalize,
    )


@pytest.mark.parametrize("format", ["jwt_vc_json", "ldp_vc"])
@pytest.mark.parametrize("method", ["did:jwk", "did:key"])
@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_w3c_credential_is_presented_by_the_did_that_it_is_about(
    scene: Any, format: str, method: str, alg: Any
) -> None:
    key = SigningKey.generate(alg)
    did = key.did if method == "did:jwk" else did_key(key.public)
    request = w3c_request(scene, format)
    vp_token = scene.present(request, w3c_credential(scene, format, did), key=key)
    verified = scene.verify(vp_token, request)
    assert verified.credentials[0].claims == {"currency": scene.claims("mobile-money")["currency"]}
    assert verified.holder == key.public


def test_each_format_is_answered_with_its_own(scene: Any) -> None:
    # Issued at two times: the same statement in two formats would be one credential twice.
    held = [
        w3c_credential(scene, format, scene.holder.did, now_ms=scene.now_ms - age_ms)
        for format, age_ms in (("ldp_vc", 1000), ("jwt_vc_json", 2000))
    ]
    request = w3c_request(scene, "jwt_vc_json", "ldp_vc")
    vp_token = scene.present(request, scene.credential(), *held)
    assert isinstance(vp_token["c0"][0], str)
    assert isinstance(vp_token["c1"][0], dict)
    assert [each.format for each in scene.verify(vp_token, request).credentials] == ["jwt_vc_json", "ldp_vc"]
    with pytest.raises(CannotPresent):
        scene.present(w3c_request(scene, "jwt_vc_json"), scene.credential(), held[0])
    with pytest.raises(CannotPresent):
        scene.present(scene.request(), *held)


def test_another_persons_or_an_expired_w3c_credential_stays_out(scene: Any) -> None:
    request = w3c_request(scene, "jwt_vc_json")
    for changes in ({"holder": SigningKey.generate().did}, {"holder": scene.holder.did, "expires_at_ms": scene.now_ms}):
        with pytest.raises(CannotPresent):
            scene.present(request, w3c_credential(scene, "jwt_vc_json", **changes))
