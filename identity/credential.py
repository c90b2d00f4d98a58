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

    def repeats(self, other: "Credential") -> bool:
        """Whether both are one credential, or copies of one.

        A batch of copies (OpenID4VCI 1.0, section 8.2) has a key, salts and a status for each of them, so what tells
        them is that one issuer said the same at the same time, as far as both show it. To one key, though, it may say
        in two SD-JWTs what only looks the same: of two loans, of which little is shown.
        """
        if self.digest == other.digest:
            return True
        if (self.issuer, self.vct, self.issued_at_ms) != (other.issuer, other.vct, other.issued_at_ms):
            return False
        if self.format == other.format == "dc+sd-jwt" and self.holder == other.holder:
            return False
        return all(self.claims[name] == other.claims[name] for name in self.claims.keys() & other.claims.keys())
