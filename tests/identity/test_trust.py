"""Trusted issuers: who, for which type, and when."""

import pytest

from identity.errors import IssuerNotTrusted
from identity.trust import TrustedIssuer, TrustedIssuers

BANK, TELCO = "did:jwk:bank", "did:jwk:telco"
MONEY, AIRTIME = "urn:credence:mobile-money:1", "urn:credence:airtime:1"
FIRST = TrustedIssuer(did=TELCO, vct=MONEY, valid_from_ms=100, valid_to_ms=200)
LATER = TrustedIssuer(did=TELCO, vct=MONEY, valid_from_ms=300)
TRUSTED = TrustedIssuers((FIRST, LATER, TrustedIssuer(did=BANK, vct=AIRTIME, valid_from_ms=0)))


@pytest.mark.parametrize(("now_ms", "entry"), [(100, FIRST), (199, FIRST), (300, LATER), (10**15, LATER)])
def test_the_entry_that_holds_now_is_returned(now_ms: int, entry: TrustedIssuer) -> None:
    assert TRUSTED.require(TELCO, MONEY, now_ms) is entry


@pytest.mark.parametrize(
    ("did", "vct", "now_ms"),
    [
        (TELCO, MONEY, 99),
        (TELCO, MONEY, 200),
        (TELCO, MONEY, 299),
        (TELCO, AIRTIME, 150),
        (BANK, MONEY, 150),
        (TELCO.upper(), MONEY, 150),
        (TELCO + "#0", MONEY, 150),
        ("", "", 150),
    ],
)
def test_anyone_else_or_at_another_time_is_refused(did: str, vct: str, now_ms: int) -> None:
    with pytest.raises(IssuerNotTrusted):
        TRUSTED.require(did, vct, now_ms)


def test_nobody_is_trusted_by_default() -> None:
    with pytest.raises(IssuerNotTrusted):
        TrustedIssuers(()).require(TELCO, MONEY, 150)


def test_trust_can_be_narrowed_and_never_widened() -> None:
    assert TRUSTED.narrowed_to(None) is TRUSTED
    narrowed = TRUSTED.narrowed_to({(TELCO, MONEY), ("did:jwk:stranger", MONEY)})
    assert narrowed.require(TELCO, MONEY, 150) is FIRST
    for did, vct, now_ms in ((BANK, AIRTIME, 150), ("did:jwk:stranger", MONEY, 150), (TELCO, MONEY, 250)):
        with pytest.raises(IssuerNotTrusted):
            narrowed.require(did, vct, now_ms)
    assert TRUSTED.narrowed_to(frozenset()).issuers == ()


@pytest.mark.parametrize(
    ("claimed", "counts"),
    [
        ("system_of_record", "agent_attested"),
        ("agent_attested", "agent_attested"),
        ("self_declared", "self_declared"),
        ("unheard_of", "unheard_of"),
        (None, None),
    ],
)
def test_evidence_counts_as_no_better_than_its_issuer_is_trusted_for(claimed: str | None, counts: str | None) -> None:
    issuer = TrustedIssuer(did=TELCO, vct=MONEY, valid_from_ms=0, evidence_level="agent_attested")
    assert issuer.cap({"evidence_level": claimed, "cycle": 3}) == {"evidence_level": counts, "cycle": 3}
    assert issuer.cap({"cycle": 3}) == {"cycle": 3}
