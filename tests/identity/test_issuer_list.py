"""Signed issuer lists: what is signed is read again, and what was altered, is late or is not one is refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did_resolver import DidResolver
from identity.encoding import encode_base64url, encode_json
from identity.errors import (
    AlgNotAllowed,
    BadIssuerList,
    BadSignature,
    BadTime,
    CannotIssue,
    FetchFailed,
    IdentityError,
    IssuerListExpired,
    IssuerListRepeats,
    IssuerListSignerMismatch,
    IssuerListTooLong,
    JsonDuplicateKey,
    TooLarge,
    TrustPeriodEmpty,
    WrongTyp,
)
from identity.issuer_list import (
    ISSUER_LIST_TYP,
    MAX_ISSUERS,
    MAX_LIST_CHARS,
    peek_list_issuer,
    sign_issuer_list,
    verify_issuer_list,
)
from identity.jws import sign_jws
from identity.keys import SigningKey
from identity.trust import EVIDENCE_LEVELS, TrustedIssuer

NOW_MS = 1_790_000_000_000
VCT = "urn:credence:airtime:1"
SIGNER = SigningKey.generate()
BANK, TELCO = SigningKey.generate().did, "did:web:telco.example:issuers:1"
DIDS = DidResolver(None)


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "did": BANK,
        "vct": VCT,
        "valid_from": 1_700_000_000,
        "valid_to": None,
        "evidence_level": "system_of_record",
    } | changes


def payload(**changes: Any) -> dict[str, Any]:
    now_s = NOW_MS // 1000
    return {"iss": SIGNER.did, "iat": now_s, "exp": now_s + 60, "sequence": 3, "issuers": [entry()]} | changes


def signed(value: Any, *, key: SigningKey = SIGNER, typ: str = ISSUER_LIST_TYP) -> str:
    return sign_jws({"typ": typ, "kid": key.kid}, encode_json(value), key)


def verify(token: str, *, signer: str = SIGNER.did, now_ms: int = NOW_MS, dids: DidResolver = DIDS) -> Any:
    return verify_issuer_list(token, signer=signer, dids=dids, now_ms=now_ms)


issuers = st.lists(
    st.builds(
        TrustedIssuer,
        did=st.sampled_from([BANK, TELCO, "did:key:z6Mk"]),
        vct=st.sampled_from([VCT, "urn:credence:remittance:1", "urn:other"]),
        valid_from_ms=st.integers(0, 2**40).map(lambda s: s // 1000 * 1000),
        valid_to_ms=st.none() | st.integers(2**40 + 1_000, 2**41).map(lambda s: s // 1000 * 1000),
        evidence_level=st.sampled_from(EVIDENCE_LEVELS),
        list_issuer=st.just(SIGNER.did),
    ),
    max_size=5,
    unique_by=lambda each: (each.did, each.vct),
)


@given(issuers, st.integers(0, 2**53 - 1), st.integers(1, 10**8))
def test_what_is_signed_is_read_again(issuers: list[TrustedIssuer], sequence: int, expires_in_s: int) -> None:
    token = sign_issuer_list(issuers=issuers, sequence=sequence, key=SIGNER, now_ms=NOW_MS, expires_in_s=expires_in_s)
    assert peek_list_issuer(token) == SIGNER.did
    found = verify(token)
    assert found.issuers == tuple(issuers)
    assert (found.issuer, found.sequence) == (SIGNER.did, sequence)
    assert (found.issued_at_ms, found.expires_at_ms) == (NOW_MS, NOW_MS + expires_in_s * 1000)


def test_a_signer_signs_as_a_method_of_its_did() -> None:
    for algorithm in ("ES256", "EdDSA"):
        key = SigningKey.generate(algorithm)
        token = sign_issuer_list(issuers=[], sequence=0, key=key, now_ms=NOW_MS, expires_in_s=1)
        assert verify(token, signer=key.did).issuers == ()


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    token = signed(payload())
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != token[place]))
    with pytest.raises(IdentityError):
        verify(token[:place] + other + token[place + 1 :])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: (
            st.lists(x, max_size=3) | st.dictionaries(st.sampled_from([*payload(), *entry(), "x"]), x, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_whatever_is_signed_is_taken_or_refused_by_an_error_of_ours(value: Any) -> None:
    for each in (value, payload(issuers=value), payload(issuers=[value]), payload(sequence=value)):
        with suppress(IdentityError):
            verify(signed(each))
        with suppress(IdentityError):
            peek_list_issuer(signed(each))


MISSING = [{name: value for name, value in payload().items() if name != left} for left in payload()]
MISSING_IN_ENTRY = [
    payload(issuers=[{name: value for name, value in entry().items() if name != left}]) for left in entry()
]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        *((value, BadIssuerList) for value in [*MISSING, *MISSING_IN_ENTRY]),
        (payload(more=1), BadIssuerList),
        (payload(nbf=1), BadIssuerList),
        (payload(issuers=[entry(more=1)]), BadIssuerList),
        (payload(issuers={}), BadIssuerList),
        (payload(issuers=["did"]), BadIssuerList),
        (payload(sequence=-1), BadIssuerList),
        (payload(sequence=2**53), BadIssuerList),
        (payload(sequence=True), BadIssuerList),
        (payload(sequence="3"), BadIssuerList),
        (payload(sequence=3.5), BadIssuerList),
        (payload(iat="now"), BadTime),
        (payload(exp=None), BadTime),
        (payload(issuers=[entry(valid_from=None)]), BadTime),
        (payload(issuers=[entry(valid_to="2030")]), BadTime),
        (payload(issuers=[entry(valid_from=-1)]), BadTime),
        (payload(issuers=[entry(valid_to=1_700_000_000)]), TrustPeriodEmpty),
        (payload(issuers=[entry(valid_to=1)]), TrustPeriodEmpty),
        (payload(issuers=[entry(did="did:ion:x")]), BadIssuerList),
        (payload(issuers=[entry(did="https://bank.example")]), BadIssuerList),
        (payload(issuers=[entry(did="did:web:bank.example\n")]), BadIssuerList),
        (payload(issuers=[entry(did="did:web:bank.example/../x")]), BadIssuerList),
        (payload(issuers=[entry(did="did:key:" + "z" * 1025)]), BadIssuerList),
        (payload(issuers=[entry(did=1)]), BadIssuerList),
        (payload(issuers=[entry(vct="")]), BadIssuerList),
        (payload(issuers=[entry(vct="a b")]), BadIssuerList),
        (payload(issuers=[entry(vct="v" * 257)]), BadIssuerList),
        (payload(issuers=[entry(evidence_level="regulated")]), BadIssuerList),
        (payload(issuers=[entry(evidence_level=None)]), BadIssuerList),
        (payload(issuers=[entry(evidence_level=[])]), BadIssuerList),
        (payload(issuers=[entry(), entry()]), IssuerListRepeats),
        (payload(issuers=[entry(valid_to=1_800_000_000), entry(valid_from=1_750_000_000)]), IssuerListRepeats),
        (payload(iss=BANK), IssuerListSignerMismatch),
        (payload(iss=None), IssuerListSignerMismatch),
    ],
)  # fmt: skip
def test_a_list_of_another_form_is_refused(value: dict[str, Any], error: type[IdentityError]) -> None:
    with pytest.raises(error):
        verify(signed(value))


def test_two_periods_of_one_issuer_may_follow_each_other() -> None:
    followed = [entry(valid_to=1_750_000_000), entry(valid_from=1_750_000_000, evidence_level="self_declared")]
    assert len(verify(signed(payload(issuers=followed))).issuers) == 2


def test_a_list_ends_and_does_not_come_from_the_future() -> None:
    token = signed(payload())
    assert verify(token, now_ms=NOW_MS + 59_999)
    assert verify(token, now_ms=NOW_MS - 60_000)
    for now_ms in (NOW_MS + 60_000, NOW_MS - 60_001):
        with pytest.raises(IssuerListExpired):
            verify(token, now_ms=now_ms)


def test_another_signer_is_refused() -> None:
    other = SigningKey.generate()
    with pytest.raises(IssuerListSignerMismatch):
        verify(signed(payload(iss=other.did), key=other))
    # In the pinned signer's name, and with its key id.
    forged = sign_jws({"typ": ISSUER_LIST_TYP, "kid": SIGNER.kid}, encode_json(payload()), other)
    with pytest.raises(BadSignature):
        verify(forged)


def test_another_kind_of_jws_is_refused() -> None:
    for typ in ("JWT", "statuslist+jwt", "dc+sd-jwt", "application/credence-issuer-list+jwt"):
        with pytest.raises(WrongTyp):
            verify(signed(payload(), typ=typ))
    _, body, signature = signed(payload()).split(".")
    none = encode_base64url(json.dumps({"alg": "none", "typ": ISSUER_LIST_TYP}).encode())
    with pytest.raises(AlgNotAllowed):
        verify(f"{none}.{body}.{signature}")


def test_a_name_that_stands_twice_is_refused() -> None:
    text = encode_json(payload())[:-1] + b',"sequence":9}'
    with pytest.raises(JsonDuplicateKey):
        verify(sign_jws({"typ": ISSUER_LIST_TYP, "kid": SIGNER.kid}, text, SIGNER))


def test_a_list_has_ten_thousand_issuers_and_no_more() -> None:
    many = [entry(did=f"did:web:issuer-{number}.example") for number in range(MAX_ISSUERS)]
    assert len(verify(signed(payload(issuers=many))).issuers) == MAX_ISSUERS
    with pytest.raises(IssuerListTooLong):
        verify(signed(payload(issuers=[*many, entry()])))
    with pytest.raises(TooLarge):
        verify("a" * (MAX_LIST_CHARS + 1))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sequence": -1}, CannotIssue),
        ({"sequence": 2**53}, CannotIssue),
        ({"expires_in_s": 0}, CannotIssue),
        ({"issuers": [TrustedIssuer(did="nobody", vct=VCT, valid_from_ms=0)]}, BadIssuerList),
        ({"issuers": [TrustedIssuer(did=BANK, vct=VCT, valid_from_ms=1, valid_to_ms=1)]}, TrustPeriodEmpty),
        ({"issuers": [TrustedIssuer(did=BANK, vct=VCT, valid_from_ms=0)] * 2}, IssuerListRepeats),
    ],
)
def test_nobody_signs_what_nobody_would_take(changes: dict[str, Any], error: type[IdentityError]) -> None:
    arguments = {"issuers": [], "sequence": 0, "key": SIGNER, "now_ms": NOW_MS, "expires_in_s": 1} | changes
    with pytest.raises(error):
        sign_issuer_list(**arguments)


class NoNetwork(DidResolver):
    """A resolver that counts what would be fetched, and reaches nobody."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked: list[str] = []

    def resolve(self, did: str, *, now_ms: int) -> Any:
        if did.startswith("did:web:"):
            self.asked.append(did)
            raise FetchFailed
        return super().resolve(did, now_ms=now_ms)


def test_nothing_that_a_list_names_is_fetched_when_it_is_read() -> None:
    dids = NoNetwork()
    assert verify(signed(payload(issuers=[entry(did=TELCO)])), dids=dids).issuers[0].did == TELCO
    assert dids.asked == []
    with pytest.raises(FetchFailed):
        verify(signed(payload(iss=TELCO)), signer=TELCO, dids=dids)
    assert dids.asked == [TELCO]


@pytest.mark.parametrize("value", [payload(iss=None), payload(iss="https://x"), payload(iss="did:web:a b"), {}, []])
def test_a_list_that_says_of_nobody_that_it_is_theirs_is_refused_at_a_glance(value: Any) -> None:
    with pytest.raises(IdentityError):
        peek_list_issuer(signed(value))
