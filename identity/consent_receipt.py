"""Consent receipts: what a person agreed to, in the structure of ISO/IEC TS 27560:2023, signed as a JWS.

A receipt names purpose, controller and period, and which claims were disclosed and which withheld; it never holds a
claim's value. docs/consent-receipts.md goes through it member by member.
"""

import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast, get_args

from identity.encoding import JsonObject, JsonValue, decode_base64url, encode_base64url, encode_json, parse_json_object
from identity.errors import BadConsentReceipt, ReceiptKeyNotTrusted
from identity.jws import parse_jws, sign_jws, verify_jws
from identity.keys import PublicKey, SigningKey

RECEIPT_TYP = "consent-receipt+jwt"
#: Of the record that a receipt holds, and of the receipt around it.
RECORD_SCHEMA = "ISO/IEC TS 27560:2023"
RECEIPT_SCHEMA = "urn:credence:consent-receipt:1"
MAX_RECEIPT_CHARS = 65_536

ConsentState = Literal["given", "withdrawn"]

_SALT_BYTES = 16
_DAYS = re.compile(r"P([1-9][0-9]{0,4})D", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Controller:
    """The lender, as the one who decides what the data is used for.

    `id` is the reference by which the log's entries know the tenant. What a lender did not state is None.
    """

    id: str
    name: str
    contact: str | None
    privacy_notice: str | None
    jurisdiction: str | None


@dataclass(frozen=True, kw_only=True)
class PiiInformation:
    """What became of the claims of one presented credential, by their names.

    `disclosed` were asked for and used; `unused` arrived without being asked for and were dropped; `withheld` are the
    claims of the type that did not arrive.
    """

    credential_type: str
    disclosed: tuple[str, ...]
    unused: tuple[str, ...]
    withheld: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ConsentReceipt:
    """One event of a consent: given with a presentation, withdrawn, or given again.

    `principal_id` is who the person is to this controller alone. `valid_days` is how long the score may be relied on,
    None where there is none, and `request_id` and `score_id` with it. `processor` is the origin of the service that
    scores for the controller, and `withdrawal` the address of the withdrawal there.
    """

    id: str
    consent_id: str
    principal_id: str
    controller: Controller
    processor: str
    purpose: str
    information: tuple[PiiInformation, ...]
    retention_days: int
    withdrawal: str
    state: ConsentState
    event_at_ms: int
    valid_days: int | None
    request_id: str | None
    score_id: str | None


def issue_consent_receipt(
    receipt: ConsentReceipt, *, key: SigningKey, random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> str:
    """Sign a receipt, with 128 bits of salt inside: its digest in the log tells nothing to who only guesses at it."""
    payload: JsonObject = {**_format(receipt), "salt": encode_base64url(random_bytes(_SALT_BYTES))}
    return sign_jws({"typ": RECEIPT_TYP, "kid": key.public.thumbprint}, encode_json(payload), key)


def verify_consent_receipt(compact: str, *, trusted_keys: Collection[PublicKey]) -> ConsentReceipt:
    """Verify a receipt against the keys that the reader trusts to sign receipts, and read every member of it.

    Raises ReceiptKeyNotTrusted, BadConsentReceipt for a member that is missing, unknown or of another form, and as
    `parse_jws` and `verify_jws`.
    """
    parsed = parse_jws(compact, max_chars=MAX_RECEIPT_CHARS)
    keys = {key.thumbprint: key for key in trusted_keys}
    if parsed.kid not in keys:
        raise ReceiptKeyNotTrusted
    return _read(verify_jws(parsed, keys[parsed.kid], typ=RECEIPT_TYP))


def peek_consent_receipt(compact: str) -> ConsentReceipt:
    """Read a receipt whose signature nobody has verified; raises as `verify_consent_receipt`, but for the key."""
    return _read(parse_jws(compact, max_chars=MAX_RECEIPT_CHARS).payload)


def _read(text: bytes) -> ConsentReceipt:
    payload = parse_json_object(text)
    salt = decode_base64url(_text(payload.pop("salt", None)))
    if len(salt) != _SALT_BYTES:
        raise BadConsentReceipt
    try:
        receipt = _parse(payload)
        # What reads back into the same text has no member that we passed over.
        if _format(receipt) != payload:
            raise BadConsentReceipt
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
        raise BadConsentReceipt from None
    return receipt


def _format(receipt: ConsentReceipt) -> JsonObject:
    controller = receipt.controller
    purpose: JsonObject = {
        "purpose": receipt.purpose,
        "lawful_basis": "consent",
        "pii_information": [
            {
                "pii_type": each.credential_type,
                "disclosed": [*each.disclosed],
                "unused": [*each.unused],
                "withheld": [*each.withheld],
            }
            for each in receipt.information
        ],
        "pii_controllers": [controller.id],
        "collection_method": "verifiable_presentation",
        "processing_method": "automated_scoring",
        "storage_locations": [receipt.processor],
        "retention_period": f"P{receipt.retention_days}D",
        "recipient_third_parties": [],
        "withdrawal_method": receipt.withdrawal,
        **_given(jurisdiction=controller.jurisdiction),
    }
    event: JsonObject = {
        "event_time": _format_time(receipt.event_at_ms),
        "event_type": "explicit",
        "event_state": receipt.state,
        "entity_id": receipt.principal_id,
        **_given(validity_duration=None if receipt.valid_days is None else f"P{receipt.valid_days}D"),
    }
    parties: list[JsonValue] = [
        {
            "party_id": controller.id,
            "party_role": "pii_controller",
            "party_name": controller.name,
            **_given(party_contact=controller.contact),
        },
        {"party_id": receipt.processor, "party_role": "pii_processor", "party_url": receipt.processor},
    ]
    return {
        "schema_version": RECEIPT_SCHEMA,
        "receipt_id": receipt.id,
        "consent_record": {
            "schema_version": RECORD_SCHEMA,
            "record_id": receipt.consent_id,
            "pii_principal_id": receipt.principal_id,
            "pii_processing": {
                **_given(privacy_notice=controller.privacy_notice),
                "language": "en",
                "purposes": [purpose],
            },
            "party_identification": parties,
            "events": [event],
        },
        **_given(request_id=receipt.request_id, score_id=receipt.score_id),
    }


def _parse(payload: JsonObject) -> ConsentReceipt:
    """The receipt of a payload; what has another form than `_format` gives it is for the caller to find."""
    record = _object(payload["consent_record"])
    processing = _object(record["pii_processing"])
    (purpose,) = map(_object, _list(processing["purposes"]))
    controller, processor = map(_object, _list(record["party_identification"]))
    (event,) = map(_object, _list(record["events"]))
    state = _text(event["event_state"])
    if state not in get_args(ConsentState):
        raise BadConsentReceipt
    return ConsentReceipt(
        id=_text(payload["receipt_id"]),
        consent_id=_text(record["record_id"]),
        principal_id=_text(record["pii_principal_id"]),
        controller=Controller(
            id=_text(controller["party_id"]),
            name=_text(controller["party_name"]),
            contact=_optional_text(controller, "party_contact"),
            privacy_notice=_optional_text(processing, "privacy_notice"),
            jurisdiction=_optional_text(purpose, "jurisdiction"),
        ),
        processor=_text(processor["party_id"]),
        purpose=_text(purpose["purpose"]),
        information=tuple(
            PiiInformation(
                credential_type=_text(each["pii_type"]),
                disclosed=tuple(map(_text, _list(each["disclosed"]))),
                unused=tuple(map(_text, _list(each["unused"]))),
                withheld=tuple(map(_text, _list(each["withheld"]))),
            )
            for each in map(_object, _list(purpose["pii_information"]))
        ),
        retention_days=_parse_days(purpose["retention_period"]),
        withdrawal=_text(purpose["withdrawal_method"]),
        state=cast(ConsentState, state),
        event_at_ms=_parse_time(_text(event["event_time"])),
        valid_days=_parse_days(event["validity_duration"]) if "validity_duration" in event else None,
        request_id=_optional_text(payload, "request_id"),
        score_id=_optional_text(payload, "score_id"),
    )


def _given(**members: str | None) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}


def _object(value: JsonValue) -> JsonObject:
    if not isinstance(value, dict):
        raise BadConsentReceipt
    return value


def _list(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise BadConsentReceipt
    return value


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise BadConsentReceipt
    return value


def _optional_text(members: JsonObject, name: str) -> str | None:
    return _text(members[name]) if name in members else None


def _parse_days(value: JsonValue) -> int:
    days = _DAYS.fullmatch(_text(value))
    if days is None:
        raise BadConsentReceipt
    return int(days[1])


def _format_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse_time(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
