"""What a holder's proof of possession must be bound to, in whichever format it comes."""

from dataclasses import dataclass

from identity.encoding import JsonValue
from identity.errors import AudienceMismatch, KbInFuture, KbStale, NonceMismatch
from identity.jwt import SKEW_S


@dataclass(frozen=True, kw_only=True)
class KeyBinding:
    """What a presentation must be bound to: our nonce, our audience, at most `max_age_s` ago."""

    nonce: str
    audience: str
    max_age_s: int = 300

    def verify_is_for(self, *, audience: JsonValue, nonce: JsonValue) -> None:
        """Raises AudienceMismatch or NonceMismatch, whatever the types of what was sent."""
        if nonce != self.nonce:
            raise NonceMismatch
        if audience != self.audience:
            raise AudienceMismatch

    def verify_fresh(self, made_at_ms: int, now_ms: int) -> None:
        """Raises KbInFuture or KbStale."""
        if made_at_ms > now_ms + SKEW_S * 1000:
            raise KbInFuture
        if made_at_ms < now_ms - self.max_age_s * 1000:
            raise KbStale
