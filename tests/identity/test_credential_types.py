import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.credential_types.types import load_credential_types
from identity.errors import ClaimsDoNotFit, IdentityError

TYPES = load_credential_types()
NAMES = {
    "agri-delivery",
    "airtime",
    "gig-income",
    "loan-outcome",
    "mobile-money",
    "recurring-bill",
    "remittance",
    "repayment-history",
    "savings-group",
}
ENVELOPE = {"iss", "iat", "nbf", "exp", "vct", "cnf", "status", "sub", "jti"}


def resolve(schema: Mapping[str, Any], vct: str) -> Mapping[str, Any]:
    return TYPES[vct].schema["$defs"][schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


@st.composite
def claims_of(draw: st.DrawFn, vct: str) -> dict[str, Any]:
    """Any claims that the schema of `vct` allows, built from the schema alone."""
    months = draw(st.integers(1, 24))
    claims: dict[str, Any] = {}
    for name, property_schema in TYPES[vct].schema["properties"].items():
        schema = resolve(property_schema, vct)
        if "enum" in schema:
            claims[name] = draw(st.sampled_from(schema["enum"]))
        elif schema.get("format") == "date":
            claims[name] = draw(st.dates()).isoformat()
        elif "pattern" in schema:
            claims[name] = draw(
                st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(codec="ascii"))
            )
        elif schema["type"] == "integer":
            claims[name] = draw(st.integers(schema["minimum"], schema["maximum"]))
        else:
            item = st.integers(schema["items"]["minimum"], schema["items"]["maximum"])
            length = 6 if schema["maxItems"] == 6 else months
            claims[name] = draw(st.lists(item, min_size=length, max_size=length))
    claims["period_from"], claims["period_to"] = sorted((claims["period_from"], claims["period_to"]))
    return claims


ANY_TYPE = st.sampled_from(sorted(TYPES))
ANY_CLAIMS = ANY_TYPE.flatmap(lambda vct: st.tuples(st.just(vct), claims_of(vct)))


def test_there_are_the_nine_types_of_the_issue() -> None:
    assert set(TYPES) == {f"urn:credence:{name}:1" for name in NAMES}
    assert {kind.name for kind in TYPES.values()} == NAMES


def test_a_types_w3c_name_is_a_term_and_an_iri_that_names_it_alone() -> None:
    types = load_credential_types()
    assert types["urn:credence:mobile-money:1"].w3c_name == "MobileMoneyCredential"
    assert types["urn:credence:airtime:1"].w3c_types == {
        "VerifiableCredential",
        "https://www.w3.org/2018/credentials#VerifiableCredential",
        "AirtimeCredential",
        "urn:credence:terms#AirtimeCredential",
    }
    assert len({each.w3c_name for each in types.values()}) == len(types)


@pytest.mark.parametrize("vct", sorted(TYPES))
def test_a_schema_is_closed_bounded_and_keeps_the_envelope_out(vct: str) -> None:
    schema = TYPES[vct].schema
    jsonschema_rs.meta.validate(dict(schema))
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"]) == list(TYPES[vct].claim_names)
    assert ENVELOPE.isdisjoint(schema["properties"])
    for name, property_schema in schema["properties"].items():
        assert name in schema["description"]
        assert property_schema["description"]
        resolved = resolve(property_schema, vct)
        if resolved.get("type") == "array":
            assert 1 <= resolved["minItems"] <= resolved["maxItems"] <= 24
            resolved = resolved["items"]
            assert resolved["type"] == "integer"
        if resolved.get("type") == "integer":
            # Within the integers that every JSON implementation, and RFC 8785, writes the same way.
            assert -(2**53) < resolved["minimum"] <= resolved["maximum"] < 2**53
        elif "enum" not in resolved:
            assert resolved["type"] == "string"
            assert "pattern" in resolved or resolved["format"] == "date"
        assert ("amount" in property_schema.get("$ref", "")) <= name.endswith("_minor")


@settings(max_examples=60)
@given(ANY_CLAIMS)
def test_claims_built_from_a_schema_fit_it_whole_and_in_any_part(vct_and_claims: tuple[str, dict[str, Any]]) -> None:
    vct, claims = vct_and_claims
    TYPES[vct].verify_claims(claims)
    for name in claims:
        part = {key: value for key, value in claims.items() if key != name}
        TYPES[vct].verify_disclosed_claims(part)
        with pytest.raises(ClaimsDoNotFit):
            TYPES[vct].verify_claims(part)


@settings(max_examples=60)
@given(ANY_CLAIMS, st.data())
def test_one_spoilt_claim_is_named_by_its_pointer(
    vct_and_claims: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    vct, claims = vct_and_claims
    name = data.draw(st.sampled_from(sorted(claims)))
    spoilt = data.draw(
        st.sampled_from([None, True, 1.0, -1.5, 10**19, "", "2026-13-01", {}, [], [1.0], [True], [None]])
    )
    with pytest.raises(ClaimsDoNotFit) as refused:
        TYPES[vct].verify_disclosed_claims({**claims, name: spoilt})
    assert refused.value.pointer.split("/")[1] == name


@settings(max_examples=60)
@given(
    ANY_TYPE,
    st.dictionaries(
        st.one_of(st.sampled_from(["currency", "period_from", "inflow_minor", "_sd", "..."]), st.text()),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=6,
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_hostile_claims_raise_only_our_errors(vct: str, claims: dict[str, Any]) -> None:
    with pytest.raises(IdentityError):
        TYPES[vct].verify_claims(claims)


def test_a_pointer_never_repeats_a_name_of_the_input(scene: Any) -> None:
    claims = {**scene.claims("airtime"), "+254700000001": 1}
    with pytest.raises(ClaimsDoNotFit) as refused:
        TYPES["urn:credence:airtime:1"].verify_claims(claims)
    assert refused.value.pointer == ""
    assert "254" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"inflow_minor": [1.0] * 6}, "/inflow_minor"),  # an integer to JSON Schema, not to us
        ({"inflow_minor": [1] * 5}, "/inflow_minor"),  # one month short of the other arrays
        ({"inflow_minor": [1] * 25}, "/inflow_minor"),
        ({"inflow_minor": []}, "/inflow_minor"),
        ({"inflow_minor": [1, 2, -3, 4, 5, 6]}, "/inflow_minor/2"),
        ({"period_from": "2026-09-01"}, "/period_to"),  # begins after it ends
        ({"period_from": "2026-02-30"}, "/period_from"),
        ({"currency": "kes"}, "/currency"),
        ({"currency": "KES\n"}, "/currency"),
        ({"evidence_level": "self_declared"}, "/evidence_level"),
        ({"days_below_floor": [32] * 6}, "/days_below_floor/0"),
        ({"rows": []}, ""),  # raw rows have no place
        ({"zk": "later"}, ""),
    ],
)
def test_claims_that_do_not_fit(scene: Any, change: dict[str, Any], pointer: str) -> None:
    for verify in (
        TYPES["urn:credence:mobile-money:1"].verify_claims,
        TYPES["urn:credence:mobile-money:1"].verify_disclosed_claims,
    ):
        with pytest.raises(ClaimsDoNotFit) as refused:
            verify({**scene.claims("mobile-money"), **change})
        assert refused.value.pointer == pointer


@pytest.mark.parametrize(("delay", "fits"), [(-3, False), (-2, True), (9, True), (10, False)])
def test_delays_run_from_minus_2_to_9(scene: Any, delay: int, fits: bool) -> None:
    claims = {**scene.claims("repayment-history"), "delay_months": [delay] * 6, "statement_minor": [-1] * 6}
    if fits:
        TYPES["urn:credence:repayment-history:1"].verify_claims(claims)
    else:
        with pytest.raises(ClaimsDoNotFit):
            TYPES["urn:credence:repayment-history:1"].verify_claims(claims)


def test_every_row_of_the_taiwan_set_can_be_carried(test_data: Path) -> None:
    kind = TYPES["urn:credence:repayment-history:1"]
    with gzip.open(test_data / "data" / "taiwan" / "taiwan.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        kind.verify_claims(
            {
                "period_from": "2005-04-01",
                "period_to": "2005-09-30",
                "currency": "TWD",
                "evidence_level": "system_of_record",
                "credit_line_minor": round(float(row["LIMIT_BAL"]) * 100),
                "statement_minor": [round(float(row[f"BILL_AMT{month}"]) * 100) for month in range(1, 7)],
                "paid_minor": [round(float(row[f"PAY_AMT{month}"]) * 100) for month in range(1, 7)],
                "delay_months": [round(float(row[f"PAY_{month}"])) for month in (0, 2, 3, 4, 5, 6)],
            }
        )
    assert len(rows) == 30_000


def test_the_schema_files_are_the_loaded_schemas() -> None:
    folder = Path(__file__).parents[2] / "identity" / "credential_types"
    files = {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
    assert files == {kind.name: kind.schema for kind in TYPES.values()}
