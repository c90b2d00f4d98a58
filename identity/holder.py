"""A small scriptable wallet: it picks the credentials that answer a request and shows no more than is asked."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from identity.dcql import CredentialQuery, DcqlQuery, select_claims
from identity.disclosures import disclose_claims
from identity.encoding import JsonObject, encode_base64url, encode_json, parse_json_object
from identity.errors import CannotPresent, ClaimMissing, VctNotAsked
from identity.jws import parse_jws, sign_jws
from identity.jwt import time_claim_ms
from identity.keys import PublicKey, SigningKey, parse_public_jwk
from identity.openid4vp import MAX_PRESENTATIONS, RequestObject
from identity.sd_jwt import KEY_BINDING_TYP, issuer_jwt_of, select_disclosures


@dataclass(frozen=True, kw_only=True)
class _Held:
    sd_jwt: str
    vct: str
    holder: PublicKey | None
    claims: JsonObject
    issued_at_ms: int
    expires_at_ms: int | None


def present(
    *, request: RequestObject, credentials: Sequence[str], key: SigningKey, now_ms: int
) -> Mapping[str, list[str]]:
    """The vp_token that answers `request` from `credentials` (SD-JWTs), newest first.

    Those that are bound to another key than `key` or have expired stay out. Of several ways to answer it takes the
    first that it can (OpenID4VP 1.0, section 6.4); what is optional it leaves out. One credential answers at most one
    query, and a query that takes several gets the newest 16. Raises CannotPresent when the wallet holds too little.
    """
    held = [
        one
        for one in map(_read, credentials)
        if one.holder == key.public and (one.expires_at_ms is None or now_ms < one.expires_at_ms)
    ]
    held.sort(key=lambda one: one.issued_at_ms, reverse=True)
    for ids in _ways_to_answer(request.query):
        chosen = _choose([query for query in request.query.credentials if query.id in ids], held)
        if not chosen:
            continue
        return {
            id: [
                add_key_binding(sd_jwt, nonce=request.nonce, audience=request.client_id, key=key, now_ms=now_ms)
                for sd_jwt in presented
            ]
            for id, presented in chosen.items()
        }
    raise CannotPresent


def add_key_binding(sd_jwt: str, *, nonce: str, audience: str, key: SigningKey, now_ms: int) -> str:
    """Appends a key binding JWT (RFC 9901, section 4.3) over exactly the disclosures of `sd_jwt`."""
    payload = {
        "aud": audience,
        "iat": now_ms // 1000,
        "nonce": nonce,
        "sd_hash": encode_base64url(hashlib.sha256(sd_jwt.encode("ascii")).digest()),
    }
    return sd_jwt + sign_jws({"typ": KEY_BINDING_TYP}, encode_json(payload), key)


def _read(sd_jwt: str) -> _Held:
    """The wallet trusted its issuer when it took the credential, so nothing is verified here."""
    payload = parse_json_object(parse_jws(issuer_jwt_of(sd_jwt)).payload)
    claims, _ = disclose_claims(payload, sd_jwt.split("~")[1:-1])
    confirmation = payload.get("cnf")
    holder = parse_public_jwk(confirmation.get("jwk")) if isinstance(confirmation, dict) else None
    return _Held(
        sd_jwt=sd_jwt,
        vct=str(payload.get("vct")),
        holder=holder,
        claims=claims,
        issued_at_ms=time_claim_ms(payload, "iat") or 0,
        expires_at_ms=time_claim_ms(payload, "exp"),
    )


def _ways_to_answer(query: DcqlQuery) -> list[set[str]]:
    """Sets of query ids that answer the query, by the verifier's preference."""
    return [set().union(*options) for options in itertools.islice(itertools.product(*query.required_options), 256)]


def _choose(queries: Sequence[CredentialQuery], held: Sequence[_Held]) -> dict[str, list[str]] | None:
    unused = list(held)
    chosen: dict[str, list[str]] = {}
    answering = {
        query.id: [(one, names) for one in held if (names := _names_to_disclose(query, one)) is not None]
        for query in queries
    }
    # Who can take the fewest chooses first, and who takes all that is left chooses last.
    for query in sorted(queries, key=lambda query: (query.multiple, len(answering[query.id]))):
        answers = [(one, names) for one, names in answering[query.id] if one in unused]
        if not answers:
            return None
        taken = answers[:MAX_PRESENTATIONS] if query.multiple else answers[:1]
        for one, _ in taken:
            unused.remove(one)
        chosen[query.id] = [select_disclosures(one.sd_jwt, names) for one, names in taken]
    return chosen


def _names_to_disclose(query: CredentialQuery, one: _Held) -> list[str] | None:
    try:
        return list(select_claims(query, {one.vct}, one.claims))
    except (VctNotAsked, ClaimMissing):
        return None
