"""Places to wait in: how many callers may stand still for others' servers, before the next is sent away."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from identity.errors import IdentityError


class Places:
    """At most `most` callers at a time; safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def take(self, refusal: type[IdentityError]) -> Iterator[None]:
        """Hold one of the places, or raise `refusal` at once where none is free."""
        if not self._free.acquire(blocking=False):
            raise refusal
        try:
            yield
        finally:
            self._free.release()
