"""An institution issues a credential of one of our types to a holder's key."""

import secrets
from collections.abc import Callable, Mapping, Sequence

from identity.bitstring import BitstringReference
from identity.credential_types.types import CredentialType
from identity.encoding import JsonObject, JsonValue
from identity.keys import PublicKey, SigningKey
from identity.sd_jwt import issue_sd_jwt
from identity.status_list import StatusReference
from identity.vcdm import CONTEXT_V2, CREDIT_HISTORY_CONTEXT, format_date_time


def issue_credential(
    *,
    type: CredentialType,
    claims: Mapping[str, JsonValue],
    holder: PublicKey,
    key: SigningKey,
    now_ms: int,
    expires_at_ms: int | None,
    status: StatusReference | None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> str:
    """An SD-JWT VC bound to `holder`, in which every claim of the type is disclosable by itself.

    Arrays are disclosed whole, so that no month can be left out. Times are UTC milliseconds and are written in whole
    seconds. Raises ClaimsDoNotFit unless `claims` are all that the type's schema requires and no more.
    """
    type.verify_claims(claims)
    envelope: dict[str, JsonValue] = {
        "iss": key.did,
        "iat": now_ms // 1000,
        "vct": type.vct,
        "cnf": {"jwk": holder.jwk},
    }
    if expires_at_ms is not None:
        envelope["exp"] = expires_at_ms // 1000
    if status is not None:
        envelope["status"] = status.to_claim()
    return issue_sd_jwt(
        claims={**envelope, **claims}, disclosable=frozenset(claims), key=key, random_bytes=random_bytes
    )


def build_w3c_credential(
    *,
    type: CredentialType,
    claims: Mapping[str, JsonValue],
    holder: str,
    issuer: str,
    now_ms: int,
    expires_at_ms: int | None,
    statuses: Sequence[BitstringReference] = (),
) -> JsonObject:
    """The same credential as a VCDM 2.0 document about the DID `holder`, not signed yet.

    `identity.vc_jwt.sign_credential_jwt` and `identity.data_integrity.add_proof` sign it. What a W3C credential says is
    all shown or not at all. Raises ClaimsDoNotFit as `issue_credential`.
    """
    type.verify_claims(claims)
    document: JsonObject = {
        "@context": [CONTEXT_V2, CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", type.w3c_name],
        "issuer": issuer,
        "validFrom": format_date_time(now_ms),
        "credentialSubject": {"id": holder, **claims},
    }
    if expires_at_ms is not None:
        document["validUntil"] = format_date_time(expires_at_ms)
    if statuses:
        document["credentialStatus"] = [reference.to_entry() for reference in statuses]
    return document
