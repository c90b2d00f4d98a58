"""The time claims of a JWT (RFC 7519 section 4.1), read as milliseconds and judged with one clock skew."""

from identity.encoding import JsonObject
from identity.errors import BadTime, Expired, IssuedInFuture, NotYetValid

SKEW_S = 60

_MAX_TIME_S = 253_402_300_799  # the end of the year 9999


def time_claim_ms(payload: JsonObject, name: str) -> int | None:
    """A NumericDate claim in milliseconds, None when absent; raises BadTime (a string, a bool, out of range)."""
    if name not in payload:
        return None
    seconds = payload[name]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _MAX_TIME_S:
        raise BadTime
    return int(seconds * 1000)


def check_times(payload: JsonObject, now_ms: int) -> None:
    """Check exp, nbf and iat, each where present; raises Expired, NotYetValid, IssuedInFuture, BadTime."""
    expires_at_ms = time_claim_ms(payload, "exp")
    if expires_at_ms is not None and now_ms >= expires_at_ms + SKEW_S * 1000:
        raise Expired
    not_before_ms = time_claim_ms(payload, "nbf")
    if not_before_ms is not None and now_ms < not_before_ms - SKEW_S * 1000:
        raise NotYetValid
    issued_at_ms = time_claim_ms(payload, "iat")
    if issued_at_ms is not None and now_ms < issued_at_ms - SKEW_S * 1000:
        raise IssuedInFuture
