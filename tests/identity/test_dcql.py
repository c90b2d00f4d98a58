import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.dcql import ClaimsQuery, parse_dcql_query, select_claims, verify_answered_ids
from identity.errors import (
    ClaimMissing,
    CredentialMissing,
    CredentialSetIncomplete,
    DcqlInvalid,
    DcqlNotSupported,
    IdentityError,
    TooManyPresentations,
    UnknownQueryId,
    VctNotAsked,
)

VCT = "urn:credence:mobile-money:1"


def query_of(*credentials: dict[str, Any], **members: Any) -> Any:
    return parse_dcql_query({"credentials": list(credentials), **members})


def credential(id: str = "a", **changes: Any) -> dict[str, Any]:
    whole = {
        "id": id,
        "format": "dc+sd-jwt",
        "meta": {"vct_values": [VCT]},
        "claims": [{"path": ["currency"]}],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


# Published vectors: openid/OpenID4VP 1.0/examples/query_lang


@pytest.mark.parametrize(
    "name",
    [
        "query_lang/simple",
        "query_lang/claims_alternatives",
        "query_lang/credentials_alternatives",
        "query_lang/value_matching_simple",
        "request/dcql_jwt_vc",
        "request/dcql_ldp_vc",
    ],
)
def test_the_specifications_queries_are_read_and_written_back(test_data: Path, name: str) -> None:
    file = test_data / "vectors" / "openid4vp-1.0" / "1.0" / "examples" / f"{name}.json"
    value = json.loads(file.read_text())
    query = parse_dcql_query(value)
    for wanted in value.get("credential_sets", []):
        wanted.setdefault("required", True)  # written out, though it is the default
    assert query.to_json() == value
    assert parse_dcql_query(query.to_json()) == query


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("query_lang/simple_mdoc", "/credentials/0/format"),
        ("query_lang/complex_mdoc", "/credentials/0/format"),
        ("query_lang/multi_credentials", "/credentials/1/format"),
    ],
)
def test_the_specifications_queries_for_other_formats_are_not_supported(
    test_data: Path, name: str, pointer: str
) -> None:
    file = test_data / "vectors" / "openid4vp-1.0" / "1.0" / "examples" / f"{name}.json"
    with pytest.raises(DcqlNotSupported) as refused:
        parse_dcql_query(json.loads(file.read_text()))
    assert refused.value.pointer == pointer


def test_the_first_claim_set_that_is_satisfied_says_what_is_passed_on(test_data: Path) -> None:
    file = test_data / "vectors" / "openid4vp-1.0" / "1.0" / "examples" / "query_lang" / "claims_alternatives.json"
    query = parse_dcql_query(json.loads(file.read_text())).credentials[0]
    vct = "https://credentials.example.com/identity_credential"
    first = {"family_name": "Doe", "locality": "Milliways", "region": "x", "date_of_birth": "1978-07-17"}
    second = {"family_name": "Doe", "postal_code": "12345", "date_of_birth": "1978-07-17"}
    assert select_claims(query, {vct}, first | second) == first
    assert select_claims(query, {vct}, second | {"locality": "Milliways"}) == second
    with pytest.raises(ClaimMissing):
        select_claims(query, {vct}, {"family_name": "Doe", "postal_code": "12345"})


def test_an_optional_credential_set_may_stay_unanswered(test_data: Path) -> None:
    file = test_data / "vectors" / "openid4vp-1.0" / "1.0" / "examples" / "query_lang" / "credentials_alternatives.json"
    query = parse_dcql_query(json.loads(file.read_text()))
    verify_answered_ids(query, {"pid": 1})
    verify_answered_ids(query, {"other_pid": 1, "nice_to_have": 1})
    verify_answered_ids(query, {"pid_reduced_cred_1": 1, "pid_reduced_cred_2": 1})
    for incomplete in ({"pid_reduced_cred_1": 1}, {"nice_to_have": 1}, {}):
        with pytest.raises(CredentialMissing):
            verify_answered_ids(query, incomplete)


# Claims paths (section 7.3's example credential)

DENT = {
    "name": "Arthur Dent",
    "address": {"street_address": "42 Market Street", "locality": "Milliways", "postal_code": "12345"},
    "degrees": [
        {"type": "Bachelor of Science", "university": "University of Betelgeuse"},
        {"type": "Master of Science", "university": "University of Betelgeuse"},
    ],
    "nationalities": ["British", "Betelgeusian"],
}


@pytest.mark.parametrize(
    ("paths", "selected"),
    [
        ([["name"]], {"name": "Arthur Dent"}),
        ([["address"]], {"address": DENT["address"]}),
        ([["address", "locality"]], {"address": {"locality": "Milliways"}}),
        ([["address", "locality"], ["address"]], {"address": DENT["address"]}),
        (
            [["address", "locality"], ["address", "postal_code"]],
            {"address": {"locality": "Milliways", "postal_code": "12345"}},
        ),
        (
            [["degrees", None, "type"]],
            {"degrees": [{"type": "Bachelor of Science"}, {"type": "Master of Science"}]},
        ),
        ([["nationalities", None]], {"nationalities": ["British", "Betelgeusian"]}),
        ([["missing"]], None),
        ([["name", "first"]], None),
        ([["name", None]], None),
        ([["address", None]], None),
        ([["degrees", "type"]], None),
        ([["name"], ["missing"]], None),
    ],
)
def test_paths_select_what_they_lead_to_and_nothing_else(paths: list[Any], selected: Any) -> None:
    query = query_of(credential(claims=[{"path": path} for path in paths])).credentials[0]
    if selected is None:
        with pytest.raises(ClaimMissing):
            select_claims(query, {VCT}, DENT)
    else:
        assert select_claims(query, {VCT}, DENT) == selected


@pytest.mark.parametrize(
    ("values", "claim", "there"),
    [
        (["KES", "UGX"], "UGX", True),
        (["KES"], "kes", False),
        ([1], 1, True),
        ([1], True, False),
        ([True], 1, False),
        ([True], True, True),
        ([1], 1.0, False),
        (["1"], 1, False),
    ],
)
def test_a_value_must_match_in_type_too(values: list[Any], claim: Any, there: bool) -> None:
    query = query_of(credential(claims=[{"path": ["x"], "values": values}])).credentials[0]
    if there:
        assert select_claims(query, {VCT}, {"x": claim}) == {"x": claim}
    else:
        with pytest.raises(ClaimMissing):
            select_claims(query, {VCT}, {"x": claim})


def test_a_credential_of_another_type_is_refused() -> None:
    with pytest.raises(VctNotAsked):
        select_claims(query_of(credential()).credentials[0], {"urn:credence:airtime:1"}, {"currency": "KES"})


W3C = {"VerifiableCredential", "MobileMoneyCredential", "urn:credence:terms#MobileMoneyCredential"}


def w3c_credential(**changes: Any) -> dict[str, Any]:
    return credential(
        **{
            "format": "jwt_vc_json",
            "meta": {"type_values": [["VerifiableCredential", "MobileMoneyCredential"]]},
            "claims": [{"path": ["credentialSubject", "currency"]}],
            **changes,
        }
    )


@pytest.mark.parametrize("format", ["jwt_vc_json", "ldp_vc"])
def test_a_path_into_a_w3c_credential_begins_at_its_root_and_the_bare_claims_are_passed_on(format: str) -> None:
    query = query_of(w3c_credential(format=format)).credentials[0]
    assert query.format == format
    assert select_claims(query, W3C, {"currency": "KES", "months_active": 6}) == {"currency": "KES"}
    with pytest.raises(ClaimMissing):
        select_claims(query, W3C, {"credentialSubject": {"currency": "KES"}})


@pytest.mark.parametrize(
    ("type_values", "accepted"),
    [
        ([["MobileMoneyCredential"]], True),
        ([["urn:credence:terms#MobileMoneyCredential"]], True),
        ([["VerifiableCredential", "AirtimeCredential"], ["MobileMoneyCredential"]], True),
        ([["MobileMoneyCredential", "AirtimeCredential"]], False),
        ([["urn:credence:mobile-money:1"]], False),
    ],
)
def test_a_credential_must_be_of_all_the_types_of_one_alternative(type_values: list[Any], accepted: bool) -> None:
    query = query_of(w3c_credential(meta={"type_values": type_values})).credentials[0]
    assert query.accepts(W3C) == accepted
    if not accepted:
        with pytest.raises(VctNotAsked):
            select_claims(query, W3C, {"currency": "KES"})


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"meta": {"vct_values": [VCT]}}, "/credentials/0/meta"),
        ({"meta": {"type_values": []}}, "/credentials/0/meta/type_values"),
        ({"meta": {"type_values": [[]]}}, "/credentials/0/meta/type_values"),
        ({"meta": {"type_values": ["MobileMoneyCredential"]}}, "/credentials/0/meta/type_values"),
        ({"format": "dc+sd-jwt"}, "/credentials/0/meta"),
        ({"format": 1}, "/credentials/0/format"),
    ],
)
def test_types_are_asked_for_as_the_format_has_them(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DcqlInvalid) as refused:
        query_of(w3c_credential(**changes))
    assert refused.value.pointer == pointer


@pytest.mark.parametrize("path", [["currency"], ["credentialSubject"], ["issuer", "name"], ["type"]])
def test_only_claims_of_the_subject_are_asked_of_a_w3c_credential(path: list[str]) -> None:
    with pytest.raises(DcqlNotSupported) as refused:
        query_of(w3c_credential(claims=[{"path": path}]))
    assert refused.value.pointer == "/credentials/0/claims/0/path"


def test_36_answers_to_queries_that_were_not_made() -> None:
    with pytest.raises(UnknownQueryId):
        verify_answered_ids(query_of(credential("a")), {"a": 1, "b": 1})


def test_36_a_required_answer_is_missing() -> None:
    for presented in ({"a": 1}, {"a": 0, "b": 1}, {}):
        with pytest.raises(CredentialMissing):
            verify_answered_ids(query_of(credential("a"), credential("b")), presented)


def test_36_several_answers_where_one_was_asked_for() -> None:
    with pytest.raises(TooManyPresentations):
        verify_answered_ids(query_of(credential("a")), {"a": 2})
    verify_answered_ids(query_of(credential("a", multiple=True)), {"a": 2})


def test_an_optional_set_of_credentials_is_answered_whole_or_not_at_all() -> None:
    """Section 6.4.2: a credential that completes no option of a set was not asked for."""
    query = parse_dcql_query(
        {
            "credentials": [credential(id) for id in "abcd"],
            "credential_sets": [
                {"options": [["a"]]},
                {"options": [["b", "c"], ["d"]], "required": False},
            ],
        }
    )
    for whole in ("a", "abc", "ad", "abcd"):
        verify_answered_ids(query, dict.fromkeys(whole, 1))
    for part in ("ab", "ac", "abd"):
        with pytest.raises(CredentialSetIncomplete):
            verify_answered_ids(query, dict.fromkeys(part, 1))
    # Without what is required nothing else counts.
    with pytest.raises(CredentialMissing):
        verify_answered_ids(query, {"b": 1, "c": 1})


INVALID: list[tuple[Any, str]] = [
    (None, ""),
    ([], ""),
    ({}, ""),
    ({"credentials": []}, "/credentials"),
    ({"credentials": {}}, "/credentials"),
    ({"credentials": [credential()] * 2}, "/credentials"),
    ({"credentials": [credential(f"c{n}") for n in range(17)]}, "/credentials"),
    ({"credentials": [credential()], "purpose": "x"}, ""),
    ({"credentials": ["a"]}, "/credentials/0"),
    ({"credentials": [credential(id=...)]}, "/credentials/0"),
    ({"credentials": [credential(meta=...)]}, "/credentials/0"),
    ({"credentials": [credential(extra=1)]}, "/credentials/0"),
    ({"credentials": [credential(id="")]}, "/credentials/0/id"),
    ({"credentials": [credential(id="a b")]}, "/credentials/0/id"),
    ({"credentials": [credential(id="a\n")]}, "/credentials/0/id"),
    ({"credentials": [credential(id=1)]}, "/credentials/0/id"),
    ({"credentials": [credential(meta={})]}, "/credentials/0/meta"),
    ({"credentials": [credential(meta={"vct_values": []})]}, "/credentials/0/meta/vct_values"),
    ({"credentials": [credential(meta={"vct_values": [1]})]}, "/credentials/0/meta/vct_values"),
    ({"credentials": [credential(meta={"vct_values": [VCT], "x": 1})]}, "/credentials/0/meta"),
    ({"credentials": [credential(multiple=1)]}, "/credentials/0/multiple"),
    ({"credentials": [credential(claims=[])]}, "/credentials/0/claims"),
    ({"credentials": [credential(claims=[{"path": []}])]}, "/credentials/0/claims/0/path"),
    ({"credentials": [credential(claims=[{"path": [None]}])]}, "/credentials/0/claims/0/path"),
    ({"credentials": [credential(claims=[{"path": ["a", -1]}])]}, "/credentials/0/claims/0/path"),
    ({"credentials": [credential(claims=[{"path": ["a", True]}])]}, "/credentials/0/claims/0/path"),
    ({"credentials": [credential(claims=[{"path": ["a"] * 9}])]}, "/credentials/0/claims/0/path"),
    ({"credentials": [credential(claims=[{"path": ["a"], "values": []}])]}, "/credentials/0/claims/0/values"),
    ({"credentials": [credential(claims=[{"path": ["a"], "values": [1.5]}])]}, "/credentials/0/claims/0/values"),
    ({"credentials": [credential(claims=[{"path": ["a"], "values": [None]}])]}, "/credentials/0/claims/0/values"),
    ({"credentials": [credential(claims=[{"path": ["a"]}, {"path": ["a"]}])]}, "/credentials/0/claims"),
    (
        {"credentials": [credential(claims=[{"id": "x", "path": ["a"]}, {"id": "x", "path": ["b"]}])]},
        "/credentials/0/claims",
    ),
    ({"credentials": [credential(claim_sets=[["x"]])]}, "/credentials/0/claims"),
    (
        {"credentials": [credential(claims=[{"id": "x", "path": ["a"]}], claim_sets=[["y"]])]},
        "/credentials/0/claim_sets/0",
    ),
    (
        {"credentials": [credential(claims=[{"id": "x", "path": ["a"]}], claim_sets=[["x", "x"]])]},
        "/credentials/0/claim_sets/0",
    ),
    ({"credentials": [credential()], "credential_sets": []}, "/credential_sets"),
    ({"credentials": [credential()], "credential_sets": [{"options": [["b"]]}]}, "/credential_sets/0/options/0"),
    (
        {"credentials": [credential("a"), credential("b")], "credential_sets": [{"options": [["a"]]}]},
        "/credential_sets",
    ),
    (
        {"credentials": [credential()], "credential_sets": [{"options": [["a"]], "required": 0}]},
        "/credential_sets/0/required",
    ),
]
NOT_SUPPORTED: list[tuple[Any, str]] = [
    (credential(format="mso_mdoc"), "/credentials/0/format"),
    (credential(claims=...), "/credentials/0/claims"),
    (credential(require_cryptographic_holder_binding=False), "/credentials/0/require_cryptographic_holder_binding"),
    (credential(trusted_authorities=[{"type": "aki", "values": ["x"]}]), "/credentials/0"),
    (credential(claims=[{"path": ["inflow_minor", 0]}]), "/credentials/0/claims/0/path"),
]


@pytest.mark.parametrize(("value", "pointer"), INVALID)
def test_what_is_no_query_is_refused_at_its_place(value: Any, pointer: str) -> None:
    with pytest.raises(DcqlInvalid) as refused:
        parse_dcql_query(value)
    assert type(refused.value) is DcqlInvalid
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(("value", "pointer"), NOT_SUPPORTED)
def test_what_this_verifier_does_not_answer_is_said_so(value: Any, pointer: str) -> None:
    with pytest.raises(DcqlNotSupported) as refused:
        query_of(value)
    assert refused.value.pointer == pointer


# Properties

IDS = st.text("abcXYZ019_-", min_size=1, max_size=8)
PATHS = st.builds(
    lambda head, tail: [head, *tail], st.text(min_size=1), st.lists(st.none() | st.text(min_size=1), max_size=3)
)
VALUES = st.lists(st.text() | st.integers() | st.booleans(), min_size=1, max_size=3)


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    credentials = []
    for id in draw(st.lists(IDS, min_size=1, max_size=4, unique=True)):
        paths = draw(st.lists(PATHS, min_size=1, max_size=4, unique_by=tuple))
        claim_ids = draw(st.lists(IDS, min_size=len(paths), max_size=len(paths), unique=True))
        claims = [{"path": path, "id": claim_id} for path, claim_id in zip(paths, claim_ids, strict=True)]
        for claim in claims:
            if draw(st.booleans()):
                claim["values"] = draw(VALUES)
        one = credential(id, claims=claims)
        if draw(st.booleans()):
            options = st.lists(st.sampled_from(claim_ids), min_size=1, unique=True)
            one["claim_sets"] = draw(st.lists(options, min_size=1, max_size=3))
        if draw(st.booleans()):
            one["multiple"] = True
        credentials.append(one)
    value: dict[str, Any] = {"credentials": credentials}
    if draw(st.booleans()):
        ids = [one["id"] for one in credentials]
        sets = [{"options": [[id]], "required": draw(st.booleans())} for id in ids]
        value["credential_sets"] = sets
    return value


@settings(max_examples=60)
@given(queries())
def test_a_query_survives_the_round_trip(value: dict[str, Any]) -> None:
    query = parse_dcql_query(value)
    assert query.to_json() == value
    assert parse_dcql_query(json.loads(json.dumps(query.to_json()))) == query


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=100)
@given(queries(), JSON, st.data())
def test_hostile_queries_raise_only_our_errors(value: dict[str, Any], junk: Any, data: st.DataObject) -> None:
    """Put junk in the place of any member or item of a good query."""
    places: list[tuple[Any, Any]] = []
    unvisited: list[Any] = [value]
    while unvisited:
        node = unvisited.pop()
        for key in range(len(node)) if isinstance(node, list) else list(node):
            places.append((node, key))
            if isinstance(node[key], list | dict):
                unvisited.append(node[key])
    node, key = places[data.draw(st.integers(0, len(places) - 1))]
    node[key] = junk
    try:
        query = parse_dcql_query(value)
    except IdentityError:
        return
    assert parse_dcql_query(query.to_json()) == query


@settings(max_examples=60)
@given(queries(), st.dictionaries(st.text(min_size=1), JSON, max_size=2), st.data())
def test_what_is_passed_on_was_asked_for(value: dict[str, Any], claims: dict[str, Any], data: st.DataObject) -> None:
    query = data.draw(st.sampled_from(parse_dcql_query(value).credentials))
    for claim in query.claims:
        if data.draw(st.booleans()):
            claims[str(claim.path[0])] = data.draw(JSON)
    try:
        selected = select_claims(query, {VCT}, claims)
    except ClaimMissing:
        return
    assert selected.keys() <= {claim.path[0] for claim in query.claims}
    for claim in query.claims:
        if isinstance(claim, ClaimsQuery) and len(claim.path) == 1 and claim.path[0] in selected:
            assert selected[str(claim.path[0])] == claims[str(claim.path[0])]
