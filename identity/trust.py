"""Which issuers are trusted for which credential type, and when."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from identity.encoding import JsonObject
from identity.errors import IssuerNotTrusted, TrustPeriodEmpty

#: How well what an issuer says is founded, best first: the words of the credentials' own `evidence_level`.
EvidenceLevel = Literal["system_of_record", "agent_attested", "self_declared"]
EVIDENCE_LEVELS: tuple[EvidenceLevel, ...] = get_args(EvidenceLevel)
#: DIDs that can be trusted; whether one resolves is another question.
TRUSTED_DID = r"^did:(?:key|jwk|web):[A-Za-z0-9._:%-]{1,1024}$"


@dataclass(frozen=True, kw_only=True)
class TrustedIssuer:
    """One issuer trusted for one credential type from `valid_from_ms` until, if given, just before `valid_to_ms`.

    `evidence_level` is the most that its credentials may count as, whatever they say of themselves. `list_issuer` is
    the signer of the issuer list that it comes from, None where the tenant named it itself.
    """

    did: str
    vct: str
    valid_from_ms: int
    valid_to_ms: int | None = None
    evidence_level: EvidenceLevel = "system_of_record"
    list_issuer: str | None = None

    def verify_period(self) -> None:
        """Raises TrustPeriodEmpty where the period ends before it begins."""
        if self.valid_to_ms is not None and self.valid_to_ms <= self.valid_from_ms:
            raise TrustPeriodEmpty

    def overlaps(self, other: "TrustedIssuer") -> bool:
        """Whether some moment lies in both periods."""
        begins_in_time = self.valid_to_ms is None or other.valid_from_ms < self.valid_to_ms
        return begins_in_time and (other.valid_to_ms is None or self.valid_from_ms < other.valid_to_ms)

    def cap(self, claims: JsonObject) -> JsonObject:
        """The claims with an `evidence_level` no better than this issuer's credentials may count as."""
        level = claims.get("evidence_level")
        if level not in EVIDENCE_LEVELS or EVIDENCE_LEVELS.index(level) >= EVIDENCE_LEVELS.index(self.evidence_level):
            return claims
        return {**claims, "evidence_level": self.evidence_level}

    def holds_at(self, now_ms: int) -> bool:
        """Whether `now_ms` lies in the period."""
        return self.valid_from_ms <= now_ms and (self.valid_to_ms is None or now_ms < self.valid_to_ms)


@dataclass(frozen=True)
class TrustedIssuers:
    """All trust of one tenant; asked before anything that an issuer names is fetched."""

    issuers: tuple[TrustedIssuer, ...]

    def require(self, did: str, vct: str, now_ms: int) -> TrustedIssuer:
        """The first entry that makes `did` trusted for `vct` at `now_ms`; raises IssuerNotTrusted."""
        for entry in self._by_did_and_vct.get((did, vct), ()):
            if entry.holds_at(now_ms):
                return entry
        raise IssuerNotTrusted

    def narrowed_to(self, accepted: Collection[tuple[str, str]] | None) -> "TrustedIssuers":
        """Those of these issuers that are among `accepted`, pairs of DID and credential type; None accepts them all.

        It can only narrow: who is not trusted is not by being accepted.
        """
        if accepted is None:
            return self
        return TrustedIssuers(tuple(entry for entry in self.issuers if (entry.did, entry.vct) in accepted))

    @cached_property
    def _by_did_and_vct(self) -> Mapping[tuple[str, str], Sequence[TrustedIssuer]]:
        entries: dict[tuple[str, str], list[TrustedIssuer]] = {}
        for entry in self.issuers:
            entries.setdefault((entry.did, entry.vct), []).append(entry)
        return entries
