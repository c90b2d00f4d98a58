"""A credential once its format is behind it: what every format ends in, so that scoring never sees one."""

from dataclasses import dataclass
from typing import Literal

from identity.encoding import JsonObject
from identity.keys import PublicKey
from identity.status_list import AnyReference

CredentialFormat = Literal["dc+sd-jwt", "jwt_vc_json", "ldp_vc"]
"""The Credential Format Identifiers of OpenID4VP 1.0 (appendix B) that the house verifies."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """One credential with its issuer's signature, its times and its holder's proof verified; its status is not yet.

    `claims` are the type's own and nothing of the envelope. `holder` is the key that made the proof of possession, None
    where none was asked. Times are UTC milliseconds. `digest` is by what the issuer signed, so that a credential is
    known again in another presentation or under another signature.
    """

    format: CredentialFormat
    issuer: str
    vct: str
    claims: JsonObject
    issued_at_ms: int
    expires_at_ms: int | None
    holder: PublicKey | None
    statuses: tuple[AnyReference, ...]
    digest: bytes
