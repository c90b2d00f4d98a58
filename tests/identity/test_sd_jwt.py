"""SD-JWT VC: the reference implementation's specifications and a published presentation, then the inputs to refuse."""

import hashlib
import itertools
import json
import os
import random
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.did import resolve_verification_key
from identity.encoding import JsonValue, encode_base64url, encode_json, parse_json_object
from identity.errors import (
    AudienceMismatch,
    BadConfirmation,
    BadDisclosure,
    BadKey,
    BadKid,
    BadSdJwt,
    BadSdPayload,
    BadSignature,
    BadStatusIndex,
    BadTime,
    CannotIssue,
    ClaimCollision,
    ClaimNotInCredential,
    DigestRepeated,
    DisclosureMisplaced,
    DisclosureNotReferenced,
    DisclosureTooLarge,
    DuplicateDisclosure,
    Expired,
    HolderKeyMissing,
    IdentityError,
    IssuedInFuture,
    IssuerKeyMismatch,
    JsonDepth,
    KbInFuture,
    KbStale,
    KeyBindingMissing,
    KeyBindingUnexpected,
    MissingClaim,
    NonceMismatch,
    NotYetValid,
    PrivateKeyInJwk,
    ReservedClaimDisclosed,
    ReservedClaimName,
    SdAlgNotAllowed,
    SdHashMismatch,
    TooLarge,
    TooManyDisclosures,
    UnsupportedStatus,
    WrongTyp,
)
from identity.jws import parse_jws, sign_jws
from identity.key_binding import KeyBinding
from identity.keys import PublicKey, SigningKey, parse_public_jwk
from identity.sd_jwt import (
    ParsedIssuerJwt,
    VerifiedSdJwt,
    issue_sd_jwt,
    issuer_jwt_of,
    select_disclosures,
    verify_sd_jwt,
)
from identity.status_list import StatusReference
from tests.conftest import stable_id

DATA = Path(os.environ.get("CREDENCE_TEST_DATA", "")) / "vectors"
HAS_DATA = "CREDENCE_TEST_DATA" in os.environ
needs_vectors = pytest.mark.skipif(not HAS_DATA, reason="CREDENCE_TEST_DATA is not set")

ISSUER = SigningKey.generate()
HOLDER = SigningKey.generate()
NOW_S = 1_790_000_000
NOW_MS = NOW_S * 1000
NONCE, AUDIENCE = "n-0S6_WzA2Mj", "decentralized_identifier:did:jwk:verifier"
BINDING = KeyBinding(nonce=NONCE, audience=AUDIENCE)


def by_did(parsed: ParsedIssuerJwt) -> PublicKey:
    return resolve_verification_key(did=parsed.issuer, kid=parsed.kid)


def registered(**changes: Any) -> dict[str, JsonValue]:
    claims: dict[str, JsonValue] = {
        "iss": ISSUER.did,
        "iat": NOW_S - 100,
        "exp": NOW_S + 1000,
        "vct": "urn:credence:mobile-money:1",
        "cnf": {"jwk": HOLDER.public.jwk},
    }
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def issued(disclosed: dict[str, JsonValue] | None = None, **changes: Any) -> str:
    claims = disclosed if disclosed is not None else {"months": 6, "inflow": [1, 2, 3], "currency": "KES"}
    return issue_sd_jwt(
        claims={**registered(**changes), **claims}, disclosable=claims, key=ISSUER, random_bytes=secrets.token_bytes
    )


def digest(text: str) -> str:
    return encode_base64url(hashlib.sha256(text.encode()).digest())


def disclosure(*parts: Any) -> str:
    return encode_base64url(encode_json(["c2FsdA", *parts]))


def signed(payload: Any, *disclosures: str, typ: str = "dc+sd-jwt", header: dict[str, Any] | None = None) -> str:
    """A correctly signed SD-JWT of exactly this payload."""
    body = payload if isinstance(payload, bytes) else encode_json(payload)
    jwt = sign_jws({"typ": typ, "kid": ISSUER.kid, **(header or {})}, body, ISSUER)
    return "~".join([jwt, *disclosures, ""])


def bound(sd_jwt: str, *, key: SigningKey = HOLDER, typ: str = "kb+jwt", **changes: Any) -> str:
    claims = {"iat": NOW_S - 5, "aud": AUDIENCE, "nonce": NONCE, "sd_hash": digest(sd_jwt), **changes}
    return sd_jwt + sign_jws({"typ": typ}, encode_json({k: v for k, v in claims.items() if v is not ...}), key)


def verify(
    sd_jwt: str,
    *,
    key_binding: KeyBinding | None = None,
    now_ms: int | None = NOW_MS,
    issuer_key_for: Callable[[ParsedIssuerJwt], PublicKey] = by_did,
) -> VerifiedSdJwt:
    return verify_sd_jwt(sd_jwt, issuer_key_for=issuer_key_for, now_ms=now_ms, key_binding=key_binding)


# Vectors


SPECIFICATIONS: dict[str, str] = json.loads((DATA / "sd-jwt-python/_texts.json").read_bytes()) if HAS_DATA else {}
COMPACT = [
    name
    for name, text in SPECIFICATIONS.items()
    if name.endswith("specification.yml") and "serialization_format: json" not in text
]


@needs_vectors
def test_there_are_28_compact_specifications() -> None:
    assert len(COMPACT) == 28


@needs_vectors
@pytest.mark.parametrize("name", COMPACT)
def test_specification_of_sd_jwt_python(name: str, tmp_path: Path) -> None:
    """Issued and presented by PyPI's sd-jwt as the specification says; our claims equal its own and the expected.

    Three specifications say what this profile refuses: one `kid: 42`, two an RSA holder key. There the refusal is
    asserted, and the rest runs with a kid of text and with a P-256 key.
    """
    from jwcrypto.jwk import JWK
    from sd_jwt.holder import SDJWTHolder
    from sd_jwt.issuer import SDJWTIssuer
    from sd_jwt.utils.yaml_specification import load_yaml_specification
    from sd_jwt.verifier import SDJWTVerifier

    (tmp_path / "specification.yml").write_text(SPECIFICATIONS[name])
    specification = load_yaml_specification(tmp_path / "specification.yml")
    issuer_key, holder_key = (
        JWK.from_json(json.dumps(ISSUER.to_private_jwk())),
        JWK.from_json(json.dumps(HOLDER.to_private_jwk())),
    )
    registered_claims = {
        "iss": "https://example.com/issuer",
        "iat": 1683000000,
        "exp": 4000000000,
        "vct": "urn:example",
    }
    binding = specification.get("key_binding", False)

    def present(user_claims: dict[str, Any], header: dict[str, Any]) -> str:
        issuer = SDJWTIssuer(
            {**registered_claims, **user_claims},
            issuer_key,
            holder_key if binding else None,
            add_decoy_claims=specification.get("add_decoy_claims", False),
            extra_header_parameters={"typ": "dc+sd-jwt", **header},
        )
        holder = SDJWTHolder(issuer.sd_jwt_issuance)
        holder.create_presentation(
            specification["holder_disclosed_claims"],
            *((NONCE, AUDIENCE, holder_key) if binding else ()),
        )
        presentation: str = holder.sd_jwt_presentation
        return presentation

    def verify_presentation(presentation: str) -> VerifiedSdJwt:
        return verify(
            presentation,
            issuer_key_for=lambda _: ISSUER.public,
            key_binding=BINDING if binding else None,
            now_ms=time.time_ns() // 1_000_000,
        )

    user_claims, header = specification["user_claims"], specification.get("extra_header_parameters", {})
    if name.endswith("header_mod/specification.yml"):
        with pytest.raises(BadKid):
            verify_presentation(present(user_claims, header))
        header = {"kid": "42"}
    if "RSA" in SPECIFICATIONS[name]:
        with pytest.raises(BadKey):
            verify_presentation(present(user_claims, header))
        user_claims = {**user_claims, "cnf": {"jwk": HOLDER.public.jwk}}

    presentation = present(user_claims, header)
    claims = verify_presentation(presentation).claims

    reference = SDJWTVerifier(presentation, lambda *_: issuer_key).get_verified_payload()
    assert claims == reference
    if "expect_verified_user_claims" in specification:
        confirmation = {"cnf": {"jwk": HOLDER.public.jwk}} if binding else {}
        assert claims == {**registered_claims, **confirmation, **specification["expect_verified_user_claims"]}


@needs_vectors
def test_published_presentation_of_openid4vp() -> None:
    texts = json.loads((DATA / "openid4vp-1.0/_texts.json").read_bytes())
    folder = "1.0/examples/sd_jwt_vcld/01/"
    presentation = "".join(texts[folder + "sd_jwt_presentation.txt"].split())
    issuer_key = parse_public_jwk(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ",
            "y": "Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8",
        }
    )
    verified = verify_sd_jwt(
        presentation,
        issuer_key_for=lambda _: issuer_key,
        now_ms=1_744_743_400_000,
        key_binding=KeyBinding(nonce="1234567890", audience="https://verifier.example.org"),
    )
    assert verified.claims == json.loads((DATA / "openid4vp-1.0" / folder / "verified_contents.json").read_bytes())
    assert verified.issuer == "https://issuer.example.com"
    assert verified.vct == "https://credentials.example.com/example_credential"
    assert (verified.issued_at_ms, verified.expires_at_ms) == (1_683_000_000_000, 1_883_000_000_000)


# Round trips and properties


NAMES = st.text(min_size=1, max_size=8).filter(
    lambda name: name not in {*registered(), "_sd", "_sd_alg", "...", "nbf", "status"}
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4).filter(lambda name: name not in {"_sd", "_sd_alg", "..."}), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=50)
@given(claims=st.dictionaries(NAMES, VALUES, max_size=6), data=st.data())
def test_round_trip_of_any_claims_and_any_choice(claims: dict[str, Any], data: st.DataObject) -> None:
    sd_jwt = issued(claims)
    assert verify(sd_jwt).claims == {**registered(), **claims}
    names = data.draw(st.sets(st.sampled_from(sorted(claims)))) if claims else set()
    chosen = bound(select_disclosures(sd_jwt, names))
    verified = verify(chosen, key_binding=BINDING)
    assert verified.claims == {**registered(), **{name: claims[name] for name in names}}
    assert set(verified.disclosed) == names
    assert verified.issuer_jwt == issuer_jwt_of(sd_jwt) == issuer_jwt_of(chosen)


def test_what_is_verified_is_told() -> None:
    status: JsonValue = {"status_list": {"idx": 7, "uri": "https://issuer.example/status/1"}}
    verified = verify(bound(issued(status=status)), key_binding=BINDING)
    assert verified.issuer == ISSUER.did
    assert verified.vct == "urn:credence:mobile-money:1"
    assert (verified.issued_at_ms, verified.expires_at_ms) == (NOW_MS - 100_000, NOW_MS + 1_000_000)
    assert verified.holder == HOLDER.public
    assert verified.status == StatusReference(uri="https://issuer.example/status/1", index=7)
    assert sorted(verified.disclosed) == ["currency", "inflow", "months"]


def test_optional_claims_may_be_missing() -> None:
    verified = verify(issued(exp=..., cnf=...))
    assert (verified.expires_at_ms, verified.holder, verified.status) == (None, None, None)


def test_issued_digests_tell_no_order_and_salts_differ() -> None:
    sd_jwt = issued({f"claim_{number:02}": 1 for number in range(20)})
    payload = parse_json_object(parse_jws(issuer_jwt_of(sd_jwt)).payload)
    assert payload["_sd"] == sorted(map(digest, sd_jwt.split("~")[1:-1]))
    assert payload["_sd_alg"] == "sha-256"
    assert "claim_" not in str(payload)
    randomness: list[int] = []

    def counted(length: int) -> bytes:
        randomness.append(length)
        return bytes([len(randomness)]) * length

    issue_sd_jwt(claims={**registered(), "a": 1, "b": 1}, disclosable=["a", "b"], key=ISSUER, random_bytes=counted)
    assert randomness == [16, 16]


def test_eddsa_issuer_and_holder_are_accepted() -> None:
    issuer, holder = SigningKey.generate("EdDSA"), SigningKey.generate("EdDSA")
    claims = registered(iss=issuer.did, cnf={"jwk": holder.public.jwk})
    sd_jwt = issue_sd_jwt(claims={**claims, "a": 1}, disclosable=["a"], key=issuer, random_bytes=secrets.token_bytes)
    assert verify(bound(sd_jwt, key=holder), key_binding=BINDING).claims == {**claims, "a": 1}


def test_evidence_of_the_past_is_verified_without_a_clock() -> None:
    assert verify(issued(exp=NOW_S - 10_000_000), now_ms=None).expires_at_ms == NOW_MS - 10_000_000_000


def test_a_key_binding_is_not_asked_without_a_clock() -> None:
    with pytest.raises(ValueError, match="clock"):
        verify(bound(issued()), now_ms=None, key_binding=BINDING)


PRESENTED = bound(issued())


@settings(max_examples=300)
@given(
    place=st.integers(0, len(PRESENTED) - 1),
    character=st.sampled_from("AQgwZz09-_~.=\n") | st.characters(codec="utf-8"),
)
def test_one_altered_character_is_refused(place: int, character: str) -> None:
    altered = PRESENTED[:place] + character + PRESENTED[place + 1 :]
    if altered == PRESENTED:
        return
    with pytest.raises(IdentityError):
        verify(altered, key_binding=BINDING)


def test_every_altered_bit_pattern_of_many_mutations_is_refused() -> None:
    """Deletions, insertions, swaps and repeats of random pieces, as a fuzzer would make them."""
    chance = random.Random(7)
    for _ in range(1500):
        start, end = sorted(chance.sample(range(len(PRESENTED) + 1), 2))
        piece = PRESENTED[start:end]
        mutated = chance.choice(
            [
                PRESENTED[:start] + PRESENTED[end:],
                PRESENTED[:start] + piece + piece + PRESENTED[end:],
                PRESENTED[:start] + piece[::-1] + PRESENTED[end:],
                PRESENTED[:start] + "".join(chance.choices("AZaz09-_~.{}=", k=5)) + PRESENTED[start:],
                PRESENTED[:start],
            ]
        )
        if mutated != PRESENTED:
            with pytest.raises(IdentityError):
                verify(mutated, key_binding=BINDING)


@given(st.text(st.characters(codec=None)) | st.text("~.AQ-_e30", max_size=40))
def test_hostile_text_raises_only_our_errors(text: str) -> None:
    for operation in (verify, lambda sd_jwt: select_disclosures(sd_jwt, ["a"])):
        with pytest.raises(IdentityError):
            operation(text)


@settings(max_examples=200)
@given(
    payload=st.dictionaries(
        st.sampled_from(["_sd", "_sd_alg", "...", "a", "iss", "iat", "exp", "nbf", "cnf", "status", "vct"]),
        VALUES | st.lists(st.fixed_dictionaries({"...": VALUES}), max_size=2),
    ),
    disclosures=st.lists(
        VALUES.map(lambda value: encode_base64url(encode_json(value))) | st.text(max_size=5), max_size=3
    ),
)
def test_hostile_payloads_with_a_good_signature_raise_only_our_errors(payload: Any, disclosures: list[str]) -> None:
    try:
        verified = verify(signed({**registered(), **payload}, *disclosures))
    except IdentityError:
        return
    assert not disclosures
    assert verified.issuer == ISSUER.did


# Selecting


def nested() -> tuple[str, dict[str, str]]:
    """address { street (own disclosure) } and countries [ two element disclosures ], address itself a disclosure."""
    street = disclosure("street", "Moi Avenue")
    address = disclosure("address", {"city": "Nairobi", "_sd": [digest(street)]})
    kenya, uganda = disclosure("KE"), disclosure("UG")
    name = disclosure("name", "Wanjiru")
    payload = registered(countries=[{"...": digest(kenya)}, "TZ", {"...": digest(uganda)}])
    parts = {"street": street, "address": address, "kenya": kenya, "uganda": uganda, "name": name}
    return signed({**payload, "_sd": [digest(address), digest(name)]}, *parts.values()), parts


def test_selecting_keeps_what_is_nested_and_drops_the_rest() -> None:
    sd_jwt, parts = nested()
    jwt = issuer_jwt_of(sd_jwt)
    assert select_disclosures(sd_jwt, ["address"]) == "~".join([jwt, parts["street"], parts["address"], ""])
    assert select_disclosures(sd_jwt, ["countries"]) == "~".join([jwt, parts["kenya"], parts["uganda"], ""])
    assert select_disclosures(sd_jwt, ["vct"]) == jwt + "~"
    assert select_disclosures(bound(sd_jwt), []) == jwt + "~"
    assert select_disclosures(sd_jwt, {"address", "countries", "name"}) == sd_jwt
    verified = verify(select_disclosures(sd_jwt, ["address"]))
    assert verified.claims["address"] == {"city": "Nairobi", "street": "Moi Avenue"}
    assert verified.claims["countries"] == ["TZ"]
    assert verified.disclosed == ("address",)


def test_selecting_what_the_credential_lacks_is_refused() -> None:
    with pytest.raises(ClaimNotInCredential):
        select_disclosures(issued(), ["salary"])
    with pytest.raises(ClaimNotInCredential):
        select_disclosures(nested()[0], ["street"])
    without_months = select_disclosures(issued(), ["currency"])
    with pytest.raises(ClaimNotInCredential):
        select_disclosures(without_months, ["months"])


# Issuing


@pytest.mark.parametrize(
    ("changes", "disclosable"),
    [
        ({"iss": "https://someone.else"}, ["a"]),
        ({"iss": ...}, ["a"]),
        ({}, ["absent"]),
        ({}, ["exp"]),
        ({}, ["iss", "a"]),
        ({"_sd": []}, ["a"]),
        ({"_sd_alg": "md5"}, []),
        ({"...": 1}, []),
        ({"a": float("nan")}, ["a"]),
        ({"a": "\ud800"}, []),
    ],
    ids=str,
)
def test_claims_that_break_the_format_are_not_issued(changes: dict[str, Any], disclosable: list[str]) -> None:
    with pytest.raises(CannotIssue):
        issue_sd_jwt(
            claims={"a": 1, **registered(**changes)},
            disclosable=disclosable,
            key=ISSUER,
            random_bytes=secrets.token_bytes,
        )


# The inputs to refuse, by their number


def test_input_02_a_signature_by_another_key_is_refused() -> None:
    with pytest.raises(BadSignature):
        verify(issued(), issuer_key_for=lambda _: HOLDER.public)


def test_input_09_a_kid_of_another_did_than_iss_is_refused() -> None:
    with pytest.raises(IssuerKeyMismatch):
        verify(signed(registered(iss=HOLDER.did)))


@pytest.mark.parametrize(
    "typ", ["kb+jwt", "vc+sd-jwt", "JWT", "oauth-authz-req+jwt", "openid4vci-proof+jwt", "DC+SD-JWT"]
)
def test_input_15_another_typ_is_no_credential(typ: str) -> None:
    def no_key(_: ParsedIssuerJwt) -> PublicKey:
        pytest.fail("a key was asked for a JWT of another type")

    with pytest.raises(WrongTyp):
        verify(signed(registered(), typ=typ), issuer_key_for=no_key)


@pytest.mark.parametrize("typ", ["dc+sd-jwt", "openid4vci-proof+jwt", "JWT"])
def test_input_15_another_typ_is_no_key_binding(typ: str) -> None:
    with pytest.raises(WrongTyp):
        verify(bound(issued(), typ=typ), key_binding=BINDING)


def test_input_15_a_key_binding_is_no_credential() -> None:
    with pytest.raises(WrongTyp):
        verify(PRESENTED.rpartition("~")[2] + "~")


def test_input_16_private_key_in_cnf_is_refused() -> None:
    with pytest.raises(PrivateKeyInJwk):
        verify(issued(cnf={"jwk": HOLDER.to_private_jwk()}))


@pytest.mark.parametrize(
    "cnf",
    [None, [], "key", {}, {"kid": "#0"}, {"jwk": HOLDER.public.jwk, "kid": "#0"}, {"x5t#S256": "AA"}],
    ids=stable_id,
)
def test_a_confirmation_other_than_one_jwk_is_refused(cnf: Any) -> None:
    with pytest.raises(BadConfirmation):
        verify(issued(cnf=cnf))


@pytest.mark.parametrize(
    "jwk", [None, {}, {"kty": "RSA", "n": "AA", "e": "AQAB"}, {**HOLDER.public.jwk, "x": "AA"}], ids=stable_id
)
def test_input_05_a_bad_holder_key_is_refused(jwk: Any) -> None:
    with pytest.raises(BadKey):
        verify(issued(cnf={"jwk": jwk}))


def test_input_17_an_expired_credential_is_refused() -> None:
    assert verify(issued(exp=NOW_S - 59)).expires_at_ms == NOW_MS - 59_000
    with pytest.raises(Expired):
        verify(issued(exp=NOW_S - 60))


def test_input_18_a_credential_of_the_future_is_refused() -> None:
    assert verify(issued(nbf=NOW_S + 60, iat=NOW_S + 60)).issued_at_ms == NOW_MS + 60_000
    with pytest.raises(NotYetValid):
        verify(issued(nbf=NOW_S + 61))
    with pytest.raises(IssuedInFuture):
        verify(issued(iat=NOW_S + 61))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", [True, False, "1790000000", 1e300, -1, 10**19, None, [], {}, 253_402_300_800, NOW_MS], ids=str
)
def test_input_19_a_time_that_is_no_time_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BadTime):
        verify(issued(**{name: value}))


@pytest.mark.parametrize("value", ["2026-09-22", "2026-09-22T10:00:00", "2026-13-01T00:00:00Z", "soon"])
def test_input_20_a_date_in_text_is_refused(value: str) -> None:
    with pytest.raises(BadTime):
        verify(issued(exp=value))


def test_a_fraction_of_a_second_is_a_time() -> None:
    assert verify(issued(iat=NOW_S - 0.5)).issued_at_ms == NOW_MS - 500


def test_input_21_an_old_key_binding_is_refused() -> None:
    assert verify(bound(issued(), iat=NOW_S - 300), key_binding=BINDING).holder == HOLDER.public
    with pytest.raises(KbStale):
        verify(bound(issued(), iat=NOW_S - 301), key_binding=BINDING)


def test_input_21_a_key_binding_of_the_future_is_refused() -> None:
    assert verify(bound(issued(), iat=NOW_S + 60), key_binding=BINDING).holder == HOLDER.public
    with pytest.raises(KbInFuture):
        verify(bound(issued(), iat=NOW_S + 61), key_binding=BINDING)


def test_a_key_binding_beyond_its_own_exp_is_refused() -> None:
    with pytest.raises(Expired):
        verify(bound(issued(), exp=NOW_S - 61), key_binding=BINDING)


A = disclosure("a", 1)


def test_input_22_a_disclosure_given_twice_is_refused() -> None:
    with pytest.raises(DuplicateDisclosure):
        verify(signed({**registered(), "_sd": [digest(A)]}, A, A))


def test_input_23_a_disclosure_without_a_digest_is_refused() -> None:
    sd_jwt = signed({**registered(), "_sd": [digest(A)]}, A, disclosure("b", 2))
    with pytest.raises(DisclosureNotReferenced):
        verify(sd_jwt)
    with pytest.raises(DisclosureNotReferenced):
        verify(signed(registered(), disclosure({"...": digest(A)}), A))


@pytest.mark.parametrize(
    "payload",
    [
        {"_sd": [digest(A), digest(A)]},
        {"_sd": [digest(A)], "b": {"_sd": [digest(A)]}},
        {"_sd": ["decoy"], "b": [{"...": "decoy"}]},
        {"_sd": ["decoy", "decoy"]},
        {"b": [{"...": "decoy"}, {"...": "decoy"}]},
    ],
    ids=range(5),
)
def test_input_24_a_digest_that_stands_twice_is_refused(payload: Any) -> None:
    with pytest.raises(DigestRepeated):
        verify(signed({**registered(), **payload}, *([A] if digest(A) in str(payload) else [])))


def test_input_24_a_digest_repeated_within_a_disclosure_is_refused() -> None:
    outer = disclosure("b", {"_sd": [digest(A)]})
    with pytest.raises(DigestRepeated):
        verify(signed({**registered(), "_sd": [digest(outer), digest(A)]}, outer, A))


@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_input_25_a_reserved_claim_name_is_refused(name: str) -> None:
    hostile = disclosure(name, ["x"])
    with pytest.raises(ReservedClaimName):
        verify(signed({**registered(), "_sd": [digest(hostile)]}, hostile))
    with pytest.raises(ReservedClaimName):
        verify(signed({**registered(), "b": {"_sd": [digest(hostile)]}}, hostile))


def test_input_25_a_claim_that_collides_is_refused() -> None:
    with pytest.raises(ClaimCollision):
        verify(signed({**registered(), "a": 0, "_sd": [digest(A)]}, A))
    again = disclosure("a", 2)
    with pytest.raises(ClaimCollision):
        verify(signed({**registered(), "_sd": [digest(A), digest(again)]}, A, again))


def test_input_26_a_disclosure_in_the_wrong_place_is_refused() -> None:
    element = disclosure("KE")
    with pytest.raises(DisclosureMisplaced):
        verify(signed({**registered(), "_sd": [digest(element)]}, element))
    with pytest.raises(DisclosureMisplaced):
        verify(signed({**registered(), "countries": [{"...": digest(A)}]}, A))


@pytest.mark.parametrize(
    "parts",
    [["salt"], [], ["salt", "a", 1, 2], [1, "a", 1], ["salt", 1, 1], ["salt", None, 1], {"a": 1}, "text", None],
    ids=str,
)
def test_input_26_a_disclosure_of_another_shape_is_refused(parts: Any) -> None:
    hostile = encode_base64url(encode_json(parts))
    with pytest.raises(BadDisclosure):
        verify(signed({**registered(), "_sd": [digest(hostile)]}, hostile))


@pytest.mark.parametrize("algorithm", ["sha-512", "SHA-256", "sha256", "md5", "", None, 1, ["sha-256"]])
def test_input_27_another_digest_algorithm_is_refused(algorithm: Any) -> None:
    with pytest.raises(SdAlgNotAllowed):
        verify(signed({**registered(), "_sd_alg": algorithm}))


def test_input_27_the_default_digest_algorithm_is_sha_256() -> None:
    assert verify(signed({**registered(), "_sd": [digest(A)]}, A)).claims["a"] == 1


@pytest.mark.parametrize(
    "payload",
    [
        {"_sd": digest(A)},
        {"_sd": [1]},
        {"_sd": {}},
        {"_sd": None},
        {"b": [{"...": 1}]},
        {"b": [{"...": "x", "c": 1}]},
        {"...": "x"},
        {"b": {"...": "x"}},
        {"b": {"_sd_alg": "sha-256"}},
        {"b": [{"c": {"_sd": "x"}}]},
    ],
    ids=str,
)
def test_input_27_misused_sd_members_are_refused(payload: Any) -> None:
    with pytest.raises(BadSdPayload):
        verify(signed({**registered(), **payload}))


@pytest.mark.parametrize("name", ["iss", "iat", "exp", "nbf", "cnf", "vct", "vct#integrity", "status"])
@pytest.mark.parametrize("also_plain", [False, True])
def test_input_28_a_registered_claim_by_disclosure_is_refused(name: str, also_plain: bool) -> None:
    claims = registered(nbf=NOW_S - 10, status={"status_list": {"idx": 0, "uri": "https://x.example"}})
    hostile = disclosure(name, claims.get(name, "sha256-x"))
    if not also_plain:
        claims.pop(name, None)
    # Without these three nobody can be asked for a key, or the claims be dated, so they are missed before.
    expected = MissingClaim if name in {"iss", "vct", "iat"} and not also_plain else ReservedClaimDisclosed
    with pytest.raises(expected):
        verify(signed({**claims, "_sd": [digest(hostile)]}, hostile))


@pytest.mark.parametrize(
    ("name", "value"), [("iat", ...), *itertools.product(["iss", "vct"], [..., None, 5, "", ["urn:x"]])], ids=str
)
def test_a_missing_required_claim_is_refused(name: str, value: Any) -> None:
    with pytest.raises(MissingClaim):
        verify(signed(registered(**{name: value})))


def test_input_29_a_missing_key_binding_is_refused() -> None:
    with pytest.raises(KeyBindingMissing):
        verify(issued(), key_binding=BINDING)


def test_input_29_a_key_binding_without_a_holder_key_is_refused() -> None:
    with pytest.raises(HolderKeyMissing):
        verify(bound(issued(cnf=...)), key_binding=BINDING)


def test_input_29_a_key_binding_where_none_is_expected_is_refused() -> None:
    with pytest.raises(KeyBindingUnexpected):
        verify(bound(issued()))


def test_input_29_a_key_binding_for_other_disclosures_is_refused() -> None:
    sd_jwt = issued()
    fewer = select_disclosures(sd_jwt, ["months"])
    key_binding_jwt = bound(sd_jwt).removeprefix(sd_jwt)
    with pytest.raises(SdHashMismatch):
        verify(fewer + key_binding_jwt, key_binding=BINDING)
    with pytest.raises(SdHashMismatch):
        verify(sd_jwt + bound(fewer).removeprefix(fewer), key_binding=BINDING)


def test_input_29_a_key_binding_by_another_key_is_refused() -> None:
    with pytest.raises(BadSignature):
        verify(bound(issued(), key=ISSUER), key_binding=BINDING)


@pytest.mark.parametrize("name", ["iat", "aud", "nonce", "sd_hash"])
def test_input_29_an_incomplete_key_binding_is_refused(name: str) -> None:
    with pytest.raises(MissingClaim):
        verify(bound(issued(), **{name: ...}), key_binding=BINDING)


def test_input_30_too_many_or_too_large_disclosures_are_refused() -> None:
    many = {f"c{number}": number for number in range(200)}
    assert len(verify(issued(many)).disclosed) == 200
    with pytest.raises(TooManyDisclosures):
        verify(issued({**many, "one_more": 1}))
    with pytest.raises(DisclosureTooLarge):
        verify(issued({"a": "x" * 50_000}))


def test_input_14_a_huge_sd_jwt_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        verify("a~" * 200_000)


@pytest.mark.parametrize("audience", ["decentralized_identifier:did:jwk:other", "", AUDIENCE + "/", AUDIENCE.upper()])
def test_input_31_a_key_binding_for_another_audience_is_refused(audience: str) -> None:
    with pytest.raises(AudienceMismatch):
        verify(bound(issued(), aud=audience), key_binding=BINDING)


@pytest.mark.parametrize("audience", ["https://other.example", ["https://other.example"], [], None, 1, {AUDIENCE: 1}])
@pytest.mark.parametrize("disclosed", [False, True])
def test_a_credential_that_its_issuer_restricted_to_another_audience_is_refused(disclosed: bool, audience: Any) -> None:
    credential = issued({"aud": audience}) if disclosed else issued(aud=audience)
    with pytest.raises(AudienceMismatch):
        verify(bound(credential), key_binding=BINDING)


@pytest.mark.parametrize("audience", [AUDIENCE, ["https://other.example", AUDIENCE]])
def test_a_credential_that_is_restricted_to_us_is_for_us_and_for_nobody_without_a_name(audience: JsonValue) -> None:
    assert verify(bound(issued(aud=audience)), key_binding=BINDING).claims["aud"] == audience
    with pytest.raises(AudienceMismatch):
        verify(issued(aud=audience))


def test_input_31_a_list_of_audiences_is_refused() -> None:
    with pytest.raises(MissingClaim):
        verify(bound(issued(), aud=[AUDIENCE]), key_binding=BINDING)


@pytest.mark.parametrize("nonce", ["", "another", NONCE + " ", NONCE.lower()])
def test_input_32_a_key_binding_for_another_nonce_is_refused(nonce: str) -> None:
    with pytest.raises(NonceMismatch):
        verify(bound(issued(), nonce=nonce), key_binding=BINDING)


@pytest.mark.parametrize("nonce", [None, 1, [NONCE], ...], ids=str)
def test_input_32_a_nonce_that_is_no_text_is_refused(nonce: Any) -> None:
    with pytest.raises(MissingClaim):
        verify(bound(issued(), nonce=nonce), key_binding=BINDING)


def test_input_13_disclosures_within_disclosures_cannot_nest_without_end() -> None:
    chain = list(
        itertools.accumulate(range(150), lambda inner, _: disclosure("a", {"_sd": [digest(inner)]}), initial=A)
    )
    with pytest.raises(JsonDepth):
        verify(signed({**registered(), "_sd": [digest(chain[-1])]}, *chain))


@pytest.mark.parametrize("index", [-1, True, "1e3", 1.0, None])
def test_input_54_a_status_index_that_is_no_index_is_refused(index: Any) -> None:
    with pytest.raises(BadStatusIndex):
        verify(issued(status={"status_list": {"idx": index, "uri": "https://x.example"}}))


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        [],
        {"bitstring_status_list": {}},
        {"status_list": {"idx": 0, "uri": "https://x.example"}, "other": {}},
        {"status_list": {"idx": 0}},
        {"status_list": {"idx": 0, "uri": 5}},
        {"status_list": {"idx": 0, "uri": ""}},
        {"status_list": {"idx": 0, "uri": "https://x.example", "more": 1}},
    ],
    ids=str,
)
def test_input_58_an_unknown_status_mechanism_is_refused(status: Any) -> None:
    with pytest.raises(UnsupportedStatus):
        verify(issued(status=status))


@pytest.mark.parametrize(
    "text", ["", "~", "a", "a~~", "~a~", issuer_jwt_of(issued()), issued()[:-1], issued() + "~", "é~"]
)
def test_what_is_no_sd_jwt_is_refused(text: str) -> None:
    with pytest.raises(IdentityError):
        verify(text)


@pytest.mark.parametrize("text", ["", "~", "jwt", "jwt~~", "~d~", "jwt~d~~kb", "jwté~"])
def test_what_has_no_parts_is_no_sd_jwt(text: str) -> None:
    with pytest.raises(BadSdJwt):
        issuer_jwt_of(text)


def test_refusals_never_repeat_the_input() -> None:
    marker = "s3cr3t"
    hostile: Sequence[str] = [
        marker,
        signed(registered(vct=marker), disclosure(marker, marker)),
        signed(registered(exp=marker)),
        bound(issued(), nonce=marker),
    ]
    for sd_jwt in hostile:
        with pytest.raises(IdentityError) as refusal:
            verify(sd_jwt, key_binding=BINDING)
        assert marker not in str(refusal.value)
        assert refusal.value.__cause__ is None
