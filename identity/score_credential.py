"""The score as a credential: an SD-JWT VC of ours, which the applicant may show in part to anyone."""

import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from identity.did import resolve_verification_key
from identity.encoding import JsonValue
from identity.errors import CannotIssue, IssuerNotTrusted, VctNotAsked
from identity.key_binding import KeyBinding
from identity.keys import PublicKey, SigningKey
from identity.sd_jwt import RESERVED_CLAIMS, ParsedIssuerJwt, VerifiedSdJwt, issue_sd_jwt, issuer_jwt_of, verify_sd_jwt
from identity.status_list import StatusReference

SCORE_VCT = "urn:credence:score:1"


@dataclass(frozen=True, kw_only=True)
class IssuedScore:
    """A score credential, and the digest that its log entry commits to.

    `issuer_jwt_sha256` is over the signed JWT without disclosures, so that a copy which shows the band alone still
    has the entry for its proof.
    """

    sd_jwt: str
    issuer_jwt: str
    issuer_jwt_sha256: bytes


def issue_score_credential(
    *,
    score: Mapping[str, JsonValue],
    holder: PublicKey,
    subject: str,
    status: StatusReference,
    issued_at_ms: int,
    valid_until_ms: int,
    key: SigningKey,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> IssuedScore:
    """Signs `score`, each of its claims disclosable by itself, to `holder` under the random identifier `subject`.

    Raises CannotIssue when the score has no claim, has one that the envelope uses, or holds a float anywhere: what is
    logged must have one encoding.
    """
    if not score or not (RESERVED_CLAIMS | {"sub"}).isdisjoint(score) or _holds_float(list(score.values())):
        raise CannotIssue
    envelope: dict[str, JsonValue] = {
        "iss": key.did,
        "iat": issued_at_ms // 1000,
        "exp": valid_until_ms // 1000,
        "vct": SCORE_VCT,
        "sub": subject,
        "cnf": {"jwk": holder.jwk},
        "status": status.to_claim(),
    }
    sd_jwt = issue_sd_jwt(
        claims={**envelope, **score}, disclosable=frozenset(score), key=key, random_bytes=random_bytes
    )
    issuer_jwt = issuer_jwt_of(sd_jwt)
    return IssuedScore(
        sd_jwt=sd_jwt, issuer_jwt=issuer_jwt, issuer_jwt_sha256=hashlib.sha256(issuer_jwt.encode("ascii")).digest()
    )


def verify_score_credential(
    sd_jwt: str, *, trusted_issuers: Collection[str], now_ms: int | None, key_binding: KeyBinding | None = None
) -> VerifiedSdJwt:
    """Verifies a score credential, whole or in part, against the DIDs that the reader trusts to issue scores.

    `now_ms` None asks whether it ever was valid, as an auditor does. Status is not looked at, and key binding only
    where it is asked for. Raises IssuerNotTrusted, VctNotAsked for a credential that is no score, and as
    `verify_sd_jwt`.
    """

    def issuer_key_for(parsed: ParsedIssuerJwt) -> PublicKey:
        if parsed.vct != SCORE_VCT:
            raise VctNotAsked
        if parsed.issuer not in trusted_issuers:
            raise IssuerNotTrusted
        return resolve_verification_key(did=parsed.issuer, kid=parsed.kid)

    return verify_sd_jwt(sd_jwt, issuer_key_for=issuer_key_for, now_ms=now_ms, key_binding=key_binding)


def _holds_float(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return any(_holds_float(member) for member in value.values())
    if isinstance(value, list):
        return any(_holds_float(item) for item in value)
    return isinstance(value, float)
