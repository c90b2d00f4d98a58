"""Which issuers are trusted for which credential type, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from identity.errors import IssuerNotTrusted


@dataclass(frozen=True, kw_only=True)
class TrustedIssuer:
    """One issuer trusted for one credential type from `valid_from_ms` until, if given, just before `valid_to_ms`."""

    did: str
    vct: str
    valid_from_ms: int
    valid_to_ms: int | None = None


@dataclass(frozen=True)
class TrustedIssuers:
    """All trust of one tenant; asked before anything that an issuer names is fetched."""

    issuers: tuple[TrustedIssuer, ...]

    def require(self, did: str, vct: str, now_ms: int) -> TrustedIssuer:
        """The entry that makes `did` trusted for `vct` at `now_ms`; raises IssuerNotTrusted."""
        for entry in self._by_did_and_vct.get((did, vct), ()):
            if entry.valid_from_ms <= now_ms and (entry.valid_to_ms is None or now_ms < entry.valid_to_ms):
                return entry
        raise IssuerNotTrusted

    @cached_property
    def _by_did_and_vct(self) -> Mapping[tuple[str, str], tuple[TrustedIssuer, ...]]:
        entries: dict[tuple[str, str], tuple[TrustedIssuer, ...]] = {}
        for entry in self.issuers:
            entries[entry.did, entry.vct] = (*entries.get((entry.did, entry.vct), ()), entry)
        return entries
