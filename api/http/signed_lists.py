"""Status lists as they were signed last: anyone may ask for one, and to pack and sign it costs as much as a score."""

import threading
from collections.abc import Callable

#: Well within the time that a list is valid and that a verifier may keep it.
SIGNED_KEPT_MS = 60_000
_MAX_LISTS = 64


class SignedLists:
    """Keeps a signed list for a minute, as long as nothing in it changed; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signed: dict[str, tuple[bytes, int, str]] = {}

    def load_or_sign(self, uri: str, statuses: bytes, sign: Callable[[], str], *, now_ms: int) -> str:
        """The list at `uri` with these statuses (one a byte), signed at most a minute before `now_ms`."""
        with self._lock:
            kept = self._signed.get(uri)
        if kept is not None and kept[0] == statuses and kept[1] <= now_ms < kept[1] + SIGNED_KEPT_MS:
            return kept[2]
        token = sign()
        with self._lock:
            self._signed.pop(uri, None)
            self._signed[uri] = (statuses, now_ms, token)
            while len(self._signed) > _MAX_LISTS:
                del self._signed[next(iter(self._signed))]
        return token
