"""Consent receipts: read back as they were written, by nobody else's key, and no member of them changed."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.consent_receipt import (
    RECEIPT_TYP,
    ConsentReceipt,
    Controller,
    PiiInformation,
    issue_consent_receipt,
    peek_consent_receipt,
    verify_consent_receipt,
)
from identity.encoding import decode_base64url, encode_json
from identity.errors import (
    BadConsentReceipt,
    BadSignature,
    IdentityError,
    ReceiptKeyNotTrusted,
    TooLarge,
    WrongTyp,
)
from identity.jws import parse_jws, sign_jws
from identity.keys import SigningKey

ROOT = Path(__file__).resolve().parents[2]
KEY = SigningKey.generate("EdDSA")
GIVEN = ConsentReceipt(
    id="rcp_1",
    consent_id="con_1",
    principal_id="sub_1",
    controller=Controller(
        id="bGVuZGVy",
        name="A lender",
        contact="mailto:privacy@lender.example",
        privacy_notice="https://lender.example/privacy",
        jurisdiction="KE",
    ),
    processor="https://credence.example",
    purpose="credit_application",
    information=(
        PiiInformation(
            credential_type="urn:credence:mobile-money:1",
            disclosed=("inflow_minor",),
            unused=("currency",),
            withheld=("outflow_minor", "in_n"),
        ),
        PiiInformation(credential_type="urn:credence:airtime:1", disclosed=("topup_n",), unused=(), withheld=()),
    ),
    retention_days=760,
    withdrawal="https://credence.example/v1/holder/consents/con_1/withdrawal",
    state="given",
    event_at_ms=1_790_000_000_123,
    valid_days=30,
    request_id="req_1",
    score_id="sco_1",
)
WITHDRAWN = replace(
    GIVEN,
    controller=Controller(id="x", name="Another", contact=None, privacy_notice=None, jurisdiction=None),
    information=(),
    state="withdrawn",
    valid_days=None,
    request_id=None,
    score_id=None,
)


def payload_of(compact):
    return json.loads(parse_jws(compact).payload)


def signed(payload, typ=RECEIPT_TYP, key=KEY):
    return sign_jws({"typ": typ, "kid": key.public.thumbprint}, encode_json(payload), key)


@pytest.mark.parametrize("receipt", [GIVEN, WITHDRAWN], ids=["given", "withdrawn"])
def test_a_receipt_reads_back_as_it_was_written(receipt):
    compact = issue_consent_receipt(receipt, key=KEY)
    assert verify_consent_receipt(compact, trusted_keys=[SigningKey.generate("EdDSA").public, KEY.public]) == receipt


def test_it_has_the_sections_of_ts_27560():
    payload = payload_of(issue_consent_receipt(GIVEN, key=KEY))
    assert payload.keys() == {"schema_version", "receipt_id", "consent_record", "request_id", "score_id", "salt"}
    record = payload["consent_record"]
    assert record["schema_version"] == "ISO/IEC TS 27560:2023"
    assert record.keys() == {
        "schema_version", "record_id", "pii_principal_id", "pii_processing", "party_identification", "events",
    }  # fmt: skip
    (purpose,) = record["pii_processing"]["purposes"]
    assert purpose["retention_period"] == "P760D"
    assert purpose["withdrawal_method"].endswith("/withdrawal")
    assert [party["party_role"] for party in record["party_identification"]] == ["pii_controller", "pii_processor"]
    (event,) = record["events"]
    assert event == {
        "event_time": "2026-09-21T14:13:20.123Z",
        "event_type": "explicit",
        "event_state": "given",
        "entity_id": "sub_1",
        "validity_duration": "P30D",
    }


def test_two_receipts_of_the_same_event_have_two_digests():
    """Or whoever guesses what stands in one could find it in the log."""
    first, second = (issue_consent_receipt(GIVEN, key=KEY) for _ in range(2))
    assert hashlib.sha256(first.encode()).digest() != hashlib.sha256(second.encode()).digest()
    assert len(decode_base64url(payload_of(first)["salt"])) == 16


def test_a_receipt_can_be_looked_at_without_any_key():
    assert peek_consent_receipt(issue_consent_receipt(GIVEN, key=KEY)) == GIVEN
    with pytest.raises(BadConsentReceipt):
        peek_consent_receipt(signed({"salt": "AAAAAAAAAAAAAAAAAAAAAA"}))


def test_a_receipt_by_another_key_is_not_trusted():
    compact = issue_consent_receipt(GIVEN, key=KEY)
    for keys in ([], [SigningKey.generate("EdDSA").public, SigningKey.generate().public]):
        with pytest.raises(ReceiptKeyNotTrusted):
            verify_consent_receipt(compact, trusted_keys=keys)


def test_a_receipt_that_names_our_key_and_is_signed_by_another_is_refused():
    forged = sign_jws(
        {"typ": RECEIPT_TYP, "kid": KEY.public.thumbprint},
        parse_jws(issue_consent_receipt(GIVEN, key=KEY)).payload,
        SigningKey.generate("EdDSA"),
    )
    with pytest.raises(BadSignature):
        verify_consent_receipt(forged, trusted_keys=[KEY.public])


@pytest.mark.parametrize("typ", ["JWT", "kb+jwt", "dc+sd-jwt", "credence-score-document", "CONSENT-RECEIPT+JWT"])
def test_what_was_signed_as_something_else_is_no_receipt(typ):
    payload = payload_of(issue_consent_receipt(GIVEN, key=KEY))
    with pytest.raises(WrongTyp):
        verify_consent_receipt(signed(payload, typ), trusted_keys=[KEY.public])


def test_a_receipt_larger_than_any_is_refused():
    with pytest.raises(TooLarge):
        verify_consent_receipt("a" * 65_537, trusted_keys=[KEY.public])


def places_of(value, path=()):
    yield path
    for name, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places_of(each, (*path, name))


def changed_at(payload, path, change):
    changed = json.loads(json.dumps(payload))
    place = changed
    for name in path[:-1]:
        place = place[name]
    change(place, path[-1])
    return changed


#: What a lender need not have stated, and what an event need not have.
OPTIONAL = {"party_contact", "privacy_notice", "jurisdiction", "validity_duration", "request_id", "score_id"}


def test_no_member_is_missing_unknown_or_of_another_kind():
    payload = payload_of(issue_consent_receipt(GIVEN, key=KEY))

    def remove(place, name):
        del place[name]

    def nullify(place, name):
        place[name] = None

    def number(place, name):
        place[name] = 7

    def add(place, name):
        if isinstance(place[name], dict):
            place[name]["more"] = 1
        else:
            place[name] = [place[name]]

    for path in places_of(payload):
        for change in (remove, nullify, number, add):
            if not path or (change is remove and (isinstance(path[-1], int) or path[-1] in OPTIONAL)):
                continue
            with pytest.raises(IdentityError):
                verify_consent_receipt(signed(changed_at(payload, path, change)), trusted_keys=[KEY.public])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("salt",), "AAAA"),
        (("schema_version",), "urn:credence:consent-receipt:2"),
        (("consent_record", "events", 0, "event_state"), "refused"),
        (("consent_record", "events", 0, "event_time"), "2026-09-21T14:13:20Z"),
        (("consent_record", "events", 0, "event_time"), "2026-09-21T14:13:20.123"),
        (("consent_record", "events", 0, "entity_id"), "sub_2"),
        (("consent_record", "pii_processing", "purposes", 0, "retention_period"), "P1Y"),
        (("consent_record", "pii_processing", "purposes", 0, "retention_period"), "P0D"),
        (("consent_record", "pii_processing", "purposes", 0, "lawful_basis"), "contract"),
        (("consent_record", "pii_processing", "purposes", 0, "pii_controllers"), ["another"]),
    ],
)
def test_a_member_says_only_what_it_can(path, value):
    payload = payload_of(issue_consent_receipt(GIVEN, key=KEY))
    changed = changed_at(payload, path, lambda place, name: place.__setitem__(name, value))
    with pytest.raises(BadConsentReceipt):
        verify_consent_receipt(signed(changed), trusted_keys=[KEY.public])


def test_a_receipt_altered_in_any_character_is_refused():
    compact = issue_consent_receipt(GIVEN, key=KEY)
    for place in range(0, len(compact), 7):
        altered = compact[:place] + ("A" if compact[place] != "A" else "B") + compact[place + 1 :]
        with pytest.raises(IdentityError):
            verify_consent_receipt(altered, trusted_keys=[KEY.public])


def test_the_page_shows_a_receipt_as_it_is():
    page = (ROOT / "docs" / "consent-receipts.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    issued = issue_consent_receipt(GIVEN, key=KEY, random_bytes=bytes)
    assert example == json.dumps(payload_of(issued), indent=2) + "\n"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(path=st.sampled_from(list(places_of(payload_of(issue_consent_receipt(GIVEN, key=KEY))))[1:]), value=JSON_VALUES)
def test_whatever_was_signed_only_our_errors_come_out(path, value):
    payload = payload_of(issue_consent_receipt(GIVEN, key=KEY))
    changed = changed_at(payload, path, lambda place, name: place.__setitem__(name, value))
    try:
        read = verify_consent_receipt(signed(changed), trusted_keys=[KEY.public])
    except IdentityError:
        return
    # Another text is another text, as long as it stands wherever it has to.
    assert isinstance(read, ConsentReceipt)
