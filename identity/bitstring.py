"""Bitstring Status List v1.0 (W3C Recommendation, 2025): where the status of a W3C credential stands."""

from dataclasses import dataclass
from typing import Literal

from identity.encoding import JsonObject

StatusPurpose = Literal["revocation", "suspension"]

BITSTRING_ENTRY_TYPE = "BitstringStatusListEntry"


@dataclass(frozen=True, kw_only=True)
class BitstringReference:
    """One entry of a credential's `credentialStatus` (section 2.1): a bit of the list at `uri`, for one purpose."""

    uri: str
    index: int
    purpose: StatusPurpose

    def to_entry(self) -> JsonObject:
        """The value of `credentialStatus`, or one of its values."""
        return {
            "type": BITSTRING_ENTRY_TYPE,
            "statusPurpose": self.purpose,
            "statusListIndex": str(self.index),
            "statusListCredential": self.uri,
        }
