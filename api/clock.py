"""The one clock of a service, and time as the wire writes it."""

import re
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z", re.ASCII)


class TimeMalformed(ValueError):
    """A text is not a time as the wire writes it."""


def now_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def format_time(at_ms: int) -> str:
    """RFC 3339 in UTC with Z, in whole seconds where it is whole seconds."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="seconds" if at_ms % 1000 == 0 else "milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> int:
    """UTC milliseconds of an RFC 3339 time in UTC with Z, to the millisecond; raises TimeMalformed."""
    if not _TIME.fullmatch(text):
        raise TimeMalformed
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TimeMalformed from None
    return (moment - _EPOCH) // timedelta(milliseconds=1)
