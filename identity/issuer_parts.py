"""Issuers' parts of SD-JWTs that were verified before, sealed so that nothing but the part itself opens what it says.

A holder presents one credential to many, and its issuer's part (the signed JWT and the disclosures) is the same bytes
every time that the same claims are shown. What is remembered is that these bytes were once found to be signed by a
certain key, and what they say. Trust, time, status and key binding are no part of it: they are asked anew each time.
"""

import hashlib
import marshal
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from identity.encoding import JsonObject
from identity.keys import PublicKey

_NONCE_BYTES = 12
#: A part that says more is verified anew every time, so that few large ones cannot take the memory of many.
MAX_SEALED_BYTES = 16_384


@dataclass(frozen=True, kw_only=True)
class SeenIssuerPart:
    """What a part says: the processed payload, which claims came by disclosure, and the `kid` of its header.

    `signed_with` is the key that its signature was verified with.
    """

    kid: str | None
    claims: JsonObject
    disclosed: tuple[str, ...]
    signed_with: tuple[str, bytes]


class SeenIssuerParts:
    """The most recent parts; safe to share between threads.

    No part is kept, nor anything readable of one: each entry stands under a digest of its part and is encrypted with
    the rest of that digest, so that memory tells nobody what was presented who was not shown it. It is the process's,
    and gone with it.
    """

    def __init__(self, *, most: int = 4096) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._sealed: OrderedDict[bytes, bytes] = OrderedDict()
        self._secret = os.urandom(32)

    def find(self, part_sha256: bytes) -> SeenIssuerPart | None:
        """What the part of that digest (up to and with its last tilde) was found to say; None when it is not known."""
        name, key = self._name_and_key(part_sha256)
        with self._lock:
            sealed = self._sealed.get(name)
            if sealed is None:
                return None
            self._sealed.move_to_end(name)
        opened = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name)
        kid, claims, disclosed, signed_with = marshal.loads(opened)  # noqa: S302  # what `add` has sealed, and no other
        return SeenIssuerPart(kid=kid, claims=claims, disclosed=disclosed, signed_with=signed_with)

    def add(
        self,
        part_sha256: bytes,
        *,
        kid: str | None,
        claims: JsonObject,
        disclosed: Sequence[str],
        signed_with: PublicKey,
    ) -> None:
        """Remember a part whose signature and disclosures were verified just now."""
        # In memory only and for this process alone; JSON takes several times as long to read and write.
        plain = marshal.dumps((kid, claims, tuple(disclosed), (signed_with.alg, signed_with.point)))
        if len(plain) > MAX_SEALED_BYTES:
            return
        name, key = self._name_and_key(part_sha256)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, plain, name)
        with self._lock:
            self._sealed[name] = sealed
            self._sealed.move_to_end(name)
            while len(self._sealed) > self._most:
                self._sealed.popitem(last=False)

    def __len__(self) -> int:
        return len(self._sealed)

    def _name_and_key(self, part_sha256: bytes) -> tuple[bytes, bytes]:
        digest = hashlib.blake2b(part_sha256, key=self._secret).digest()
        return digest[:32], digest[32:]
