"""The document rules of VCDM 2.0 and 1.1: the W3C's documents, each with the outcome on record, then what they lack.

`w3c_documents.json` says of every document of the two W3C suites whether the suite calls it valid, what becomes of it
here and, for each that is valid and refused, by which rule. `bare` is the outcome once the document's inline contexts,
which are refused before all else, are taken out of it.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.data_integrity import parse_proof
from identity.errors import (
    BadStatusIndex,
    BadTime,
    ContextNotAllowed,
    ContextNotFirst,
    CredentialSubjectInvalid,
    Expired,
    IdentityError,
    IdNotUrl,
    IssuerInvalid,
    NotYetValid,
    ProofInvalid,
    StatusEntryInvalid,
    TermsOfUseNotSupported,
    UndefinedTerm,
    UnknownMember,
    UnsupportedStatus,
    ValidityReversed,
    W3cPresentationInvalid,
    W3cTypeInvalid,
)
from identity.vcdm import (
    ALLOWED_CONTEXTS,
    CONTEXT_V1,
    CONTEXT_V2,
    CREDIT_HISTORY_CONTEXT,
    format_date_time,
    parse_credential,
    parse_date_time,
    parse_presentation,
    require_credit_history_terms,
)

DOCUMENTS = json.loads((Path(__file__).parent / "w3c_documents.json").read_text())["documents"]
#: The contexts of the suites' examples; no service allows them.
EXAMPLES = ALLOWED_CONTEXTS | {
    "https://www.w3.org/ns/credentials/examples/v2",
    "https://www.w3.org/2018/credentials/examples/v1",
}
DATES = {"PAST DATE": "2020-01-01T00:00:00Z", "FUTURE DATE": "2099-01-01T00:00:00Z"}


def load_document(test_data: Path, vector: str) -> dict[str, Any]:
    """A document of a suite, completed as the suite's own runner completes it: its issuer, and dates to come."""
    document: dict[str, Any] = json.loads((test_data / "vectors" / vector).read_text())
    document = {name: DATES.get(value, value) if isinstance(value, str) else value for name, value in document.items()}
    if "vcdm2" in vector and "/presentation" not in vector and "no-issuer" not in vector:
        issuer = document.setdefault("issuer", "did:example:issuer")
        if isinstance(issuer, dict):
            issuer.setdefault("id", "did:example:issuer")
    return document


def outcome_of(document: dict[str, Any], layer: str) -> str:
    try:
        if "verifiableCredential" in document or "Presentation" in str(document.get("type")):
            for credential in parse_presentation(document, contexts=EXAMPLES).credentials:
                if isinstance(credential, dict):
                    parse_credential(credential, contexts=EXAMPLES)
        else:
            parse_credential(document, contexts=EXAMPLES)
        if layer == "proof":
            parse_proof(document)
    except IdentityError as refusal:
        return refusal.code
    return "accepted"


@pytest.mark.parametrize("recorded", DOCUMENTS, ids=lambda recorded: Path(recorded["vector"]).stem)
def test_what_becomes_of_each_document_of_the_w3c_suites(test_data: Path, recorded: dict[str, Any]) -> None:
    document = load_document(test_data, recorded["vector"])
    assert outcome_of(document, recorded["layer"]) == recorded["outcome"]
    if "bare" in recorded:
        contexts = [context for context in document["@context"] if not isinstance(context, dict)]
        assert outcome_of({**document, "@context": contexts}, recorded["layer"]) == recorded["bare"]


def test_every_document_is_on_record_and_every_refusal_of_a_valid_one_has_its_rule(test_data: Path) -> None:
    suites = [
        test_data / "vectors" / "vcdm2-test-suite" / "tests",
        test_data / "vectors" / "vc-test-suite-1.1" / "test",
    ]
    files = [file for suite in suites for file in suite.rglob("*.json*")]
    assert {recorded["vector"] for recorded in DOCUMENTS} == {
        str(file.relative_to(test_data / "vectors")) for file in files
    }
    assert len(DOCUMENTS) == len(files)
    for recorded in DOCUMENTS:
        if recorded["valid"]:
            assert (recorded["outcome"] == "accepted") != bool(recorded.get("rule"))
        else:
            assert recorded["outcome"] != "accepted"


# Properties of our own documents


def credential(version: str = "2.0", **changes: Any) -> dict[str, Any]:
    whole = {
        "@context": [CONTEXT_V2 if version == "2.0" else CONTEXT_V1, CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": "did:example:issuer",
        "validFrom" if version == "2.0" else "issuanceDate": "2026-08-01T00:00:00Z",
        "credentialSubject": {"id": "did:example:holder", "currency": "KES"},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def test_a_document_is_read_as_it_says() -> None:
    parsed = parse_credential(
        credential(
            id="urn:uuid:1",
            issuer={"id": "did:example:issuer", "name": "A mobile network"},
            validUntil="2026-09-01T02:00:00.250+02:00",
        )
    )
    assert (parsed.version, parsed.id, parsed.issuer, parsed.subject_id) == (
        "2.0",
        "urn:uuid:1",
        "did:example:issuer",
        "did:example:holder",
    )
    assert parsed.types == {"VerifiableCredential", "MobileMoneyCredential"}
    assert parsed.claims == {"currency": "KES"}
    assert (parsed.valid_from_ms, parsed.valid_until_ms) == (1_785_542_400_000, 1_788_220_800_250)
    older = parse_credential(credential("1.1", expirationDate="2026-09-01T00:00:00Z"))
    assert (older.version, older.valid_until_ms) == ("1.1", 1_788_220_800_000)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"@context": [CREDIT_HISTORY_CONTEXT, CONTEXT_V2]}, ContextNotFirst),
        ({"@context": ...}, ContextNotFirst),
        ({"@context": []}, ContextNotFirst),
        ({"@context": [{"@vocab": "https://a.example/#"}, CONTEXT_V2]}, ContextNotFirst),
        # Input 39: the remap attack, and what is on no list.
        ({"@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT, {"currency": "urn:credence:terms#x"}]}, ContextNotAllowed),
        ({"@context": [CONTEXT_V2, {"@import": CREDIT_HISTORY_CONTEXT}]}, ContextNotAllowed),
        ({"@context": [CONTEXT_V2, "https://www.w3.org/ns/credentials/examples/v2"]}, ContextNotAllowed),
        ({"@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT, CREDIT_HISTORY_CONTEXT]}, ContextNotAllowed),
        ({"@context": [CONTEXT_V2, CONTEXT_V1]}, ContextNotAllowed),
        ({"@context": [CONTEXT_V2, None]}, ContextNotAllowed),
        ({"type": "MobileMoneyCredential"}, W3cTypeInvalid),
        ({"type": ["VerifiableCredential", 1]}, W3cTypeInvalid),
        ({"type": ["VerifiableCredential", "VerifiableCredential"]}, W3cTypeInvalid),
        ({"id": "not a url"}, IdNotUrl),
        ({"id": None}, IdNotUrl),
        ({"issuer": ["did:example:issuer"]}, IssuerInvalid),
        ({"issuer": {"id": "did:example:issuer", "controller": "did:example:other"}}, UnknownMember),
        ({"credentialSubject": []}, CredentialSubjectInvalid),
        ({"credentialSubject": "did:example:holder"}, CredentialSubjectInvalid),
        ({"credentialSubject": {"id": 1}}, IdNotUrl),
        # Inputs 18 and 20.
        ({"validFrom": "2026-08-01T00:00:00"}, BadTime),
        ({"validFrom": "2026-08-01"}, BadTime),
        ({"validFrom": "2026-02-30T00:00:00Z"}, BadTime),
        ({"validFrom": "2026-08-01T23:59:60Z"}, BadTime),
        ({"validFrom": 1_785_542_400}, BadTime),
        ({"validFrom": None}, BadTime),
        ({"validUntil": True}, BadTime),
        ({"validUntil": "2026-07-01T00:00:00Z"}, ValidityReversed),
        ({"proof": []}, ProofInvalid),
        ({"proof": [1]}, ProofInvalid),
        ({"termsOfUse": {"type": "IssuerPolicy"}}, TermsOfUseNotSupported),
        ({"issuanceDate": "2026-08-01T00:00:00Z"}, UnknownMember),
        ({"expirationDate": "2027-08-01T00:00:00Z"}, UnknownMember),
        ({"nonTransferable": True}, UnknownMember),
        ({"relatedResource": [{"id": "https://a.example/"}]}, UnknownMember),
        ({"@graph": []}, UnknownMember),
        ({"@included": []}, UnknownMember),
        ({"currency": "KES"}, UnknownMember),
    ],
)
def test_what_a_document_may_not_be(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        parse_credential(credential(**changes))


def test_version_1_1_needs_its_issuance_date_and_knows_no_member_of_2_0() -> None:
    with pytest.raises(BadTime):
        parse_credential(credential("1.1", issuanceDate=...))
    with pytest.raises(UnknownMember):
        parse_credential(credential("1.1", validUntil="2027-08-01T00:00:00Z"))


ENTRY = {
    "type": "BitstringStatusListEntry",
    "statusPurpose": "revocation",
    "statusListIndex": "94567",
    "statusListCredential": "https://issuer.example/status/3",
}


def test_a_credential_may_have_a_status_for_each_purpose() -> None:
    parsed = parse_credential(credential(credentialStatus=[ENTRY, {**ENTRY, "statusPurpose": "suspension"}]))
    assert [(each.purpose, each.index) for each in parsed.statuses] == [("revocation", 94567), ("suspension", 94567)]
    assert parsed.statuses[0].to_entry() == ENTRY


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        # Input 54.
        ({"statusListIndex": "-1"}, BadStatusIndex),
        ({"statusListIndex": "1e3"}, BadStatusIndex),
        ({"statusListIndex": "007"}, BadStatusIndex),
        ({"statusListIndex": "99999999999999999999"}, BadStatusIndex),
        ({"statusListIndex": 94567}, BadStatusIndex),
        # Input 58, and purposes that no score can rest on.
        ({"type": "StatusList2021Entry"}, UnsupportedStatus),
        ({"type": "RevocationList2020Status"}, UnsupportedStatus),
        ({"statusPurpose": "message"}, UnsupportedStatus),
        ({"statusPurpose": "refresh"}, UnsupportedStatus),
        ({"statusPurpose": ["revocation"]}, UnsupportedStatus),
        ({"statusSize": 2}, UnsupportedStatus),
        ({"statusSize": True}, UnsupportedStatus),
        ({"type": ["BitstringStatusListEntry"]}, StatusEntryInvalid),
        ({"statusListCredential": "not a url"}, StatusEntryInvalid),
        ({"statusListCredential": ...}, StatusEntryInvalid),
        ({"statusMessage": []}, StatusEntryInvalid),
        ({"id": "not a url"}, StatusEntryInvalid),
    ],
)
def test_a_status_that_cannot_be_checked_is_refused(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    entry = {name: value for name, value in {**ENTRY, **changes}.items() if value is not ...}
    with pytest.raises(refusal):
        parse_credential(credential(credentialStatus=entry))


def test_a_status_is_an_object() -> None:
    for value in ([], "https://issuer.example/status/3#1", [ENTRY] * 17, None):
        with pytest.raises(StatusEntryInvalid):
            parse_credential(credential(credentialStatus=value))


def test_17_18_validity_is_judged_with_a_minutes_grace() -> None:
    parsed = parse_credential(credential(validUntil="2026-09-01T00:00:00Z"))
    begins, ends = 1_785_542_400_000, 1_788_220_800_000
    for inside in (begins - 60_000, begins, ends, ends + 59_999):
        parsed.verify_times(inside)
    with pytest.raises(NotYetValid):
        parsed.verify_times(begins - 60_001)
    with pytest.raises(Expired):
        parsed.verify_times(ends + 60_000)


def test_44_our_terms_need_our_context() -> None:
    require_credit_history_terms(parse_credential(credential()))
    with pytest.raises(UndefinedTerm):
        require_credit_history_terms(parse_credential(credential(**{"@context": [CONTEXT_V2]})))


@pytest.mark.parametrize(
    "changes",
    [
        {"verifiableCredential": "x"},
        {"verifiableCredential": [1]},
        {"verifiableCredential": [{"type": "VerifiableCredential"}] * 17},
        {"holder": None},
        {"holder": {"id": None}},
        {"verifiableCredential": {"@context": CONTEXT_V2, "type": "EnvelopedVerifiableCredential", "id": "data:,x"}},
        {
            "verifiableCredential": {
                "@context": CONTEXT_V2,
                "type": "EnvelopedVerifiableCredential",
                "id": "data:application/vc+jwt,x",
                "issuer": "did:example:other",
            }
        },
    ],
)
def test_what_a_presentation_may_not_hold(changes: dict[str, Any]) -> None:
    with pytest.raises(W3cPresentationInvalid):
        parse_presentation({"@context": [CONTEXT_V2], "type": "VerifiablePresentation", **changes})


def test_a_presentation_has_no_member_that_nobody_reads() -> None:
    with pytest.raises(UnknownMember):
        parse_presentation({"@context": [CONTEXT_V2], "type": "VerifiablePresentation", "termsOfUse": {"type": "x"}})


@given(at_s=st.integers(0, 253_402_300_799))
def test_a_time_reads_back(at_s: int) -> None:
    assert parse_date_time(format_date_time(at_s * 1000)) == at_s * 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([CONTEXT_V2, "did:example:a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "@value"]), inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(name=st.sampled_from(sorted([*credential(), "proof", "name", "evidence", "credentialStatus", "id"])), value=JSON)
def test_hostile_documents_raise_only_our_errors(name: str, value: Any) -> None:
    for parse in (parse_credential, parse_presentation):
        with contextlib.suppress(IdentityError):
            parse(credential(**{name: value}))


def test_a_year_before_1000_has_four_digits_too() -> None:
    assert format_date_time(parse_date_time("0026-09-21T14:13:20Z")) == "0026-09-21T14:13:20Z"
    assert parse_date_time("1969-12-31T23:59:59.5Z") == -500
