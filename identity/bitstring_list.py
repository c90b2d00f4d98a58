"""The list of a Bitstring Status List v1.0: a W3C credential (VCDM 2.0) that holds the bits of one purpose."""

import gzip
from collections.abc import Iterable
from datetime import UTC, datetime

from identity.bitstring import StatusPurpose
from identity.encoding import JsonObject, encode_base64url, encode_json
from identity.errors import CannotIssue
from identity.jws import sign_jws
from identity.keys import SigningKey

VCDM_2_CONTEXT = "https://www.w3.org/ns/credentials/v2"
MIN_LENGTH = 131_072


def issue_bitstring_status_list(
    *,
    uri: str,
    indices: Iterable[int],
    length: int,
    purpose: StatusPurpose,
    key: SigningKey,
    now_ms: int,
    ttl_s: int,
    expires_in_s: int,
) -> str:
    """Sign a BitstringStatusListCredential for publication at `uri`, as a JWT (VC-JOSE-COSE 1.0, section 3.1.1).

    `indices` are those whose bit is set, of `length` in all. Raises CannotIssue for an index outside the list, or a
    list of fewer than 131,072, which would tell too much of whose it is (section 4.1).
    """
    if length < MIN_LENGTH or length % 8:
        raise CannotIssue
    bits = bytearray(length // 8)
    for index in indices:
        if not 0 <= index < length:
            raise CannotIssue
        bits[index // 8] |= 0x80 >> index % 8  # the first index is the left-most bit (section 3.2)
    credential: JsonObject = {
        "@context": [VCDM_2_CONTEXT],
        "id": uri,
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": key.did,
        "validFrom": _format_seconds(now_ms),
        "validUntil": _format_seconds(now_ms + expires_in_s * 1000),
        "credentialSubject": {
            "id": f"{uri}#list",
            "type": "BitstringStatusList",
            "statusPurpose": purpose,
            "encodedList": "u" + encode_base64url(gzip.compress(bytes(bits), mtime=0)),
            "ttl": ttl_s * 1000,
        },
    }
    return sign_jws({"typ": "vc+jwt", "kid": key.kid}, encode_json(credential), key)


def _format_seconds(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
