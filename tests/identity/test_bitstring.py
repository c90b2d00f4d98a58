"""Bitstring status lists: the Recommendation's example, round trips, then every list and entry to refuse."""

import gzip
import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.bitstring import BitstringReference, bit_at, encode_bitstring, expand_bitstring
from identity.bitstring_list import BITSTRING_MEDIA_TYPES, MAX_AGE_S, issue_bitstring_status_list, verify_bitstring_list
from identity.data_integrity import add_proof
from identity.dcql import parse_dcql_query
from identity.did_resolver import DidResolver
from identity.encoding import encode_base64url, parse_json_object
from identity.errors import (
    BadSignature,
    BadStatusIndex,
    BadStatusList,
    CannotIssue,
    CredentialRevoked,
    CredentialSuspended,
    FetchFailed,
    IdentityError,
    MissingClaim,
    ProofMissing,
    StatusListExpired,
    StatusListIssuerMismatch,
    StatusListSubjectMismatch,
    StatusListTooLarge,
    StatusListTooShort,
    StatusPurposeMismatch,
    StatusUnavailable,
    UnsupportedSuite,
    WrongTyp,
)
from identity.fetch import GuardedFetcher
from identity.issuance import build_w3c_credential
from identity.jws import parse_jws
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.linked_data.workers import LinkedDataWorkers
from identity.status_list import StatusChecker, StatusReference, issue_status_list
from identity.vc_jwt import sign_credential_jwt, sign_presentation_jwt
from identity.vcdm import format_date_time
from tests.conftest import stable_id

NOW_MS = 1_790_000_000_000
URI = "https://issuer.example/v1/status/3"
ISSUER, OTHER = SigningKey.generate("EdDSA"), SigningKey.generate("EdDSA")
DIDS = DidResolver(None)


LENGTH = 131_072


def issue(*indices: int, **changes: Any) -> str:
    arguments: dict[str, Any] = {
        "uri": URI,
        "indices": indices or (1,),
        "length": LENGTH,
        "purpose": "revocation",
        "key": ISSUER,
        "now_ms": NOW_MS,
        "ttl_s": 300,
        "expires_in_s": 3600,
    }
    return issue_bitstring_status_list(**{**arguments, **changes})


def document(**changes: Any) -> dict[str, Any]:
    """The list credential before it is signed, `subject` and other members changed."""
    whole = parse_json_object(parse_jws(issue(), cty="vc", max_chars=10**6).payload)
    subject = {**cast(dict[str, Any], whole["credentialSubject"]), **changes.pop("subject", {})}
    whole["credentialSubject"] = {name: value for name, value in subject.items() if value is not ...}
    return {name: value for name, value in {**whole, **changes}.items() if value is not ...}


def verify(published: str, now_ms: int = NOW_MS, linked_data: LinkedDataWorkers | None = None) -> Any:
    return verify_bitstring_list(
        published, uri=URI, issuer=ISSUER.did, dids=DIDS, linked_data=linked_data, now_ms=now_ms
    )


def sign(document: dict[str, Any], key: SigningKey = ISSUER) -> str:
    return sign_credential_jwt(document, key, kid=key.kid)


class Published:
    """Stands for the network: what each URL answers with, and what was asked for. Nothing there is an outage."""

    def __init__(self, lists: dict[str, str] | None = None) -> None:
        self.lists = lists or {}
        self.asked: list[tuple[str, str]] = []

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        self.asked.append((url, accept))
        if url not in self.lists:
            raise FetchFailed
        return self.lists[url].encode()


def checker(published: Published, linked_data: LinkedDataWorkers | None = None) -> StatusChecker:
    return StatusChecker(cast(GuardedFetcher, published), DIDS, linked_data)


# The bits


def test_the_recommendations_example(test_data: Path) -> None:
    texts = json.loads((test_data / "vectors" / "bitstring-status-list" / "_texts.json").read_text())
    encoded = {match for text in texts.values() for match in re.findall(r'"encodedList":\s*"([^"…]{40,})"', text)}
    assert encoded
    for each in encoded:
        bits = expand_bitstring(each if each.startswith("u") else "u" + each)
        assert bits == bytes(16_384)


def test_the_first_index_is_the_left_most_bit() -> None:
    bits = expand_bitstring(encode_bitstring([0, 9], LENGTH))
    assert bits[:2] == b"\x80\x40"
    assert len(bits) == 16_384
    assert [bit_at(bits, index) for index in (0, 1, 8, 9, 131_071)] == [1, 0, 0, 1, 0]


@settings(max_examples=15)
@given(revoked=st.sets(st.integers(0, 140_007), max_size=20))
def test_a_list_reads_back(revoked: set[int]) -> None:
    bits = expand_bitstring(encode_bitstring(revoked, 140_008))
    assert {index for index in range(len(bits) * 8) if bits[index >> 3] and bit_at(bits, index)} == revoked


@pytest.mark.parametrize(("index", "length"), [(LENGTH, LENGTH), (-1, LENGTH), (0, LENGTH - 8), (0, LENGTH + 1)])
def test_a_list_of_fewer_bits_or_with_an_index_outside_is_not_issued(index: int, length: int) -> None:
    with pytest.raises(CannotIssue):
        encode_bitstring([index], length)


def test_54_an_index_beyond_the_list_is_refused() -> None:
    for index in (131_072, 10**8, -1):
        with pytest.raises(BadStatusIndex):
            bit_at(bytes(16_384), index)


def gzipped(data: bytes) -> str:
    return encode_base64url(gzip.compress(data, mtime=0))


@pytest.mark.parametrize(
    ("encoded", "refusal"),
    [
        # Input 53: 272 KB that would be 200 MB, and a list that tells whose status is asked.
        ("u" + gzipped(bytes(200_000_000)), StatusListTooLarge),
        ("u" + gzipped(bytes(16_383)), StatusListTooShort),
        (gzipped(bytes(16_384)), BadStatusList),
        ("z" + gzipped(bytes(16_384)), BadStatusList),
        ("u" + gzipped(bytes(16_384)) + "=", BadStatusList),
        ("u" + gzipped(bytes(16_384))[:-8], BadStatusList),
        ("u" + gzipped(bytes(16_384)) + gzipped(bytes(16_384)), BadStatusList),
        ("u" + encode_base64url(bytes(16_384)), BadStatusList),
        ("u", BadStatusList),
        (None, BadStatusList),
    ],
    ids=["bomb", "short", "no multibase", "base58", "padded", "cut off", "two streams", "no gzip", "empty", "null"],
)
def test_53_what_an_encoded_list_may_not_be(encoded: Any, refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        expand_bitstring(encoded)


# The list as a credential


def test_a_published_list_holds() -> None:
    found = verify(issue())
    assert (found.status(0), found.status(1), found.purposes, found.ttl_s) == (0, 1, {"revocation"}, 300)
    assert found.expires_at_ms == NOW_MS + 3_600_000


@pytest.mark.parametrize("cryptosuite", ["eddsa-jcs-2022", "eddsa-rdfc-2022"])
def test_a_list_may_have_a_data_integrity_proof(scene: Any, cryptosuite: str) -> None:
    secured = add_proof(
        document(),
        ISSUER,
        cryptosuite=cryptosuite,
        verification_method=ISSUER.kid,
        purpose="assertionMethod",
        created=format_date_time(NOW_MS),
        canonicalize=scene.linked_data.canonicalize,
    )
    assert verify(json.dumps(secured), linked_data=scene.linked_data).status(1) == 1
    with pytest.raises(UnsupportedSuite):
        verify(json.dumps(secured))
    with pytest.raises(BadSignature):
        verify(json.dumps({**secured, "id": URI, "validUntil": "2027-01-01T00:00:00Z"}), linked_data=scene.linked_data)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        # Input 55.
        ({"id": "https://issuer.example/v1/status/4"}, StatusListSubjectMismatch),
        ({"id": ...}, StatusListSubjectMismatch),
        ({"issuer": OTHER.did}, StatusListIssuerMismatch),
        ({"validUntil": format_date_time(NOW_MS)}, StatusListExpired),
        ({"validUntil": format_date_time(NOW_MS - 3_600_000), "validFrom": ...}, StatusListExpired),
        ({"validUntil": ..., "validFrom": format_date_time(NOW_MS - MAX_AGE_S * 1000)}, StatusListExpired),
        ({"validUntil": ..., "validFrom": ...}, MissingClaim),
        ({"type": ["VerifiableCredential"]}, BadStatusList),
        ({"type": ["VerifiableCredential", "StatusList2021Credential"]}, BadStatusList),
        ({"subject": {"type": "StatusList2021"}}, BadStatusList),
        ({"subject": {"statusPurpose": ...}}, BadStatusList),
        ({"subject": {"statusPurpose": []}}, BadStatusList),
        ({"subject": {"statusPurpose": [1]}}, BadStatusList),
        ({"subject": {"statusSize": 2}}, BadStatusList),
        ({"subject": {"ttl": "300"}}, BadStatusList),
        ({"subject": {"ttl": -1}}, BadStatusList),
        ({"subject": {"ttl": True}}, BadStatusList),
        ({"subject": {"encodedList": ...}}, BadStatusList),
    ],
    ids=stable_id,
)
def test_55_what_a_list_may_not_be(changes: dict[str, Any], refusal: type[IdentityError]) -> None:
    with pytest.raises(refusal):
        verify(sign(document(**changes)))


def test_55_a_list_is_signed_by_the_issuer_of_the_credential() -> None:
    with pytest.raises(StatusListIssuerMismatch):
        verify(issue(key=OTHER))
    with pytest.raises(StatusListIssuerMismatch):
        verify(sign(document(), OTHER))
    with pytest.raises(BadSignature):
        verify(sign_credential_jwt(document(), OTHER, kid=ISSUER.kid))


def test_55_a_list_without_a_signature_is_refused(scene: Any) -> None:
    with pytest.raises(ProofMissing):
        verify(json.dumps(document()), linked_data=scene.linked_data)
    with pytest.raises(IdentityError):
        verify("")


def test_a_token_status_list_is_no_bitstring(scene: Any) -> None:
    token = issue_status_list(uri=URI, statuses=b"\0", bits=1, key=ISSUER, now_ms=NOW_MS, ttl_s=300, expires_in_s=3600)
    with pytest.raises(WrongTyp):
        verify(token)


# The check


def reference(index: int = 0, purpose: Any = "revocation", uri: str = URI) -> BitstringReference:
    return BitstringReference(uri=uri, index=index, purpose=purpose)


def test_a_list_is_fetched_once_and_says_what_its_purpose_says() -> None:
    published = Published({URI: sign(document(subject={"statusPurpose": ["revocation", "suspension"]}))})
    statuses = checker(published)
    for purpose, taken_back in (("revocation", "invalid"), ("suspension", "suspended")):
        for index, status in ((0, "valid"), (1, taken_back)):
            found = statuses.check_status(reference(index, purpose), issuer=ISSUER.did, now_ms=NOW_MS)
            assert (found.status, found.checked_at_ms) == (status, NOW_MS)
    assert published.asked == [(URI, BITSTRING_MEDIA_TYPES)]
    statuses.check_status(reference(), issuer=ISSUER.did, now_ms=NOW_MS + 301_000)
    assert len(published.asked) == 2


@pytest.mark.parametrize("ttl_ms", [0, 1, 999])
def test_a_list_that_should_not_be_kept_is_kept_for_a_second(ttl_ms: int) -> None:
    published = Published({URI: sign(document(subject={"ttl": ttl_ms}))})
    statuses = checker(published)
    for since_ms, fetched in ((0, 1), (999, 1), (1000, 2)):
        statuses.check_status(reference(), issuer=ISSUER.did, now_ms=NOW_MS + since_ms)
        assert len(published.asked) == fetched


def test_a_list_is_relied_on_no_longer_than_its_proof_says(scene: Any) -> None:
    secured = add_proof(
        document(),
        ISSUER,
        cryptosuite="eddsa-jcs-2022",
        verification_method=ISSUER.kid,
        purpose="assertionMethod",
        created=format_date_time(NOW_MS),
        canonicalize=scene.linked_data.canonicalize,
        members={"expires": format_date_time(NOW_MS + 60_000)},
    )
    published = Published({URI: json.dumps(secured)})
    statuses = checker(published, scene.linked_data)
    statuses.check_status(reference(), issuer=ISSUER.did, now_ms=NOW_MS + 59_000)
    with pytest.raises(StatusListExpired):
        statuses.check_status(reference(), issuer=ISSUER.did, now_ms=NOW_MS + 60_000)


def test_56_a_list_for_another_purpose_is_refused() -> None:
    with pytest.raises(StatusPurposeMismatch):
        checker(Published({URI: issue()})).check_status(
            reference(purpose="suspension"), issuer=ISSUER.did, now_ms=NOW_MS
        )


def test_57_a_list_that_cannot_be_fetched_is_a_retriable_refusal() -> None:
    with pytest.raises(StatusUnavailable) as refused:
        checker(Published()).check_status(reference(), issuer=ISSUER.did, now_ms=NOW_MS)
    assert refused.value.retriable


def test_a_list_that_is_no_text_is_refused() -> None:
    class NotText(Published):
        def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
            return b"\xff\xfe"

    with pytest.raises(BadStatusList):
        checker(NotText()).check_status(reference(), issuer=ISSUER.did, now_ms=NOW_MS)


def test_one_url_may_not_serve_as_both_kinds_of_list() -> None:
    """The cache keeps them apart, and each is asked for by its own media type."""
    published = Published({URI: issue()})
    statuses = checker(published)
    statuses.check_status(reference(), issuer=ISSUER.did, now_ms=NOW_MS)
    with pytest.raises(WrongTyp):
        statuses.check_status(StatusReference(uri=URI, index=0), issuer=ISSUER.did, now_ms=NOW_MS)


# In a presentation


@pytest.mark.parametrize(
    ("revoked", "suspended", "refusal"),
    [(0, 0, None), (1, 0, CredentialRevoked), (0, 1, CredentialSuspended), (1, 1, CredentialRevoked)],
)
def test_a_credential_with_several_statuses_is_checked_for_each(
    scene: Any, revoked: int, suspended: int, refusal: Any
) -> None:
    other_uri = "https://issuer.example/v1/status/4"
    holder, issuer = SigningKey.generate(), scene.issuer
    credential = build_w3c_credential(
        type=scene.types["urn:credence:mobile-money:1"],
        claims=scene.claims("mobile-money"),
        holder=holder.did,
        issuer=issuer.did,
        now_ms=scene.now_ms,
        expires_at_ms=None,
        statuses=[reference(7), reference(9, "suspension", other_uri)],
    )
    request = scene.request(
        parse_dcql_query(
            {
                "credentials": [
                    {
                        "id": "c0",
                        "format": "jwt_vc_json",
                        "meta": {"type_values": [["MobileMoneyCredential"]]},
                        "claims": [{"path": ["credentialSubject", "currency"]}],
                    }
                ]
            }
        )
    )
    presented = sign_presentation_jwt(
        sign_credential_jwt(credential, issuer, kid=issuer.kid),
        holder,
        holder=holder.did,
        kid=holder.kid,
        key_binding=KeyBinding(nonce=request.nonce, audience=request.audience),
        now_ms=scene.now_ms,
    )
    common = {"key": issuer, "now_ms": scene.now_ms}
    published = Published(
        {
            URI: issue(7 if revoked else 8, **common),
            other_uri: issue(9 if suspended else 8, uri=other_uri, purpose="suspension", **common),
        }
    )
    if refusal is None:
        verified = scene.verify({"c0": [presented]}, request, lists=published)
        assert verified.credentials[0].status_checked_at_ms == scene.now_ms
        assert len(published.asked) == 2
        return
    with pytest.raises(refusal) as refused:
        scene.verify({"c0": [presented]}, request, lists=published)
    assert (refused.value.step, refused.value.query_id) == ("status", "c0")
