"""The resolver: from a DID to its document, and to the key that signed."""

from typing import TYPE_CHECKING

from identity.did import DidDocument, Relationship, resolve_did
from identity.keys import PublicKey

if TYPE_CHECKING:  # a DID that is its own document needs no HTTP client
    from identity.fetch import GuardedFetcher


class DidResolver:
    """Resolves DIDs; safe to share between threads. It reads no clock: `now_ms` is the caller's.

    Without a fetcher it knows only DIDs that are their own documents. Whoever asks has decided before that the DID
    may be fetched: a resolver trusts nobody.
    """

    def __init__(self, fetcher: "GuardedFetcher | None") -> None:
        self._fetcher = fetcher

    def resolve(self, did: str, *, now_ms: int) -> DidDocument:  # noqa: ARG002
        """The document of a DID; raises as `resolve_did`."""
        return resolve_did(did)

    def resolve_key(self, *, did: str, kid: str | None, relationship: Relationship, now_ms: int) -> PublicKey:
        """The key of `did` that `kid` names, or its only one for `relationship`, at `now_ms`.

        Raises as `resolve` and as `DidDocument.key`.
        """
        return self.resolve(did, now_ms=now_ms).key(kid=kid, relationship=relationship, now_ms=now_ms)
