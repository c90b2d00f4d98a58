"""Places for presentations of JSON-LD: how many are judged at once, and of one tenant's how many."""

import threading
from collections import Counter

from identity.errors import LinkedDataBusy


class LinkedDataPlaces:
    """`most` places, and fewer for any one tenant, so that its flood leaves some to the others; shared by threads."""

    def __init__(self, *, most: int = 5, most_of_one_tenant: int = 3) -> None:
        self._most = most
        self._most_of_one_tenant = most_of_one_tenant
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def has_room(self, tenant_id: str) -> bool:
        """Whether the tenant could take a place now."""
        with self._lock:
            return self._has_room(tenant_id)

    def take(self, tenant_id: str) -> None:
        """Take a place of a tenant's; raises LinkedDataBusy where none is free, or the tenant has its share."""
        with self._lock:
            if not self._has_room(tenant_id):
                raise LinkedDataBusy
            self._taken[tenant_id] += 1

    def give_back(self, tenant_id: str) -> None:
        """Leave a place that was taken."""
        with self._lock:
            self._taken[tenant_id] -= 1
            if not self._taken[tenant_id]:
                del self._taken[tenant_id]

    def _has_room(self, tenant_id: str) -> bool:
        return self._taken.total() < self._most and self._taken[tenant_id] < self._most_of_one_tenant
