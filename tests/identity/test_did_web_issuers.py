"""Issuers and holders of did:web through the whole verifier: keys, their rotation and end, lists, and outages."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from identity.dcql import parse_dcql_query
from identity.did_resolver import DidResolver
from identity.errors import (
    BadSignature,
    DidDeactivated,
    DidUnavailable,
    FetchFailed,
    IdentityError,
    IssuerKeyMismatch,
    IssuerNotTrusted,
    KeyNotForRelationship,
    KeyPastItsEnd,
    StatusListIssuerMismatch,
    UnknownKid,
)
from identity.fetch import GuardedFetcher
from identity.keys import SigningKey
from identity.sd_jwt import KeyBinding
from identity.status_list import StatusChecker, StatusReference, issue_status_list
from identity.trust import TrustedIssuer, TrustedIssuers
from identity.vc_jwt import sign_credential_jwt, sign_presentation_jwt
from identity.vcdm import CONTEXT_V2, CREDIT_HISTORY_CONTEXT, format_date_time
from identity.verifier import VerifiedPresentation, Verifier

DID = "did:web:bank.example:credit"
DOCUMENT_URL = "https://bank.example/credit/did.json"
LIST_URL = "https://bank.example/status/1"
VCT = "urn:credence:mobile-money:1"
MINUTE_MS = 60_000
OLD, NEW = (SigningKey.generate().known_as(DID) for _ in range(2))


class Web(GuardedFetcher):
    """Pages by URL; what is not there cannot be reached."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        self.fetched.append(url)
        if url not in self.pages:
            raise FetchFailed
        return self.pages[url]

    def publish(self, *keys: SigningKey, ends: Mapping[str, str] | None = None, **members: Any) -> None:
        methods = [
            {"id": key.kid, "type": "JsonWebKey", "controller": DID, "publicKeyJwk": key.public.jwk, **(ends or {})}
            for key in keys
        ]
        document = {"id": DID, "verificationMethod": methods, "assertionMethod": [key.kid for key in keys], **members}
        self.pages[DOCUMENT_URL] = json.dumps(document).encode()


class Bank:
    """A bank whose credentials the verifier trusts, and the web that both see."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.web = Web()
        self.web.publish(OLD)
        dids = DidResolver(self.web)
        self.verifier = Verifier(
            statuses=StatusChecker(self.web, dids), dids=dids, linked_data=scene.linked_data, types=scene.types
        )
        self.trusted = TrustedIssuers((TrustedIssuer(did=DID, vct=VCT, valid_from_ms=0),))

    def verify(self, key: SigningKey, *, later_ms: int = 0, **changes: Any) -> VerifiedPresentation:
        scene, now_ms = self.scene, self.scene.now_ms + later_ms
        request = scene.request(expires_at_ms=now_ms + MINUTE_MS)
        vp_token = scene.present(request, scene.credential(key=key, **changes), now_ms=now_ms)
        return self.verifier.verify(vp_token, request, self.trusted, now_ms)

    def publish_list(self, key: SigningKey) -> StatusReference:
        token = issue_status_list(
            uri=LIST_URL, statuses=bytes(8), bits=2, key=key, now_ms=self.scene.now_ms, ttl_s=300, expires_in_s=3600
        )
        self.web.pages[LIST_URL] = token.encode()
        return StatusReference(uri=LIST_URL, index=3)


@pytest.fixture
def bank(scene: Any) -> Bank:
    return Bank(scene)


def test_a_credential_and_its_status_list_verify_by_one_document(bank: Bank) -> None:
    [credential] = bank.verify(OLD, status=bank.publish_list(OLD)).credentials
    assert credential.issuer == DID
    assert credential.status_checked_at_ms == bank.scene.now_ms
    assert bank.web.fetched == [DOCUMENT_URL, LIST_URL]
    bank.verify(OLD)
    assert bank.web.fetched == [DOCUMENT_URL, LIST_URL]


def test_the_list_may_be_signed_by_another_key_of_the_issuer_and_by_nobody_else(bank: Bank) -> None:
    bank.web.publish(OLD, NEW)
    bank.verify(OLD, status=bank.publish_list(NEW))
    for stranger, refusal in (
        (bank.scene.issuer, StatusListIssuerMismatch),
        (bank.scene.issuer.known_as(OLD.kid), BadSignature),
    ):
        other = Bank(bank.scene)
        with pytest.raises(refusal):
            other.verify(OLD, status=other.publish_list(stranger))


def test_keys_are_rotated_without_a_refusal_and_the_old_one_ends(bank: Bank) -> None:
    bank.verify(OLD)
    bank.web.publish(OLD, NEW)
    bank.verify(NEW, later_ms=MINUTE_MS)
    bank.verify(OLD, later_ms=MINUTE_MS)
    bank.web.publish(NEW)
    bank.verify(OLD, later_ms=6 * MINUTE_MS - 1)
    with pytest.raises(UnknownKid):
        bank.verify(OLD, later_ms=6 * MINUTE_MS)
    bank.verify(NEW, later_ms=6 * MINUTE_MS)


@pytest.mark.parametrize("end", ["revoked", "expires"])
def test_input_51_what_an_ended_key_signed_is_refused_even_if_it_was_signed_before(bank: Bank, end: str) -> None:
    bank.web.publish(OLD, ends={end: "2026-09-21T14:14:20Z"})  # a minute from now
    bank.verify(OLD)
    bank.verify(OLD, later_ms=MINUTE_MS - 1)
    with pytest.raises(KeyPastItsEnd):
        bank.verify(OLD, later_ms=MINUTE_MS)


def test_input_42_a_key_that_is_for_logging_in_signs_no_credentials(bank: Bank) -> None:
    bank.web.publish(OLD, assertionMethod=[], authentication=[OLD.kid])
    with pytest.raises(KeyNotForRelationship):
        bank.verify(OLD)


@pytest.mark.parametrize(
    ("key", "refusal"),
    [
        (SigningKey.generate().known_as(OLD.kid), BadSignature),
        (NEW, UnknownKid),
        (SigningKey.generate().known_as("did:web:bank.example"), IssuerNotTrusted),
    ],
)
def test_input_9_a_trusted_name_over_another_key(bank: Bank, key: SigningKey, refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        bank.verify(key)


def test_input_9_the_key_of_another_did_does_not_sign_for_the_issuer(bank: Bank) -> None:
    class Posing(SigningKey):
        did = DID  # type: ignore[assignment]

    posing = Posing(public=OLD.public, method="did:web:other.example#0", _key=OLD._key)
    with pytest.raises(IssuerKeyMismatch):
        bank.verify(posing)


def test_a_deactivated_issuer_is_refused(bank: Bank) -> None:
    bank.web.publish(OLD, deactivated=True)
    with pytest.raises(DidDeactivated):
        bank.verify(OLD)


def test_an_issuer_whose_document_cannot_be_had_is_a_retriable_refusal(bank: Bank) -> None:
    del bank.web.pages[DOCUMENT_URL]
    with pytest.raises(DidUnavailable) as refused:
        bank.verify(OLD)
    assert refused.value.retriable
    assert refused.value.step == "issuer"


# Holders of did:web, who present W3C credentials about them

HOLDER_DID = "did:web:alice.example"
HOLDER_URL = "https://alice.example/.well-known/did.json"
LOGIN, SIGNING = (SigningKey.generate().known_as(HOLDER_DID) for _ in range(2))


def present_as_jwt(bank: Bank, key: SigningKey, *, issuer: SigningKey = OLD) -> VerifiedPresentation:
    scene = bank.scene
    query = {
        "id": "c0",
        "format": "jwt_vc_json",
        "meta": {"type_values": [["VerifiableCredential", "MobileMoneyCredential"]]},
        "claims": [{"path": ["credentialSubject", "currency"]}],
    }
    request = scene.request(parse_dcql_query({"credentials": [query]}))
    credential = sign_credential_jwt(
        {
            "@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT],
            "type": ["VerifiableCredential", "MobileMoneyCredential"],
            "issuer": issuer.did,
            "validFrom": format_date_time(scene.now_ms - MINUTE_MS),
            "credentialSubject": {"id": HOLDER_DID, **scene.claims("mobile-money")},
        },
        issuer,
        kid=issuer.kid,
    )
    presentation = sign_presentation_jwt(
        credential,
        key,
        holder=HOLDER_DID,
        kid=key.kid,
        key_binding=KeyBinding(nonce=request.nonce, audience=request.audience),
        now_ms=scene.now_ms,
    )
    return bank.verifier.verify({"c0": [presentation]}, request, bank.trusted, scene.now_ms)


def publish_holder(bank: Bank) -> None:
    methods = [
        {"id": key.kid, "type": "JsonWebKey", "controller": HOLDER_DID, "publicKeyJwk": key.public.jwk}
        for key in (LOGIN, SIGNING)
    ]
    document = {"id": HOLDER_DID, "verificationMethod": methods, "authentication": [LOGIN.kid]}
    bank.web.pages[HOLDER_URL] = json.dumps({**document, "assertionMethod": [SIGNING.kid]}).encode()


def test_a_holder_of_did_web_presents_with_a_key_for_authentication_and_no_other(bank: Bank) -> None:
    publish_holder(bank)
    assert present_as_jwt(bank, LOGIN).holder == LOGIN.public
    assert bank.web.fetched == [DOCUMENT_URL, HOLDER_URL]
    with pytest.raises(KeyNotForRelationship):
        present_as_jwt(bank, SIGNING)
    with pytest.raises(BadSignature):
        present_as_jwt(bank, SigningKey.generate().known_as(LOGIN.kid))


def test_the_holder_that_a_credential_names_is_not_fetched_before_its_issuer_has_signed_it(bank: Bank) -> None:
    publish_holder(bank)
    stranger = SigningKey.generate()
    with pytest.raises(IssuerNotTrusted):
        present_as_jwt(bank, LOGIN, issuer=stranger.known_as("did:web:stranger.example"))
    with pytest.raises(BadSignature):
        present_as_jwt(bank, LOGIN, issuer=stranger.known_as(OLD.kid))
    assert bank.web.fetched == [DOCUMENT_URL]
