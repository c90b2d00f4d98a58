"""The verifier: from a vp_token nobody vouches for to claims that a score may rest on."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

from identity.credential import Credential, CredentialFormat
from identity.credential_types.types import TERMS, CredentialType
from identity.data_integrity import sole_proof
from identity.dcql import CredentialQuery, select_claims, verify_answered_ids
from identity.did_resolver import DidResolver
from identity.encoding import JsonObject, JsonValue, decode_base64url, parse_json, parse_json_object
from identity.errors import (
    ArrayNotWhole,
    AudienceMismatch,
    ClientIdMismatch,
    CredentialRepeated,
    CredentialRevoked,
    CredentialSuspended,
    HolderMismatch,
    IdentityError,
    KeyBindingMissing,
    MissingClaim,
    NonceMismatch,
    PresentationFormatMismatch,
    Step,
    UnknownCredentialType,
    VctNotAsked,
)
from identity.issuer_parts import SeenIssuerParts
from identity.jws import parse_jws
from identity.key_binding import KeyBinding
from identity.keys import PublicKey
from identity.ldp_vc import verify_presentation_object
from identity.linked_data.workers import LinkedDataWorkers
from identity.presentation import Presentation, PresentationRequest
from identity.sd_jwt import RESERVED_CLAIMS, ParsedIssuerJwt, verify_sd_jwt
from identity.status_list import StatusChecker
from identity.trust import TrustedIssuer, TrustedIssuers
from identity.vc_jwt import parse_presentation_jwt, verify_presentation_jwt
from identity.vcdm import VerifiedW3cCredential, W3cCredential, require_credit_history_terms

# The envelope of an SD-JWT VC, which no type's schema speaks of.
_ENVELOPE_CLAIMS = RESERVED_CLAIMS | {"sub", "jti"}
# OpenID4VP 1.0 section 5.9.3, and the prefix that the Digital Credentials API adds.
_CLIENT_ID_PREFIXES = (
    "decentralized_identifier:",
    "origin:",
    "openid_federation:",
    "redirect_uri:",
    "verifier_attestation:",
    "x509_hash:",
    "x509_san_dns:",
)


@dataclass(frozen=True, kw_only=True)
class VerifiedCredential:
    """One verified credential. `claims` holds what the query asked for and nothing else; times are UTC milliseconds.

    `unasked` names the claims that arrived without being asked for, and were dropped. `status_checked_at_ms` is when
    the issuer's status list was fetched, None for a credential that cannot be revoked.
    """

    query_id: str
    format: CredentialFormat
    vct: str
    issuer: str
    claims: JsonObject
    unasked: tuple[str, ...]
    issued_at_ms: int
    status_checked_at_ms: int | None


@dataclass(frozen=True, kw_only=True)
class VerifiedPresentation:
    """A verified answer to one request, credentials in the query's order.

    `holders` are the keys that they are bound to, each once, in the same order: only the policy "any" has several.
    """

    credentials: tuple[VerifiedCredential, ...]
    holders: tuple[PublicKey, ...]

    @property
    def holder(self) -> PublicKey:
        """The key that all are bound to; under the policy "any", the key of the first."""
        return self.holders[0]


@dataclass(frozen=True, kw_only=True)
class _Presented:
    query: CredentialQuery
    presentation: Presentation


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """For whom and when a credential is verified."""

    query: CredentialQuery
    trusted: TrustedIssuers
    key_binding: KeyBinding
    now_ms: int


class Verifier:
    """Verifies presentations against a request; holds nothing of any of them that it could read again by itself."""

    def __init__(
        self,
        *,
        statuses: StatusChecker,
        dids: DidResolver,
        linked_data: LinkedDataWorkers,
        types: Mapping[str, CredentialType],
    ) -> None:
        self._statuses = statuses
        self._dids = dids
        self._linked_data = linked_data
        self._seen = SeenIssuerParts()
        self._types = types
        self._types_by_w3c_name = {
            name: each for each in types.values() for name in (each.w3c_name, TERMS + each.w3c_name)
        }

    def verify(
        self,
        vp_token: Mapping[str, Sequence[Presentation]],
        request: PresentationRequest,
        trusted: TrustedIssuers,
        now_ms: int,
    ) -> VerifiedPresentation:
        """Verifies every presentation of `vp_token` against `request` at `now_ms`, or raises an IdentityError.

        The error says at which step, and for which credential query where it is of one.

        The order is deliberate: what costs nothing first, trust before a key is resolved or a signature checked, and
        statuses, which always go to the network, last, for credentials that everything else has accepted. Claims beyond
        those asked for are dropped, never refused and never passed on. That a request is answered once only, and that
        the answer came in through its own response_uri, is for the caller to hold (`identity.presentation`).
        """
        # 1. The request can still be answered.
        with _at_step("request"):
            request.verify_live(now_ms)

        # 2. There is a presentation for every credential that the query requires, and for no other.
        with _at_step("query"):
            verify_answered_ids(request.query, {id: len(presentations) for id, presentations in vp_token.items()})
        presented = [
            _Presented(query=query, presentation=presentation)
            for query in request.query.credentials
            for presentation in vp_token.get(query.id, ())
        ]

        # 3. Each proof of possession says that it is for this request and for us. Its signature comes in step 4.
        for one in presented:
            _check_binding_is_for(request, one)

        # 4. Each credential is of a type that was asked for, from an issuer trusted for it, signed, current, unaltered,
        #    and bound to its holder, this request and us.
        key_binding = KeyBinding(nonce=request.nonce, audience=request.audience)
        verified = [
            self._verify_credential(
                one.presentation, _Judged(query=one.query, trusted=trusted, key_binding=key_binding, now_ms=now_ms)
            )
            for one in presented
        ]

        # 5. No credential counts twice. Two that differ in the signature alone are the same credential, and so are the
        #    copies of one that an issuer made for several keys, or in several formats.
        with _at_step("repetition"):
            if any(one.repeats(other) for one, other in combinations(verified, 2)):
                raise CredentialRepeated

        # 6. One person holds them all, as far as the request's policy asks.
        holders = [one.holder for one in verified if one.holder is not None]
        with _at_step("holder"):
            if request.holder_policy == "same_key" and any(holder != holders[0] for holder in holders):
                raise HolderMismatch

        # 7. The claims fit their types, and every claim that was asked for is among them; none counts as better founded
        #    than its issuer is trusted to be.
        claims = [
            self._select_claims(one.query, credential, trusted.require(credential.issuer, credential.vct, now_ms))
            for one, credential in zip(presented, verified, strict=True)
        ]

        # 8. The issuer has not taken any of them back.
        checked_at_ms = [
            self._check_statuses(one.query, credential, now_ms)
            for one, credential in zip(presented, verified, strict=True)
        ]

        return VerifiedPresentation(
            credentials=tuple(
                VerifiedCredential(
                    query_id=one.query.id,
                    format=credential.format,
                    vct=credential.vct,
                    issuer=credential.issuer,
                    claims=asked,
                    unasked=tuple(name for name in credential.claims if name not in asked),
                    issued_at_ms=credential.issued_at_ms,
                    status_checked_at_ms=checked,
                )
                for one, credential, asked, checked in zip(presented, verified, claims, checked_at_ms, strict=True)
            ),
            holders=tuple({holder.thumbprint: holder for holder in holders}.values()),
        )

    def _verify_credential(self, presentation: Presentation, judged: _Judged) -> Credential:
        match judged.query.format, presentation:
            case "dc+sd-jwt", str():
                return self._verify_sd_jwt(presentation, judged)
            case "jwt_vc_json", str():
                with _at_step("proof", judged.query):
                    verified = verify_presentation_jwt(
                        parse_presentation_jwt(presentation),
                        issuer_key_for=lambda credential, kid: self._w3c_issuer_key(credential, kid, judged),
                        holder_key_for=lambda did, kid: self._holder_key(did, kid, judged),
                        key_binding=judged.key_binding,
                        now_ms=judged.now_ms,
                    )
                    return self._w3c_credential(verified, judged.query.format)
            case "ldp_vc", dict():
                with _at_step("proof", judged.query):
                    verified = verify_presentation_object(
                        presentation,
                        issuer_key_for=lambda credential, kid: self._w3c_issuer_key(credential, kid, judged),
                        holder_key_for=lambda did, kid: self._holder_key(did, kid, judged),
                        linked_data=self._linked_data,
                        key_binding=judged.key_binding,
                        now_ms=judged.now_ms,
                    )
                    return self._w3c_credential(verified, judged.query.format)
            case _:
                raise PresentationFormatMismatch

    def _verify_sd_jwt(self, presentation: str, judged: _Judged) -> Credential:
        def issuer_key_for(parsed: ParsedIssuerJwt) -> PublicKey:
            type = self._types.get(parsed.vct)
            return self._issuer_key(type, {parsed.vct}, did=parsed.issuer, kid=parsed.kid, judged=judged)

        with _at_step("proof", judged.query):
            sd_jwt = verify_sd_jwt(
                presentation,
                issuer_key_for=issuer_key_for,
                now_ms=judged.now_ms,
                key_binding=judged.key_binding,
                seen=self._seen,
            )
        with _at_step("claims", judged.query):
            _check_arrays_whole(presentation)
        return Credential(
            format="dc+sd-jwt",
            issuer=sd_jwt.issuer,
            vct=sd_jwt.vct,
            claims={name: value for name, value in sd_jwt.claims.items() if name not in _ENVELOPE_CLAIMS},
            issued_at_ms=sd_jwt.issued_at_ms,
            expires_at_ms=sd_jwt.expires_at_ms,
            holder=sd_jwt.holder,
            statuses=() if sd_jwt.status is None else (sd_jwt.status,),
            digest=hashlib.sha256(sd_jwt.issuer_jwt.rpartition(".")[0].encode("ascii")).digest(),
        )

    def _w3c_credential(self, verified: VerifiedW3cCredential, format: CredentialFormat) -> Credential:
        credential = verified.credential
        type = self._w3c_type(credential)
        if credential.valid_from_ms is None or type is None:  # what a feature is worth depends on when it was claimed
            raise MissingClaim
        return Credential(
            format=format,
            issuer=credential.issuer,
            vct=type.vct,
            claims=credential.claims,
            issued_at_ms=credential.valid_from_ms,
            expires_at_ms=verified.expires_at_ms,
            holder=verified.holder,
            statuses=credential.statuses,
            digest=verified.digest,
        )

    def _w3c_type(self, credential: W3cCredential) -> CredentialType | None:
        """The one type of ours that the credential is of, None when it is of another or of more."""
        names = credential.types - {"VerifiableCredential"}
        return self._types_by_w3c_name.get(next(iter(names))) if len(names) == 1 else None

    def _w3c_issuer_key(self, credential: W3cCredential, kid: str | None, judged: _Judged) -> PublicKey:
        type = self._w3c_type(credential)
        types = credential.types if type is None else type.w3c_types
        with _at_step("type", judged.query):
            if type is not None:
                require_credit_history_terms(credential)
        return self._issuer_key(type, types, did=credential.issuer, kid=kid, judged=judged)

    def _issuer_key(
        self, type: CredentialType | None, types: Collection[str], *, did: str, kid: str | None, judged: _Judged
    ) -> PublicKey:
        """The issuer's key, once the type is one that was asked for and the issuer is trusted for it."""
        with _at_step("type", judged.query):
            if not judged.query.accepts(types):
                raise VctNotAsked
            if type is None:
                raise UnknownCredentialType
        with _at_step("issuer", judged.query):
            judged.trusted.require(did, type.vct, judged.now_ms)
            return self._dids.resolve_key(did=did, kid=kid, relationship="assertionMethod", now_ms=judged.now_ms)

    def _holder_key(self, did: str, kid: str | None, judged: _Judged) -> PublicKey:
        # Only a credential whose issuer is trusted, and has signed it, gets its subject's DID resolved.
        return self._dids.resolve_key(did=did, kid=kid, relationship="authentication", now_ms=judged.now_ms)

    def _select_claims(self, query: CredentialQuery, credential: Credential, issuer: TrustedIssuer) -> JsonObject:
        with _at_step("claims", query):
            type = self._types[credential.vct]
            if credential.format == "dc+sd-jwt":
                type.verify_disclosed_claims(credential.claims)
                return select_claims(query, {type.vct}, issuer.cap(credential.claims))
            type.verify_claims(credential.claims)  # these formats withhold nothing
            return select_claims(query, type.w3c_types, issuer.cap(credential.claims))

    def _check_statuses(self, query: CredentialQuery, credential: Credential, now_ms: int) -> int | None:
        """When the oldest list that says so was fetched; None where the credential names no list."""
        checked_at_ms = []
        with _at_step("status", query):
            for reference in credential.statuses:
                checked = self._statuses.check_status(reference, issuer=credential.issuer, now_ms=now_ms)
                match checked.status:
                    case "valid":
                        checked_at_ms.append(checked.checked_at_ms)
                    case "suspended":
                        raise CredentialSuspended
                    case _:
                        raise CredentialRevoked
        return min(checked_at_ms, default=None)


@contextmanager
def _at_step(step: Step, query: CredentialQuery | None = None) -> Iterator[None]:
    """Whatever is refused within the block says that it was at this step; the innermost block counts."""
    try:
        yield
    except IdentityError as refused:
        refused.step = refused.step or step
        refused.query_id = refused.query_id or (None if query is None else query.id)
        raise


def _check_binding_is_for(request: PresentationRequest, one: _Presented) -> None:
    """Raises NonceMismatch, ClientIdMismatch (made for another verifier) or AudienceMismatch; trusts nothing."""
    with _at_step("query", one.query):
        if isinstance(one.presentation, str) == (one.query.format == "ldp_vc"):
            raise PresentationFormatMismatch
    with _at_step("binding", one.query):
        audience, nonce = _peek_binding(one)
        if audience != request.audience:
            if isinstance(audience, str) and audience.startswith(_CLIENT_ID_PREFIXES):
                raise ClientIdMismatch
            raise AudienceMismatch
        if nonce != request.nonce:
            raise NonceMismatch


def _peek_binding(one: _Presented) -> tuple[JsonValue, JsonValue]:
    """For whom and for which nonce a presentation says that it was made."""
    if not isinstance(one.presentation, str):
        proof = sole_proof(one.presentation)
        return proof.get("domain"), proof.get("challenge")
    if one.query.format == "jwt_vc_json":
        payload = parse_presentation_jwt(one.presentation).payload
    else:
        key_binding_jwt = one.presentation.rpartition("~")[2]
        if not key_binding_jwt:
            raise KeyBindingMissing
        payload = parse_json_object(parse_jws(key_binding_jwt).payload)
    return payload.get("aud"), payload.get("nonce")


def _check_arrays_whole(presentation: str) -> None:
    """Raises ArrayNotWhole when items of an array are disclosable one by one (RFC 9901, section 4.2.4.2).

    A holder could leave out the bad months of such an array, and the rest would move up into their places.
    """
    issuer_jwt, *disclosures, _ = presentation.split("~")
    disclosed: list[JsonValue] = [parse_json(decode_base64url(disclosure)) for disclosure in disclosures]
    unvisited = [parse_json_object(parse_jws(issuer_jwt).payload), *disclosed]
    while unvisited:
        value = unvisited.pop()
        if isinstance(value, dict):
            if "..." in value:
                raise ArrayNotWhole
            unvisited.extend(value.values())
        elif isinstance(value, list):
            unvisited.extend(value)
