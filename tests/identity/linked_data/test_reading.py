"""We read JSON, and RDFC signs statements: whatever a holder does to the JSON, what is accepted says the same."""

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from identity.credential_types.types import load_credential_types
from identity.data_integrity import add_proof
from identity.errors import IdentityError
from identity.keys import SigningKey
from identity.ldp_vc import verify_credential_object
from identity.linked_data.contexts import DATA_INTEGRITY_V2
from identity.vcdm import (
    ALLOWED_CONTEXTS,
    CONTEXT_V1,
    CONTEXT_V2,
    CREDIT_HISTORY_CONTEXT,
    VerifiedW3cCredential,
    format_date_time,
)

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
ISSUER, HOLDER = SigningKey.generate("EdDSA"), SigningKey.generate("EdDSA")
AIRTIME = load_credential_types()["urn:credence:airtime:1"]
CREDENTIAL: dict[str, Any] = {
    "id": "urn:uuid:1",
    "type": ["VerifiableCredential", "AirtimeCredential"],
    "issuer": {"id": ISSUER.did},
    "evidence": [{"id": "urn:evidence:1", "type": "AirtimeCredential"}],
    "credentialSubject": {"id": HOLDER.did, "currency": "KES", "topup_n": [3, 2, 1], "advance_n": [1, 0, 1]},
}
ENTRY = {"type": "BitstringStatusListEntry", "statusListIndex": "5", "statusListCredential": "https://a.example/1"}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "2.0": {
        "@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT],
        **CREDENTIAL,
        "validFrom": format_date_time(NOW_MS - DAY_MS),
        "validUntil": format_date_time(NOW_MS + DAY_MS),
        "credentialStatus": [
            {"id": "urn:entry:1", "statusPurpose": "revocation", **ENTRY},
            {"statusPurpose": "suspension", **ENTRY},
        ],
    },
    "1.1": {
        "@context": [CONTEXT_V1, CREDIT_HISTORY_CONTEXT, DATA_INTEGRITY_V2],
        **CREDENTIAL,
        "issuer": ISSUER.did,
        "issuanceDate": format_date_time(NOW_MS - DAY_MS),
        "expirationDate": format_date_time(NOW_MS + DAY_MS),
    },
}
TERMS = (
    *("id", "type", "issuer", "validFrom", "validUntil", "issuanceDate", "expirationDate", "credentialSubject"),
    *("credentialStatus", "evidence", "credentialSchema", "proof", "expires", "created", "holder", "name"),
    *("verifiableCredential", "statusPurpose", "currency", "topup_n", "advance_n", "evidence_level"),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every member and item, as what holds it and its name or index there."""
    for name, member in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, name
        if isinstance(member, dict | list):
            yield from places(member)


def change(document: dict[str, Any], choose: random.Random) -> None:
    """Something that JSON-LD might take for the same statements, or not."""
    holder, name = choose.choice(list(places(document)))
    value = holder[name]
    match choose.choice((0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8)):  # most are harmless, so that some are accepted
        case 0:
            holder[name] = [value]
        case 1 if isinstance(value, list) and value:
            choose.shuffle(value)
            if choose.random() < 0.5:
                value.append(copy.deepcopy(value[0]))
        case 2 if isinstance(value, list) and value:
            holder[name] = value[0]
        case 3:
            others = [holder, *(each[at] for each, at in places(document) if isinstance(each[at], dict))]
            other, term = choose.choice(others), choose.choice([name, *TERMS])
            if isinstance(other, dict) and isinstance(term, str):
                other[term] = holder.pop(name)
        case 4:
            del holder[name]
        case 5:
            allowed = sorted(ALLOWED_CONTEXTS)
            document["@context"] = [
                choose.choice([CONTEXT_V1, CONTEXT_V2]),
                *choose.sample(allowed, choose.randint(2, len(allowed))),
            ]
        case 6:
            holder[name] = value["id"] if isinstance(value, dict) and "id" in value else str(value)
        case 7:
            holder[name] = {"id": value}
        case _:
            other, at = choose.choice(list(places(document)))
            holder[name], other[at] = other[at], value


def read(document: dict[str, Any], workers: Any) -> VerifiedW3cCredential:
    """What is read of a document, in an order of its statuses that says nothing."""
    verified = verify_credential_object(
        document, issuer_key_for=lambda *_: ISSUER.public, linked_data=workers, now_ms=NOW_MS
    )
    AIRTIME.verify_disclosed_claims(verified.credential.claims)
    statuses = tuple(sorted(verified.credential.statuses, key=lambda each: each.purpose))
    return replace(verified, credential=replace(verified.credential, statuses=statuses, contexts=()))


@pytest.mark.parametrize("version", DOCUMENTS)
def test_what_is_accepted_of_a_changed_document_says_the_same(workers, version):
    signed = add_proof(
        DOCUMENTS[version],
        ISSUER,
        cryptosuite="eddsa-rdfc-2022",
        verification_method=ISSUER.kid,
        purpose="assertionMethod",
        created=format_date_time(NOW_MS),
        canonicalize=workers.canonicalize,
        members={"expires": format_date_time(NOW_MS + DAY_MS // 2)},
    )
    says = read(signed, workers)
    choose = random.Random(version)
    accepted = 0
    for _ in range(400):
        changed = copy.deepcopy(signed)
        for _ in range(choose.randint(1, 2)):
            if changed:
                change(changed, choose)
        try:
            found = read(changed, workers)
        except IdentityError:
            continue
        assert found == says, changed
        accepted += changed != signed
    assert accepted >= 10
