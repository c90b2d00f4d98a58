"""The verifier, fault by fault; a test that holds an input of the threat list to its refusal is named by its number."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.dcql import parse_dcql_query
from identity.encoding import encode_base64url, encode_json
from identity.errors import (
    AlgKeyMismatch,
    ArrayNotWhole,
    AudienceMismatch,
    BadSignature,
    BadStatusIndex,
    ClaimMissing,
    ClaimsDoNotFit,
    ClientIdMismatch,
    CredentialMissing,
    CredentialRepeated,
    CredentialRevoked,
    CredentialSuspended,
    Expired,
    HolderKeyMissing,
    HolderMismatch,
    IdentityError,
    IssuerKeyMismatch,
    IssuerNotTrusted,
    KbStale,
    KeyBindingMissing,
    NonceMismatch,
    PresentationFormatMismatch,
    PrivateKeyInJwk,
    RequestExpired,
    SdHashMismatch,
    StatusListIssuerMismatch,
    StatusUnavailable,
    TooManyPresentations,
    UnknownCredentialType,
    UnknownQueryId,
    VctNotAsked,
    WrongTyp,
)
from identity.holder import add_key_binding
from identity.jws import parse_jws, sign_jws
from identity.keys import SigningKey
from identity.sd_jwt import issue_sd_jwt, select_disclosures
from identity.status_list import StatusReference, issue_status_list
from identity.trust import TrustedIssuer, TrustedIssuers

MOBILE_MONEY = "urn:credence:mobile-money:1"
GIG_INCOME = "urn:credence:gig-income:1"
LIST_URI = "https://issuer.example/status/1"


def bind(scene: Any, request: Any, sd_jwt: str, **changes: Any) -> str:
    """A key binding such as a careless or hostile wallet makes."""
    arguments = {"nonce": request.nonce, "audience": request.audience, "key": scene.holder, "now_ms": scene.now_ms}
    return add_key_binding(sd_jwt, **{**arguments, **changes})


def issued(scene: Any, *, disclosable: tuple[str, ...] = (), key: SigningKey | None = None, **members: Any) -> str:
    """A credential signed outside our own issuance; ... leaves a member out."""
    key = key or scene.issuer
    claims = {
        "iss": key.did,
        "iat": scene.now_ms // 1000,
        "vct": MOBILE_MONEY,
        "cnf": {"jwk": scene.holder.public.jwk},
        **scene.claims("mobile-money"),
        **members,
    }
    claims = {name: value for name, value in claims.items() if value is not ...}
    return issue_sd_jwt(claims=claims, disclosable=disclosable, key=key, random_bytes=bytes)


# The good ways


def test_a_presentation_is_verified_and_only_the_asked_claims_are_passed_on(scene: Any) -> None:
    request = scene.request()
    verified = scene.verify(scene.present(request, scene.credential()), request)
    (credential,) = verified.credentials
    assert credential.claims == {"currency": "KES", "period_to": "2026-08-31"}
    assert (credential.query_id, credential.vct, credential.issuer) == ("c0", MOBILE_MONEY, scene.issuer.did)
    assert credential.issued_at_ms == scene.now_ms - 86_400_000
    assert credential.status_checked_at_ms is None
    assert verified.holder == scene.holder.public


def test_claims_that_nobody_asked_for_are_dropped(scene: Any) -> None:
    request = scene.request()
    verified = scene.verify({"c0": [bind(scene, request, scene.credential())]}, request)
    assert verified.credentials[0].claims == {"currency": "KES", "period_to": "2026-08-31"}


@pytest.mark.parametrize("name", [vct.split(":")[2] for vct in ("urn:credence:mobile-money:1", GIG_INCOME)])
def test_every_claim_of_a_type_can_be_asked_for(scene: Any, name: str) -> None:
    vct = f"urn:credence:{name}:1"
    request = scene.request(scene.query(vct, claims=scene.types[vct].claim_names))
    verified = scene.verify(scene.present(request, scene.credential(name)), request)
    assert verified.credentials[0].claims == scene.claims(name)


def test_several_credentials_of_one_holder(scene: Any) -> None:
    request = scene.request(scene.query(GIG_INCOME, MOBILE_MONEY))
    vp_token = scene.present(request, scene.credential("mobile-money"), scene.credential("gig-income"))
    verified = scene.verify(dict(reversed(vp_token.items())), request)
    assert [one.vct for one in verified.credentials] == [GIG_INCOME, MOBILE_MONEY]


def test_several_credentials_for_one_query_that_allows_it(scene: Any) -> None:
    request = scene.request(scene.query(multiple=True))
    verified = scene.verify(scene.present(request, scene.credential(), scene.credential()), request)
    assert [one.query_id for one in verified.credentials] == ["c0", "c0"]


def test_ed25519_issuers_and_holders(scene: Any) -> None:
    issuer, holder = SigningKey.generate("EdDSA"), SigningKey.generate("EdDSA")
    trusted = TrustedIssuers((TrustedIssuer(did=issuer.did, vct=MOBILE_MONEY, valid_from_ms=0),))
    request = scene.request()
    vp_token = scene.present(request, scene.credential(key=issuer, holder=holder.public), key=holder)
    assert scene.verify(vp_token, request, trusted=trusted).holder == holder.public


# Binding (31 to 37)


def test_31_wrong_audience(scene: Any) -> None:
    request = scene.request()
    for audience in ("https://verifier.example", "", scene.verifier_key.did):
        with pytest.raises(AudienceMismatch) as refused:
            scene.verify({"c0": [bind(scene, request, scene.credential(), audience=audience)]}, request)
        assert type(refused.value) is AudienceMismatch


def test_32_wrong_nonce(scene: Any) -> None:
    request = scene.request()
    with pytest.raises(NonceMismatch):
        scene.verify(scene.present(scene.request(nonce="another"), scene.credential()), request)


def test_32_missing_nonce(scene: Any) -> None:
    request, sd_jwt = scene.request(), scene.credential()
    payload = {"aud": request.audience, "iat": scene.now_ms // 1000}
    with pytest.raises(NonceMismatch):
        scene.verify({"c0": [sd_jwt + sign_jws({"typ": "kb+jwt"}, encode_json(payload), scene.holder)]}, request)


def test_35_two_credentials_of_different_holders(scene: Any) -> None:
    other = SigningKey.generate()
    query = scene.query(MOBILE_MONEY, GIG_INCOME)
    mine, theirs = scene.credential(), scene.credential("gig-income", holder=other.public)

    def answer(request: Any) -> dict[str, list[str]]:
        return {"c0": [bind(scene, request, mine)], "c1": [bind(scene, request, theirs, key=other)]}

    strict, lenient = scene.request(query), scene.request(query, holder_policy="any")
    with pytest.raises(HolderMismatch):
        scene.verify(answer(strict), strict)
    assert scene.verify(answer(lenient), lenient).holder == scene.holder.public


def test_36_answers_that_do_not_match_the_query(scene: Any) -> None:
    request = scene.request(scene.query(MOBILE_MONEY, GIG_INCOME))
    vp_token = scene.present(request, scene.credential(), scene.credential("gig-income"))
    with pytest.raises(UnknownQueryId):
        scene.verify({**vp_token, "c2": vp_token["c0"]}, request)
    for incomplete in ({"c0": vp_token["c0"]}, {}, {**vp_token, "c1": []}):
        with pytest.raises(CredentialMissing):
            scene.verify(incomplete, request)
    with pytest.raises(TooManyPresentations):
        scene.verify({**vp_token, "c0": vp_token["c0"] * 2}, request)


def test_36_a_query_whose_credentials_are_all_optional_is_not_answered_by_nothing(scene: Any) -> None:
    query = scene.query().to_json()
    query["credential_sets"] = [{"options": [["c0"]], "required": False}]
    with pytest.raises(CredentialMissing):
        scene.verify({}, scene.request(parse_dcql_query(query)))


def test_36_a_presentation_of_another_format_than_asked(scene: Any) -> None:
    with pytest.raises(PresentationFormatMismatch):
        scene.verify({"c0": [{"@context": ["https://www.w3.org/ns/credentials/v2"]}]}, scene.request())


def test_a_refusal_says_at_which_step_and_for_which_query(scene: Any, published_lists: Any) -> None:
    request = scene.request(scene.query(GIG_INCOME, MOBILE_MONEY))
    good, listed = scene.credential(), scene.credential(status=StatusReference(uri=LIST_URI, index=0))
    gig = scene.credential("gig-income")
    theirs = SigningKey.generate()
    # Each is presented for the second query, beside a good answer to the first.
    cases: list[tuple[str | dict[str, Any], str]] = [
        ({"proof": {}}, "query"),
        (bind(scene, request, good, nonce="another"), "binding"),
        (bind(scene, request, scene.credential("gig-income")), "type"),
        (bind(scene, request, issued(scene, key=theirs)), "issuer"),
        (bind(scene, request, scene.credential(expires_at_ms=scene.now_ms - 120_000)), "proof"),
        (bind(scene, request, issued(scene, currency="sterling")), "claims"),
        (bind(scene, request, listed), "status"),
    ]
    for presentation, step in cases:
        with pytest.raises(IdentityError) as refused:
            scene.verify({"c0": [bind(scene, request, gig)], "c1": [presentation]}, request, lists=published_lists())
        assert (refused.value.step, refused.value.query_id) == (step, "c1"), step
    # What is of no one credential names none.
    other = scene.credential(holder=theirs.public)
    whole: list[tuple[dict[str, list[Any]], str, dict[str, Any]]] = [
        ({"c0": [bind(scene, request, gig)]}, "query", {}),
        ({"c0": [bind(scene, request, gig)], "c1": [bind(scene, request, other, key=theirs)]}, "holder", {}),
        ({}, "request", {"now_ms": request.expires_at_ms}),
    ]
    for vp_token, step, arguments in whole:
        with pytest.raises(IdentityError) as refused:
            scene.verify(vp_token, request, **arguments)
        assert (refused.value.step, refused.value.query_id) == (step, None), step


def test_37_a_presentation_made_for_another_verifier(scene: Any) -> None:
    request = scene.request()
    other = "decentralized_identifier:" + SigningKey.generate().did
    for client_id in (other, "x509_san_dns:client.example.org", "redirect_uri:https://client.example.org/cb"):
        with pytest.raises(ClientIdMismatch):
            scene.verify({"c0": [bind(scene, request, scene.credential(), audience=client_id)]}, request)


# The key binding as such


def test_16_a_private_key_as_holder_key(scene: Any) -> None:
    request = scene.request()
    sd_jwt = issued(scene, cnf={"jwk": scene.holder.to_private_jwk()})
    with pytest.raises(PrivateKeyInJwk):
        scene.verify({"c0": [bind(scene, request, sd_jwt)]}, request)


def test_15_a_key_binding_of_another_type(scene: Any) -> None:
    request, sd_jwt = scene.request(), scene.credential()
    payload = parse_jws(bind(scene, request, sd_jwt).rpartition("~")[2]).payload
    for typ in ("dc+sd-jwt", "openid4vci-proof+jwt", "JWT"):
        with pytest.raises(WrongTyp):
            scene.verify({"c0": [sd_jwt + sign_jws({"typ": typ}, payload, scene.holder)]}, request)


def test_29_a_key_binding_is_missing_or_has_nothing_to_bind_to(scene: Any) -> None:
    request = scene.request()
    with pytest.raises(KeyBindingMissing):
        scene.verify({"c0": [scene.credential()]}, request)
    with pytest.raises(HolderKeyMissing):
        scene.verify({"c0": [bind(scene, request, issued(scene, cnf=...))]}, request)


def test_29_a_claim_is_withdrawn_or_added_after_the_binding(scene: Any) -> None:
    request, sd_jwt = scene.request(), scene.credential()
    part = select_disclosures(sd_jwt, ["currency", "period_to"])
    binding = bind(scene, request, part).rpartition("~")[2]
    with pytest.raises(SdHashMismatch):
        scene.verify({"c0": [sd_jwt + binding]}, request)


def test_21_a_key_binding_that_is_five_minutes_old(scene: Any) -> None:
    request = scene.request()
    vp_token = scene.present(request, scene.credential())
    scene.verify(vp_token, request, now_ms=scene.now_ms + 300_000)
    with pytest.raises(KbStale):
        scene.verify(vp_token, request, now_ms=scene.now_ms + 301_000)


def test_a_key_binding_by_somebody_else(scene: Any) -> None:
    request = scene.request()
    with pytest.raises(BadSignature):
        scene.verify({"c0": [bind(scene, request, scene.credential(), key=SigningKey.generate())]}, request)
    with pytest.raises(AlgKeyMismatch):
        scene.verify({"c0": [bind(scene, request, scene.credential(), key=SigningKey.generate("EdDSA"))]}, request)


# Trust, type and time


def test_an_issuer_that_is_not_trusted_for_this_type_now(scene: Any) -> None:
    request = scene.request()
    vp_token = scene.present(request, scene.credential())

    def trust(**changes: Any) -> TrustedIssuers:
        entry = {"did": scene.issuer.did, "vct": MOBILE_MONEY, "valid_from_ms": 0, **changes}
        return TrustedIssuers((TrustedIssuer(**entry),))

    scene.verify(vp_token, request, trusted=trust())
    for refused in (
        TrustedIssuers(()),
        trust(vct=GIG_INCOME),
        trust(did=SigningKey.generate().did),
        trust(valid_from_ms=scene.now_ms + 1),
        trust(valid_to_ms=scene.now_ms),
    ):
        with pytest.raises(IssuerNotTrusted):
            scene.verify(vp_token, request, trusted=refused)


def test_9_a_trusted_name_over_another_key(scene: Any) -> None:
    request, other = scene.request(), SigningKey.generate()
    payload = parse_jws(issued(scene).split("~")[0]).payload
    stolen_name = sign_jws({"typ": "dc+sd-jwt", "kid": other.kid}, payload, other) + "~"
    with pytest.raises(IssuerKeyMismatch):
        scene.verify({"c0": [bind(scene, request, stolen_name)]}, request)
    for header in ({"typ": "dc+sd-jwt"}, {"typ": "dc+sd-jwt", "kid": scene.issuer.kid}):
        with pytest.raises(BadSignature):
            scene.verify({"c0": [bind(scene, request, sign_jws(header, payload, other) + "~")]}, request)


def test_a_credential_of_another_type_than_asked(scene: Any) -> None:
    request = scene.request()
    with pytest.raises(VctNotAsked):
        scene.verify({"c0": [bind(scene, request, scene.credential("gig-income"))]}, request)


def test_a_type_that_we_do_not_know_even_if_it_was_asked_for_and_trusted(scene: Any) -> None:
    vct = "https://credentials.example.com/identity_credential"
    request = scene.request(scene.query(vct))
    trusted = TrustedIssuers((TrustedIssuer(did=scene.issuer.did, vct=vct, valid_from_ms=0),))
    with pytest.raises(UnknownCredentialType):
        scene.verify({"c0": [bind(scene, request, issued(scene, vct=vct))]}, request, trusted=trusted)


def test_17_an_expired_credential(scene: Any) -> None:
    request = scene.request()
    sd_jwt = scene.credential(expires_at_ms=scene.now_ms - 61_000)
    with pytest.raises(Expired):
        scene.verify({"c0": [bind(scene, request, sd_jwt)]}, request)


def test_an_expired_request_is_refused_before_anything_is_read(scene: Any) -> None:
    with pytest.raises(RequestExpired):
        scene.verify({"c0": ["not even a token"]}, scene.request(expires_at_ms=scene.now_ms))


# Claims


def test_a_claim_that_was_asked_for_is_withheld(scene: Any) -> None:
    request = scene.request()
    sd_jwt = select_disclosures(scene.credential(), ["currency"])
    with pytest.raises(ClaimMissing):
        scene.verify({"c0": [bind(scene, request, sd_jwt)]}, request)


def test_a_claim_of_the_envelope_cannot_be_asked_for(scene: Any) -> None:
    request = scene.request(scene.query(claims=["cnf"]))
    with pytest.raises(ClaimMissing):
        scene.verify({"c0": [bind(scene, request, scene.credential())]}, request)


@pytest.mark.parametrize(
    "members", [{"inflow_minor": [1.5] * 6}, {"inflow_minor": [1.0] * 6}, {"currency": "shillings"}, {"income": 1}]
)
def test_a_trusted_issuers_claims_must_fit_the_type_asked_for_or_not(scene: Any, members: dict[str, Any]) -> None:
    request = scene.request()
    with pytest.raises(ClaimsDoNotFit):
        scene.verify({"c0": [bind(scene, request, issued(scene, **members))]}, request)


def test_a_credential_whose_months_could_be_withheld(scene: Any) -> None:
    """An issuer makes months disclosable one by one; the holder would leave out the bad one."""
    request = scene.request(scene.query(claims=["inflow_minor"]))
    months = [encode_base64url(encode_json([f"salt{month}", month])) for month in range(6)]
    digests = [{"...": encode_base64url(hashlib.sha256(month.encode()).digest())} for month in months]
    payload = json.loads(parse_jws(issued(scene).split("~")[0]).payload)
    in_payload = encode_json({**payload, "inflow_minor": digests})
    header = {"typ": "dc+sd-jwt", "kid": scene.issuer.kid}
    all_other_arrays = [name for name, value in payload.items() if isinstance(value, list) and name != "inflow_minor"]
    alone = encode_json({k: v for k, v in {**payload, "inflow_minor": digests}.items() if k not in all_other_arrays})
    for signed, shown in ((in_payload, months), (alone, months), (alone, months[1:])):
        sd_jwt = "~".join([sign_jws(header, signed, scene.issuer), *shown, ""])
        with pytest.raises(ArrayNotWhole):
            scene.verify({"c0": [bind(scene, request, sd_jwt)]}, request)
    # And hidden one level deeper, inside the disclosure of the array.
    disclosure = encode_base64url(encode_json(["salt", "inflow_minor", digests]))
    digest = encode_base64url(hashlib.sha256(disclosure.encode()).digest())
    hidden = {k: v for k, v in payload.items() if k not in [*all_other_arrays, "inflow_minor"]} | {"_sd": [digest]}
    sd_jwt = "~".join([sign_jws(header, encode_json(hidden), scene.issuer), disclosure, *months[1:], ""])
    with pytest.raises(ArrayNotWhole):
        scene.verify({"c0": [bind(scene, request, sd_jwt)]}, request)


def test_one_credential_does_not_count_twice(scene: Any) -> None:
    sd_jwt = scene.credential()
    for request, vp_ids in (
        (scene.request(scene.query(multiple=True)), [("c0", 2)]),
        (scene.request(scene.query(MOBILE_MONEY, MOBILE_MONEY)), [("c0", 1), ("c1", 1)]),
    ):
        with pytest.raises(CredentialRepeated):
            scene.verify({id: [bind(scene, request, sd_jwt)] * count for id, count in vp_ids}, request)


def test_one_credential_does_not_count_twice_under_a_second_signature(scene: Any) -> None:
    """ECDSA: (r, -s) verifies wherever (r, s) does, so anyone can make a second JWT of the same credential."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    sd_jwt = scene.credential()
    issuer_jwt, _, disclosures = sd_jwt.partition("~")
    parsed = parse_jws(issuer_jwt)
    twin = parsed.signature[:32] + (order - int.from_bytes(parsed.signature[32:])).to_bytes(32)
    second = f"{parsed.signing_input.decode()}.{encode_base64url(twin)}~{disclosures}"
    request = scene.request(scene.query(multiple=True))
    scene.verify({"c0": [bind(scene, request, second)]}, request)
    with pytest.raises(CredentialRepeated):
        scene.verify({"c0": [bind(scene, request, sd_jwt), bind(scene, request, second)]}, request)


def test_claims_are_no_better_founded_than_their_issuer_is_trusted_to_be(scene: Any) -> None:
    attested = TrustedIssuer(did=scene.issuer.did, vct=MOBILE_MONEY, valid_from_ms=0, evidence_level="agent_attested")
    request = scene.request(scene.query(claims=["evidence_level"]))
    vp_token = scene.present(request, scene.credential())
    assert scene.verify(vp_token, request).credentials[0].claims == {"evidence_level": "system_of_record"}
    capped = scene.verify(vp_token, request, trusted=TrustedIssuers((attested,)))
    assert capped.credentials[0].claims == {"evidence_level": "agent_attested"}

    best = {
        "credentials": [
            {
                **scene.query().to_json()["credentials"][0],
                "claims": [{"path": ["evidence_level"], "values": ["system_of_record"]}],
            }
        ]
    }
    request = scene.request(parse_dcql_query(best))
    with pytest.raises(ClaimMissing):
        scene.verify(vp_token, request, trusted=TrustedIssuers((attested,)))


def test_copies_of_one_credential_for_several_keys_do_not_count_twice(scene: Any) -> None:
    second = SigningKey.generate()
    request = scene.request(scene.query(multiple=True), holder_policy="any")
    copies = [
        bind(scene, request, select_disclosures(scene.credential(), ["currency", "period_to", "inflow_minor"])),
        bind(scene, request, scene.credential(holder=second.public), key=second),
    ]
    with pytest.raises(CredentialRepeated) as refused:
        scene.verify({"c0": copies}, request)
    assert refused.value.step == "repetition"


def test_what_an_issuer_said_at_another_time_or_otherwise_is_no_copy(scene: Any) -> None:
    second = SigningKey.generate()
    request = scene.request(scene.query(multiple=True), holder_policy="any")
    first = bind(scene, request, scene.credential())
    earlier = {"now_ms": scene.now_ms - 2 * 86_400_000}
    other_claims = {"claims": scene.claims("mobile-money") | {"currency": "TZS"}}
    for changes in (earlier, other_claims):
        other = bind(scene, request, scene.credential(holder=second.public, **changes), key=second)
        assert len(scene.verify({"c0": [first, other]}, request).holders) == 2


# Status comes last


def status_list(scene: Any, key: SigningKey, statuses: bytes = bytes([0, 1, 2])) -> str:
    return issue_status_list(
        uri=LIST_URI, statuses=statuses, bits=2, key=key, now_ms=scene.now_ms, ttl_s=60, expires_in_s=3600
    )


def test_a_valid_status_is_dated(scene: Any, published_lists: Any) -> None:
    request = scene.request()
    lists = published_lists({LIST_URI: status_list(scene, scene.issuer)})
    sd_jwt = scene.credential(status=StatusReference(uri=LIST_URI, index=0))
    verified = scene.verify(scene.present(request, sd_jwt), request, lists=lists)
    assert verified.credentials[0].status_checked_at_ms == scene.now_ms
    assert lists.asked == [LIST_URI]


@pytest.mark.parametrize(
    ("index", "error"), [(1, CredentialRevoked), (2, CredentialSuspended), (1_000, BadStatusIndex)]
)
def test_a_credential_that_was_taken_back(
    scene: Any, published_lists: Any, index: int, error: type[IdentityError]
) -> None:
    request = scene.request()
    lists = published_lists({LIST_URI: status_list(scene, scene.issuer)})
    sd_jwt = scene.credential(status=StatusReference(uri=LIST_URI, index=index))
    with pytest.raises(error):
        scene.verify(scene.present(request, sd_jwt), request, lists=lists)


def test_57_a_status_that_cannot_be_had_is_not_taken_for_valid(scene: Any, published_lists: Any) -> None:
    request = scene.request()
    sd_jwt = scene.credential(status=StatusReference(uri=LIST_URI, index=0))
    with pytest.raises(StatusUnavailable) as refused:
        scene.verify(scene.present(request, sd_jwt), request, lists=published_lists())
    assert refused.value.retriable


def test_55_a_status_list_of_somebody_else(scene: Any, published_lists: Any) -> None:
    request = scene.request()
    lists = published_lists({LIST_URI: status_list(scene, SigningKey.generate())})
    sd_jwt = scene.credential(status=StatusReference(uri=LIST_URI, index=0))
    with pytest.raises(StatusListIssuerMismatch):
        scene.verify(scene.present(request, sd_jwt), request, lists=lists)


def test_nothing_is_fetched_for_a_presentation_that_fails_anywhere_else(scene: Any, published_lists: Any) -> None:
    request, status = scene.request(), StatusReference(uri=LIST_URI, index=0)
    good = scene.credential(status=status)
    stranger = scene.credential(key=SigningKey.generate(), status=status)
    failing: list[Callable[[], dict[str, list[str]]]] = [
        lambda: {"c0": [bind(scene, request, stranger)]},
        lambda: {"c0": [bind(scene, request, good, nonce="another")]},
        lambda: {"c0": [bind(scene, request, good, key=SigningKey.generate())]},
        lambda: {"c0": [bind(scene, request, select_disclosures(good, ["currency"]))]},
        lambda: {"c0": [bind(scene, request, issued(scene, status=status.to_claim(), currency="x"))]},
        lambda: {"c0": [bind(scene, request, scene.credential(status=status, expires_at_ms=0))]},
    ]
    lists = published_lists({LIST_URI: status_list(scene, scene.issuer)})
    for answer in failing:
        with pytest.raises(IdentityError):
            scene.verify(answer(), request, lists=lists)
    assert lists.asked == []


# Properties


@settings(max_examples=300)
@given(place=st.integers(0, 100_000), replacement=st.sampled_from("ABab01-_~.=é\0"))
def test_one_altered_character_is_noticed(scene: Any, place: int, replacement: str) -> None:
    request = scene.request()
    (presentation,) = scene.present(request, scene.credential())["c0"]
    place %= len(presentation)
    if presentation[place] == replacement:
        return
    with pytest.raises(IdentityError):
        scene.verify({"c0": [presentation[:place] + replacement + presentation[place + 1 :]]}, request)


@settings(max_examples=100)
@given(text=st.text() | st.lists(st.text(alphabet='eyJ0.~_-{}"', max_size=20), max_size=8).map("~".join))
def test_hostile_presentations_raise_only_our_errors(scene: Any, text: str) -> None:
    with pytest.raises(IdentityError):
        scene.verify({"c0": [text]}, scene.request())


@settings(max_examples=100)
@given(
    payload=st.dictionaries(
        st.sampled_from(["iss", "vct", "iat", "exp", "cnf", "status", "_sd", "_sd_alg", "currency", "sub"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
            max_leaves=4,
        ),
    ),
)
def test_a_trusted_issuer_gone_mad_raises_only_our_errors(scene: Any, payload: dict[str, Any]) -> None:
    request = scene.request()
    whole = {
        "iss": scene.issuer.did,
        "vct": MOBILE_MONEY,
        "iat": scene.now_ms // 1000,
        "cnf": {"jwk": scene.holder.public.jwk},
        **payload,
    }
    sd_jwt = sign_jws({"typ": "dc+sd-jwt"}, encode_json(whole), scene.issuer) + "~"
    with pytest.raises(IdentityError):  # `period_to` was asked for, and is never there
        scene.verify({"c0": [bind(scene, request, sd_jwt)]}, request)
