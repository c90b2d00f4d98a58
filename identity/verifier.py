"""The verifier: from a vp_token nobody vouches for to claims that a score may rest on."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from identity.bitstring import BitstringReference
from identity.credential import Credential
from identity.credential_types.types import CredentialType
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
    NonceMismatch,
    PresentationFormatMismatch,
    Step,
    UnknownCredentialType,
    UnsupportedStatus,
    VctNotAsked,
)
from identity.jws import parse_jws
from identity.keys import PublicKey
from identity.presentation import Presentation, PresentationRequest
from identity.sd_jwt import RESERVED_CLAIMS, KeyBinding, ParsedIssuerJwt, verify_sd_jwt
from identity.status_list import StatusChecker
from identity.trust import TrustedIssuers

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

    `status_checked_at_ms` is when the issuer's status list was fetched, None for a credential that cannot be revoked.
    """

    query_id: str
    vct: str
    issuer: str
    claims: JsonObject
    issued_at_ms: int
    status_checked_at_ms: int | None


@dataclass(frozen=True, kw_only=True)
class VerifiedPresentation:
    """A verified answer to one request, credentials in the query's order.

    `holder` is the key that they are all bound to; under the policy "any", the key of the first.
    """

    credentials: tuple[VerifiedCredential, ...]
    holder: PublicKey


@dataclass(frozen=True, kw_only=True)
class _Presented:
    query: CredentialQuery
    presentation: str


class Verifier:
    """Verifies presentations against a request; holds nothing of any of them."""

    def __init__(self, *, statuses: StatusChecker, dids: DidResolver, types: Mapping[str, CredentialType]) -> None:
        self._statuses = statuses
        self._dids = dids
        self._types = types

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
            _Presented(query=query, presentation=_text_of(query, presentation))
            for query in request.query.credentials
            for presentation in vp_token.get(query.id, ())
        ]

        # 3. Each key binding says that it is for this request and for us. Its signature comes in step 4.
        for one in presented:
            with _at_step("binding", one.query):
                _check_binding_is_for(request, one.presentation)

        # 4. Each credential is of a type that was asked for, from an issuer trusted for it, signed, current, unaltered,
        #    and bound to its holder, this request and us.
        verified = [self._verify_credential(one, request, trusted, now_ms) for one in presented]

        # 5. No credential counts twice. Two that differ in the signature alone are the same credential.
        with _at_step("repetition"):
            if len({one.digest for one in verified}) != len(verified):
                raise CredentialRepeated

        # 6. One person holds them all, as far as the request's policy asks.
        holders = [one.holder for one in verified if one.holder is not None]
        with _at_step("holder"):
            if request.holder_policy == "same_key" and any(holder != holders[0] for holder in holders):
                raise HolderMismatch

        # 7. The claims fit their types, and every claim that was asked for is among them.
        claims = [
            self._select_claims(one.query, credential) for one, credential in zip(presented, verified, strict=True)
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
                    vct=credential.vct,
                    issuer=credential.issuer,
                    claims=asked,
                    issued_at_ms=credential.issued_at_ms,
                    status_checked_at_ms=checked,
                )
                for one, credential, asked, checked in zip(presented, verified, claims, checked_at_ms, strict=True)
            ),
            holder=holders[0],
        )

    def _verify_credential(
        self, one: _Presented, request: PresentationRequest, trusted: TrustedIssuers, now_ms: int
    ) -> Credential:
        def issuer_key_for(parsed: ParsedIssuerJwt) -> PublicKey:
            with _at_step("type", one.query):
                if not one.query.accepts({parsed.vct}):
                    raise VctNotAsked
                if parsed.vct not in self._types:
                    raise UnknownCredentialType
            with _at_step("issuer", one.query):
                trusted.require(parsed.issuer, parsed.vct, now_ms)
                return self._dids.resolve_key(
                    did=parsed.issuer, kid=parsed.kid, relationship="assertionMethod", now_ms=now_ms
                )

        with _at_step("proof", one.query):
            sd_jwt = verify_sd_jwt(
                one.presentation,
                issuer_key_for=issuer_key_for,
                now_ms=now_ms,
                key_binding=KeyBinding(nonce=request.nonce, audience=request.audience),
            )
        with _at_step("claims", one.query):
            _check_arrays_whole(one.presentation)
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

    def _select_claims(self, query: CredentialQuery, credential: Credential) -> JsonObject:
        with _at_step("claims", query):
            type = self._types[credential.vct]
            type.verify_disclosed_claims(credential.claims)
            types = {type.vct} if credential.format == "dc+sd-jwt" else type.w3c_types
            return select_claims(query, types, credential.claims)

    def _check_statuses(self, query: CredentialQuery, credential: Credential, now_ms: int) -> int | None:
        """When the oldest list that says so was fetched; None where the credential names no list."""
        checked_at_ms = []
        with _at_step("status", query):
            for reference in credential.statuses:
                if isinstance(reference, BitstringReference):
                    raise UnsupportedStatus
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


def _text_of(query: CredentialQuery, presentation: Presentation) -> str:
    """The presentation of a format whose presentations are strings; raises PresentationFormatMismatch."""
    with _at_step("query", query):
        if query.format != "dc+sd-jwt" or not isinstance(presentation, str):
            raise PresentationFormatMismatch
        return presentation


def _check_binding_is_for(request: PresentationRequest, presentation: str) -> None:
    """Raises NonceMismatch, ClientIdMismatch (made for another verifier) or AudienceMismatch; trusts nothing."""
    key_binding_jwt = presentation.rpartition("~")[2]
    if not key_binding_jwt:
        raise KeyBindingMissing
    payload = parse_json_object(parse_jws(key_binding_jwt).payload)
    audience = payload.get("aud")
    if audience != request.audience:
        if isinstance(audience, str) and audience.startswith(_CLIENT_ID_PREFIXES):
            raise ClientIdMismatch
        raise AudienceMismatch
    if payload.get("nonce") != request.nonce:
        raise NonceMismatch


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
