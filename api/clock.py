"""The one clock of a service, and time as the wire writes it."""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def format_time(at_ms: int) -> str:
    """RFC 3339 in UTC with Z, in whole seconds where it is whole seconds."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="seconds" if at_ms % 1000 == 0 else "milliseconds").replace("+00:00", "Z")
