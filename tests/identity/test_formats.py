"""The verifier over every format: the same claims end in the same result, and a refusal says the same of each."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.data_integrity import CRYPTOSUITES, add_proof
from identity.dcql import DcqlQuery, parse_dcql_query
from identity.errors import (
    AudienceMismatch,
    ClaimsDoNotFit,
    ClientIdMismatch,
    CredentialRepeated,
    HolderMismatch,
    IdentityError,
    IssuerNotTrusted,
    MissingClaim,
    NonceMismatch,
    PresentationFormatMismatch,
    UndefinedTerm,
    UnknownCredentialType,
    VctNotAsked,
)
from identity.holder import add_key_binding
from identity.issuance import build_w3c_credential
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.ldp_vc import sign_presentation_object
from identity.presentation import PresentationRequest
from identity.sd_jwt import select_disclosures
from identity.trust import TrustedIssuer, TrustedIssuers
from identity.vc_jwt import sign_credential_jwt, sign_presentation_jwt
from identity.vcdm import CONTEXT_V2, CREDIT_HISTORY_CONTEXT, format_date_time

MOBILE_MONEY = "urn:credence:mobile-money:1"
W3C_TYPES = [["VerifiableCredential", "MobileMoneyCredential"]]
FORMATS = ["dc+sd-jwt", "jwt_vc_json", *CRYPTOSUITES]
DAY_MS = 86_400_000

# One holder and one issuer for each algorithm, since a suite of Data Integrity goes with one.
HOLDERS = {"EdDSA": SigningKey.generate("EdDSA"), "ES256": SigningKey.generate()}
ISSUERS = {"EdDSA": SigningKey.generate("EdDSA"), "ES256": SigningKey.generate()}


def algorithm_of(way: str) -> str:
    return CRYPTOSUITES[way][0] if way in CRYPTOSUITES else "ES256"


def format_of(way: str) -> str:
    return "ldp_vc" if way in CRYPTOSUITES else way


def asked_for(way: str, *names: str, id: str = "c0", **changes: Any) -> dict[str, Any]:
    if way == "dc+sd-jwt":
        meta: dict[str, Any] = {"vct_values": [MOBILE_MONEY]}
        claims = [{"path": [name]} for name in names]
    else:
        meta = {"type_values": W3C_TYPES}
        claims = [{"path": ["credentialSubject", name]} for name in names]
    return {"id": id, "format": format_of(way), "meta": meta, "claims": claims, **changes}


def query_for(way: str, *names: str, **changes: Any) -> DcqlQuery:
    return parse_dcql_query({"credentials": [asked_for(way, *names, **changes)]})


def w3c_document(scene: Any, way: str, claims: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    algorithm = algorithm_of(way)
    document = build_w3c_credential(
        type=scene.types[MOBILE_MONEY],
        claims=claims or scene.claims("mobile-money"),
        holder=HOLDERS[algorithm].did,
        issuer=ISSUERS[algorithm].did,
        now_ms=scene.now_ms - DAY_MS,
        expires_at_ms=scene.now_ms + 90 * DAY_MS,
    )
    return {name: value for name, value in {**document, **changes}.items() if value is not ...}


def secure(scene: Any, way: str, document: dict[str, Any]) -> Any:
    key = ISSUERS[algorithm_of(way)]
    if way == "jwt_vc_json":
        return sign_credential_jwt(document, key, kid=key.kid)
    return add_proof(
        document,
        key,
        cryptosuite=way,
        verification_method=key.kid,
        purpose="assertionMethod",
        created=format_date_time(scene.now_ms),
        canonicalize=scene.linked_data.canonicalize,
    )


def present(scene: Any, way: str, credential: Any, request: PresentationRequest, **changes: Any) -> Any:
    """`credential` under a presentation for `request`; of an SD-JWT only what is asked."""
    binding = KeyBinding(nonce=changes.get("nonce", request.nonce), audience=changes.get("audience", request.audience))
    key = HOLDERS[algorithm_of(way)]
    if way == "dc+sd-jwt":
        names = [str(claim.path[0]) for claim in request.query.credentials[0].claims]
        shown = select_disclosures(credential, names)
        return add_key_binding(shown, nonce=binding.nonce, audience=binding.audience, key=key, now_ms=scene.now_ms)
    signed = {"holder": key.did, "kid": key.kid, "key_binding": binding, "now_ms": scene.now_ms}
    if way == "jwt_vc_json":
        return sign_presentation_jwt(credential, key, **signed)
    canonicalize = scene.linked_data.canonicalize
    return sign_presentation_object(credential, key, cryptosuite=way, canonicalize=canonicalize, **signed)


def issue(scene: Any, way: str, claims: Mapping[str, Any] | None = None) -> Any:
    if way == "dc+sd-jwt":
        changes = {"claims": claims} if claims else {}
        return scene.credential(holder=HOLDERS["ES256"].public, key=ISSUERS["ES256"], **changes)
    return secure(scene, way, w3c_document(scene, way, claims))


TRUSTED = TrustedIssuers(
    tuple(TrustedIssuer(did=key.did, vct=MOBILE_MONEY, valid_from_ms=0) for key in ISSUERS.values())
)


def verify(scene: Any, request: PresentationRequest, *presentations: Any, **changes: Any) -> Any:
    return scene.verify({"c0": list(presentations)}, request, **{"trusted": TRUSTED, **changes})


@pytest.mark.parametrize("way", FORMATS)
def test_a_presentation_is_verified_and_only_what_was_asked_is_passed_on(scene: Any, way: str) -> None:
    request = scene.request(query_for(way, "currency", "period_to"))
    verified = verify(scene, request, present(scene, way, issue(scene, way), request))
    claims = scene.claims("mobile-money")
    (credential,) = verified.credentials
    assert credential.claims == {"currency": claims["currency"], "period_to": claims["period_to"]}
    assert (credential.format, credential.vct) == (format_of(way), MOBILE_MONEY)
    assert credential.issued_at_ms == scene.now_ms - DAY_MS
    assert verified.holder == HOLDERS[algorithm_of(way)].public


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_persons_claims_are_equal_in_every_format(scene: Any, data: st.DataObject) -> None:
    claims = scene.claims("mobile-money", months=data.draw(st.integers(1, 24)))
    for name, value in claims.items():
        if isinstance(value, list):
            claims[name] = [data.draw(st.integers(0, max(each, 1))) for each in value]
    results = []
    for way in FORMATS:
        request = scene.request(query_for(way, *claims))
        verified = verify(scene, request, present(scene, way, issue(scene, way, claims), request))
        results.append(verified.credentials[0].claims)
    assert all(result == claims for result in results)
    assert [list(result["inflow_minor"]) for result in results] == [claims["inflow_minor"]] * len(FORMATS)


Changed = Callable[[Any, str, PresentationRequest], Any]

REFUSALS: list[tuple[str, Changed, type[IdentityError], str]] = [
    (
        "another nonce",
        lambda scene, way, request: present(scene, way, issue(scene, way), request, nonce="other"),
        NonceMismatch,
        "binding",
    ),
    (
        "another verifier",
        lambda scene, way, request: present(scene, way, issue(scene, way), request, audience="x509_hash:other"),
        ClientIdMismatch,
        "binding",
    ),
    (
        "another audience",
        lambda scene, way, request: present(scene, way, issue(scene, way), request, audience="https://other.example"),
        AudienceMismatch,
        "binding",
    ),
]


@pytest.mark.parametrize("way", ["dc+sd-jwt", "jwt_vc_json", "eddsa-jcs-2022"])
@pytest.mark.parametrize(("change", "refusal", "step"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_refusal_is_the_same_in_every_format(
    scene: Any, way: str, change: Changed, refusal: type[IdentityError], step: str
) -> None:
    request = scene.request(query_for(way, "currency"))
    with pytest.raises(refusal) as refused:
        verify(scene, request, change(scene, way, request))
    assert (refused.value.step, refused.value.query_id) == (step, "c0")


@pytest.mark.parametrize("way", FORMATS)
def test_an_issuer_is_trusted_before_anything_of_its_credential_is_looked_at(scene: Any, way: str) -> None:
    request = scene.request(query_for(way, "currency"))
    with pytest.raises(IssuerNotTrusted) as refused:
        verify(scene, request, present(scene, way, issue(scene, way), request), trusted=TrustedIssuers(()))
    assert refused.value.step == "issuer"


@pytest.mark.parametrize("way", ["jwt_vc_json", "eddsa-jcs-2022"])
@pytest.mark.parametrize(
    ("changes", "refusal", "step"),
    [
        ({"type": ["VerifiableCredential", "AirtimeCredential"]}, VctNotAsked, "type"),
        ({"type": ["VerifiableCredential"]}, VctNotAsked, "type"),
        ({"type": ["VerifiableCredential", "MobileMoneyCredential", "Extra"]}, UnknownCredentialType, "type"),
        ({"@context": [CONTEXT_V2]}, UndefinedTerm, "type"),
        ({"validFrom": ...}, MissingClaim, "proof"),
    ],
    ids=["another type", "no type of ours", "a type too many", "no context of ours", "no beginning"],
)
def test_what_a_w3c_credential_of_ours_may_not_be(
    scene: Any, way: str, changes: dict[str, Any], refusal: type[IdentityError], step: str
) -> None:
    request = scene.request(query_for(way, "currency"))
    credential = secure(scene, way, w3c_document(scene, way, **changes))
    with pytest.raises(refusal) as refused:
        verify(scene, request, present(scene, way, credential, request))
    assert (refused.value.step, refused.value.query_id) == (step, "c0")


@pytest.mark.parametrize("way", ["jwt_vc_json", "eddsa-jcs-2022"])
def test_the_claims_of_a_w3c_credential_fit_their_type(scene: Any, way: str) -> None:
    request = scene.request(query_for(way, "currency"))
    whole = scene.claims("mobile-money")
    for claims in (
        {**whole, "name": "Wanjiru"},
        {**whole, "currency": 404},
        # Nothing of a W3C credential is withheld, so one with a claim less was not issued as its type.
        {name: value for name, value in whole.items() if name != "period_to"},
    ):
        subject = {"id": HOLDERS[algorithm_of(way)].did, **claims}
        credential = secure(scene, way, w3c_document(scene, way, credentialSubject=subject))
        with pytest.raises(ClaimsDoNotFit):
            verify(scene, request, present(scene, way, credential, request))


def test_a_type_may_be_spelt_as_an_iri(scene: Any) -> None:
    types = ["VerifiableCredential", "urn:credence:terms#MobileMoneyCredential"]
    asked = asked_for("jwt_vc_json", "currency", meta={"type_values": [types[1:]]})
    request = scene.request(parse_dcql_query({"credentials": [asked]}))
    for given_types in (types, ["VerifiableCredential", "MobileMoneyCredential"]):
        credential = secure(scene, "jwt_vc_json", w3c_document(scene, "jwt_vc_json", type=given_types))
        assert verify(scene, request, present(scene, "jwt_vc_json", credential, request)).credentials


@pytest.mark.parametrize("asked", ["dc+sd-jwt", "jwt_vc_json", "ldp_vc"])
@pytest.mark.parametrize("given", ["dc+sd-jwt", "jwt_vc_json", "eddsa-jcs-2022"])
def test_a_presentation_of_another_format_is_refused(scene: Any, asked: str, given: str) -> None:
    if format_of(given) == asked:
        return
    request = scene.request(query_for("eddsa-jcs-2022" if asked == "ldp_vc" else asked, "currency"))
    own = scene.request(query_for(given, "currency"))
    presented = present(scene, given, issue(scene, given), own)
    with pytest.raises(IdentityError) as refused:
        verify(scene, request, presented)
    if "ldp_vc" in (asked, format_of(given)):
        assert isinstance(refused.value, PresentationFormatMismatch)
        assert refused.value.step == "query"


def three_queries(scene: Any) -> PresentationRequest:
    ways = ["dc+sd-jwt", "jwt_vc_json", "ecdsa-jcs-2019"]
    credentials = [asked_for(way, "currency", id=f"c{index}") for index, way in enumerate(ways)]
    request: PresentationRequest = scene.request(parse_dcql_query({"credentials": credentials}))
    return request


def three_presentations(scene: Any, request: PresentationRequest) -> dict[str, list[Any]]:
    """Three credentials that say different things."""
    ways = {"dc+sd-jwt": "KES", "jwt_vc_json": "TZS", "ecdsa-jcs-2019": "UGX"}
    said = {way: {**scene.claims("mobile-money"), "currency": currency} for way, currency in ways.items()}
    return {f"c{index}": [present(scene, way, issue(scene, way, said[way]), request)] for index, way in enumerate(ways)}


def test_one_answer_may_be_in_several_formats_by_one_holder(scene: Any) -> None:
    request = three_queries(scene)
    verified = scene.verify(three_presentations(scene, request), request, trusted=TRUSTED)
    assert [each.format for each in verified.credentials] == ["dc+sd-jwt", "jwt_vc_json", "ldp_vc"]
    assert verified.holder == HOLDERS["ES256"].public


def test_35_holders_that_differ_across_formats_are_refused(scene: Any) -> None:
    request = scene.request(
        parse_dcql_query(
            {
                "credentials": [
                    asked_for("jwt_vc_json", "currency", id="c0"),
                    asked_for("eddsa-jcs-2022", "currency", id="c1"),
                ]
            }
        )
    )
    vp_token = {
        "c0": [present(scene, "jwt_vc_json", issue(scene, "jwt_vc_json"), request)],
        "c1": [present(scene, "eddsa-jcs-2022", issue(scene, "eddsa-jcs-2022"), request)],
    }
    with pytest.raises(HolderMismatch):
        scene.verify(vp_token, request, trusted=TRUSTED)
    either = replace(request, holder_policy="any")
    assert len(scene.verify(vp_token, either, trusted=TRUSTED).credentials) == 2


@pytest.mark.parametrize("spoilt", ["c0", "c1", "c2"])
def test_a_refusal_of_one_credential_does_not_depend_on_another(scene: Any, spoilt: str) -> None:
    request = three_queries(scene)
    vp_token = three_presentations(scene, request)
    presented = vp_token[spoilt][0]
    if isinstance(presented, str):
        head, payload, signature = presented.rsplit(".", 2)
        vp_token[spoilt] = [f"{head}.{payload}.{signature[::-1]}"]
    else:
        value = presented["proof"]["proofValue"]
        presented["proof"]["proofValue"] = "z" + value[1:][::-1]
    with pytest.raises(IdentityError) as together:
        scene.verify(vp_token, request, trusted=TRUSTED)
    index = int(spoilt[1:])
    alone = replace(request, query=DcqlQuery(credentials=(request.query.credentials[index],), credential_sets=None))
    with pytest.raises(IdentityError) as by_itself:
        scene.verify({spoilt: vp_token[spoilt]}, alone, trusted=TRUSTED)
    assert type(together.value) is type(by_itself.value)
    assert (together.value.step, together.value.query_id) == (by_itself.value.step, spoilt)


@pytest.mark.parametrize("other", ["dc+sd-jwt", "jwt_vc_json", "ecdsa-rdfc-2019"])
def test_a_credential_counts_once_under_two_kinds_of_proof(scene: Any, other: str) -> None:
    """Issuers sign one document in several ways, so that every verifier finds one that it knows."""
    ways = (other, "ecdsa-jcs-2019")
    credentials = [asked_for(way, "currency", id=f"c{index}") for index, way in enumerate(ways)]
    request = scene.request(parse_dcql_query({"credentials": credentials}))
    presented = [present(scene, way, issue(scene, way), request) for way in ways]
    with pytest.raises(CredentialRepeated):
        scene.verify({f"c{index}": [each] for index, each in enumerate(presented)}, request, trusted=TRUSTED)


@pytest.mark.parametrize("way", FORMATS)
def test_a_credential_counts_once(scene: Any, way: str) -> None:
    request = scene.request(query_for(way, "currency", multiple=True))
    credential = issue(scene, way)
    presented = [present(scene, way, credential, request) for _ in range(2)]
    with pytest.raises(CredentialRepeated):
        verify(scene, request, *presented)
    other = issue(scene, way, {**scene.claims("mobile-money"), "currency": "UGX"})
    assert len(verify(scene, request, presented[0], present(scene, way, other, request)).credentials) == 2


def test_a_rewritten_credential_is_the_same_credential(scene: Any) -> None:
    """RDF does not say in which order the types stand, so who presents could change it."""
    way = "eddsa-rdfc-2022"
    request = scene.request(query_for(way, "currency", multiple=True))
    credential = issue(scene, way)
    rewritten = {**credential, "type": credential["type"][::-1]}
    with pytest.raises(CredentialRepeated):
        verify(scene, request, *(present(scene, way, each, request) for each in (credential, rewritten)))


def test_39_the_remap_attack(scene: Any) -> None:
    """The holder swaps the names of two claims, and their meanings by a context: in RDF nothing has changed."""
    way = "eddsa-rdfc-2022"
    request = scene.request(query_for(way, "currency"))
    credential = issue(scene, way)
    subject = credential["credentialSubject"]
    attacked = {
        **credential,
        "@context": [
            CONTEXT_V2,
            CREDIT_HISTORY_CONTEXT,
            {"in_n": "urn:credence:terms#out_n", "out_n": "urn:credence:terms#in_n"},
        ],
        "credentialSubject": {**subject, "in_n": subject["out_n"], "out_n": subject["in_n"]},
    }
    key = HOLDERS["EdDSA"]
    presented = sign_presentation_object(
        attacked,
        key,
        holder=key.did,
        kid=key.kid,
        cryptosuite="eddsa-jcs-2022",
        canonicalize=scene.linked_data.canonicalize,
        key_binding=KeyBinding(nonce=request.nonce, audience=request.audience),
        now_ms=scene.now_ms,
    )
    with pytest.raises(IdentityError) as refused:
        verify(scene, request, presented)
    assert refused.value.code == "context_not_allowed"
