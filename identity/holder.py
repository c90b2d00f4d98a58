"""A small scriptable wallet: it picks the credentials that answer a request and shows no more than is asked."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from identity.credential import CredentialFormat
from identity.dcql import CredentialQuery, DcqlQuery, select_claims
from identity.did import did_key
from identity.disclosures import disclose_claims
from identity.encoding import JsonObject, encode_base64url, encode_json, parse_json_object
from identity.errors import CannotPresent, ClaimMissing, VctNotAsked
from identity.jws import parse_jws, sign_jws
from identity.jwt import time_claim_ms
from identity.key_binding import KeyBinding
from identity.keys import SigningKey, parse_public_jwk
from identity.ldp_vc import sign_presentation_object
from identity.openid4vp import MAX_PRESENTATIONS, RequestObject
from identity.presentation import Presentation
from identity.sd_jwt import KEY_BINDING_TYP, issuer_jwt_of, select_disclosures
from identity.vc_jwt import CREDENTIAL_CLAIMS, MAX_VC_JWT_CHARS, sign_presentation_jwt
from identity.vcdm import parse_credential


@dataclass(frozen=True, kw_only=True)
class _Held:
    credential: Presentation
    format: CredentialFormat
    types: frozenset[str]
    is_ours: bool
    subject_id: str
    claims: JsonObject
    issued_at_ms: int
    expires_at_ms: int | None


def present(
    *, request: RequestObject, credentials: Sequence[Presentation], key: SigningKey, now_ms: int
) -> Mapping[str, list[Presentation]]:
    """The vp_token that answers `request` from `credentials`, newest first: SD-JWTs, VC-JWTs of VCDM 2.0, JSON objects.

    Of an SD-JWT no more is shown than is asked; a W3C credential is shown whole, where its format is asked for. Those
    that are bound to another key than `key` or have expired stay out. Of several ways to answer it takes the
    first that it can (OpenID4VP 1.0, section 6.4); what is optional it leaves out. One credential answers at most one
    query, and a query that takes several gets the newest 16. Raises CannotPresent when the wallet holds too little.
    """
    held = [
        one
        for one in (_read(credential, key) for credential in credentials)
        if one.is_ours and (one.expires_at_ms is None or now_ms < one.expires_at_ms)
    ]
    held.sort(key=lambda one: one.issued_at_ms, reverse=True)
    for ids in _ways_to_answer(request.query):
        chosen = _choose([query for query in request.query.credentials if query.id in ids], held)
        if not chosen:
            continue
        binding = KeyBinding(nonce=request.nonce, audience=request.client_id)
        return {
            id: [_bind(one, names, binding, key, now_ms) for one, names in presented]
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


def _bind(one: _Held, names: list[str], binding: KeyBinding, key: SigningKey, now_ms: int) -> Presentation:
    if one.format == "dc+sd-jwt":
        shown = select_disclosures(str(one.credential), names)
        return add_key_binding(shown, nonce=binding.nonce, audience=binding.audience, key=key, now_ms=now_ms)
    holder, kid = _dids_of(key)[one.subject_id]
    if isinstance(one.credential, str):
        return sign_presentation_jwt(one.credential, key, holder=holder, kid=kid, key_binding=binding, now_ms=now_ms)
    return sign_presentation_object(
        one.credential,
        key,
        holder=holder,
        kid=kid,
        cryptosuite="eddsa-jcs-2022" if key.alg == "EdDSA" else "ecdsa-jcs-2019",
        canonicalize=_no_rdf,
        key_binding=binding,
        now_ms=now_ms,
    )


def _read(credential: Presentation, key: SigningKey) -> _Held:
    """The wallet trusted its issuer when it took the credential, so nothing is verified here."""
    if isinstance(credential, str) and "~" in credential:
        return _read_sd_jwt(credential, key)
    document = credential
    if isinstance(document, str):
        document = parse_json_object(parse_jws(document, max_chars=MAX_VC_JWT_CHARS, cty="vc").payload)
    parsed = parse_credential({name: value for name, value in document.items() if name not in CREDENTIAL_CLAIMS})
    return _Held(
        credential=credential,
        format="jwt_vc_json" if isinstance(credential, str) else "ldp_vc",
        types=parsed.expanded_types,
        is_ours=parsed.subject_id in _dids_of(key),
        subject_id=parsed.subject_id or "",
        claims=parsed.claims,
        issued_at_ms=parsed.valid_from_ms or 0,
        expires_at_ms=parsed.valid_until_ms,
    )


def _read_sd_jwt(sd_jwt: str, key: SigningKey) -> _Held:
    payload = parse_json_object(parse_jws(issuer_jwt_of(sd_jwt)).payload)
    claims, _ = disclose_claims(payload, sd_jwt.split("~")[1:-1])
    confirmation = payload.get("cnf")
    holder = parse_public_jwk(confirmation.get("jwk")) if isinstance(confirmation, dict) else None
    return _Held(
        credential=sd_jwt,
        format="dc+sd-jwt",
        types=frozenset({str(payload.get("vct"))}),
        is_ours=holder == key.public,
        subject_id="",
        claims=claims,
        issued_at_ms=time_claim_ms(payload, "iat") or 0,
        expires_at_ms=time_claim_ms(payload, "exp"),
    )


def _dids_of(key: SigningKey) -> Mapping[str, tuple[str, str]]:
    """The DIDs that are this key, each with the id of its one verification method."""
    as_did_key = did_key(key.public)
    method = f"{as_did_key}#{as_did_key.removeprefix('did:key:')}"
    return {key.did: (key.did, key.kid), as_did_key: (as_did_key, method)}


def _no_rdf(_document: JsonObject) -> bytes:
    raise CannotPresent  # a wallet signs by JCS


def _ways_to_answer(query: DcqlQuery) -> list[set[str]]:
    """Sets of query ids that answer the query, by the verifier's preference."""
    return [set().union(*options) for options in itertools.islice(itertools.product(*query.required_options), 256)]


def _choose(
    queries: Sequence[CredentialQuery], held: Sequence[_Held]
) -> dict[str, list[tuple[_Held, list[str]]]] | None:
    unused = list(held)
    chosen: dict[str, list[tuple[_Held, list[str]]]] = {}
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
        chosen[query.id] = taken
    return chosen


def _names_to_disclose(query: CredentialQuery, one: _Held) -> list[str] | None:
    if one.format != query.format:
        return None
    try:
        return list(select_claims(query, one.types, one.claims))
    except (VctNotAsked, ClaimMissing):
        return None
