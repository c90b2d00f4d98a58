"""DID documents, and the DIDs that are their own: did:key and did:jwk, resolved without a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from identity.encoding import decode_base64url, encode_base64url, encode_json, parse_json_object
from identity.errors import (
    BadDid,
    BadKid,
    IdentityError,
    IssuerKeyMismatch,
    KeyAmbiguous,
    KeyNotForRelationship,
    KeyNotSupported,
    KeyPastItsEnd,
    PrivateKeyInJwk,
    UnknownKid,
)
from identity.keys import PublicKey, parse_public_jwk
from identity.multikey import encode_multikey, parse_multikey

MAX_DID_KEY_CHARS = 128
MAX_DID_JWK_CHARS = 1024

# What a key may be used for (CID 1.0 section 2.3): to sign credentials and lists, or to show who one is.
Relationship = Literal["assertionMethod", "authentication"]


@dataclass(frozen=True, kw_only=True)
class VerificationMethod:
    """One key of a DID and what it serves for; where `key` is None, `refusal` says what is wrong with it.

    From `ends_at_ms` on (UTC milliseconds, its `revoked` or `expires`) nothing is verified with it any more, whenever
    it may have been signed (CID 1.0 section 2.2).
    """

    key: PublicKey | None
    relationships: frozenset[Relationship]
    ends_at_ms: int | None = None
    refusal: type[IdentityError] = KeyNotSupported


@dataclass(frozen=True, kw_only=True)
class DidDocument:
    """What a DID resolves to: its verification methods, by their absolute DID URLs."""

    did: str
    verification_methods: Mapping[str, VerificationMethod]

    def key(self, *, kid: str | None, relationship: Relationship, now_ms: int) -> PublicKey:
        """The key that `kid` names, or without a `kid` the only one that serves for `relationship`.

        `kid` is an absolute DID URL of this DID or a relative one such as "#0". Raises BadKid, IssuerKeyMismatch
        (the key id of another DID), UnknownKid, KeyAmbiguous, KeyNotForRelationship, KeyPastItsEnd, and the method's
        own refusal.
        """
        method = self._named_method(kid) if kid is not None else self._only_method(relationship)
        if relationship not in method.relationships:
            raise KeyNotForRelationship
        if method.ends_at_ms is not None and now_ms >= method.ends_at_ms:
            raise KeyPastItsEnd
        if method.key is None:
            raise method.refusal
        return method.key

    def _named_method(self, kid: str) -> VerificationMethod:
        did, separator, fragment = kid.partition("#")
        if not separator or not fragment or not (did == "" or did.startswith("did:")):
            raise BadKid
        if did not in ("", self.did):
            raise IssuerKeyMismatch
        method = self.verification_methods.get(f"{self.did}#{fragment}")
        if method is None:
            raise UnknownKid
        return method

    def _only_method(self, relationship: Relationship) -> VerificationMethod:
        serving = [each for each in self.verification_methods.values() if relationship in each.relationships]
        if len(serving) != 1:
            raise KeyAmbiguous
        return serving[0]


def did_jwk(key: PublicKey) -> str:
    """The did:jwk of a public key, over its required members only."""
    return "did:jwk:" + encode_base64url(encode_json(key.jwk))


def did_key(key: PublicKey) -> str:
    """The did:key of a public key (W3C CCG did:key v0.7)."""
    return "did:key:" + encode_multikey(key)


def resolve_did(did: str) -> DidDocument:
    """Resolve a did:key or did:jwk for P-256 or Ed25519.

    Raises BadDid for another method, codec, key or length, KeyNotSupported for a did:key of another kind of key,
    PrivateKeyInJwk when a did:jwk carries a private key.
    """
    if did.startswith("did:key:z") and len(did) <= MAX_DID_KEY_CHARS:
        fragment, key = did.removeprefix("did:key:"), _did_key_public_key(did)
    elif did.startswith("did:jwk:") and len(did) <= MAX_DID_JWK_CHARS:
        fragment, key = "0", _did_jwk_public_key(did)
    else:
        raise BadDid
    method = VerificationMethod(key=key, relationships=frozenset({"assertionMethod", "authentication"}))
    return DidDocument(did=did, verification_methods={f"{did}#{fragment}": method})


def resolve_verification_key(*, did: str, kid: str | None) -> PublicKey:
    """The key with which `did`, a DID that is its own document, signed; its one key serves for everything, for ever.

    For where there is no network. Raises as `resolve_did` and as `DidDocument.key`.
    """
    return resolve_did(did).key(kid=kid, relationship="assertionMethod", now_ms=0)


def _did_key_public_key(did: str) -> PublicKey:
    try:
        return parse_multikey(did.removeprefix("did:key:"))
    except KeyNotSupported:
        raise
    except IdentityError:
        raise BadDid from None


def _did_jwk_public_key(did: str) -> PublicKey:
    try:
        return parse_public_jwk(parse_json_object(decode_base64url(did.removeprefix("did:jwk:"))))
    except PrivateKeyInJwk:
        raise
    except IdentityError:
        raise BadDid from None
