"""A presentation request, and what may become of it: each state is a type, so that nothing is submitted twice."""

import hmac
from dataclasses import dataclass
from typing import Literal

from identity.dcql import DcqlQuery
from identity.encoding import JsonObject
from identity.errors import NonceUsed, RequestExpired, ResponseUriMismatch, StateMismatch

Presentation = str | JsonObject
"""One presentation as it stands in a vp_token: a string in every format but ldp_vc, which is a JSON object."""

ResponseMode = Literal["direct_post", "direct_post.jwt"]
"""How the wallet posts its answer (OpenID4VP 1.0, section 8): in the clear within TLS, or encrypted to us as well."""

HolderPolicy = Literal["same_key", "any"]
"""`same_key`: every credential is bound to one holder key. `any`: each may be bound to a key of its own."""


@dataclass(frozen=True, kw_only=True)
class PresentationRequest:
    """What one verifier asks of one holder, once.

    `audience` is our client identifier, which the holder's key binding must name together with `nonce`. `state` comes
    back with the wallet's answer. `accepted_issuers` are DIDs with a credential type each, None where every issuer that
    the verifier trusts is accepted. Times are UTC milliseconds.
    """

    id: str
    nonce: str
    state: str
    audience: str
    response_uri: str
    query: DcqlQuery
    purpose: str
    created_at_ms: int
    expires_at_ms: int
    holder_policy: HolderPolicy = "same_key"
    response_mode: ResponseMode = "direct_post"
    accepted_issuers: frozenset[tuple[str, str]] | None = None

    def verify_live(self, now_ms: int) -> None:
        """Raises RequestExpired from `expires_at_ms` on."""
        if now_ms >= self.expires_at_ms:
            raise RequestExpired

    def verify_session(self, *, state: str, response_uri: str) -> None:
        """Raises StateMismatch or ResponseUriMismatch when an answer was meant for another request.

        `state` is the wallet's, `response_uri` the address that it posted to.
        """
        if not hmac.compare_digest(state.encode(), self.state.encode()):
            raise StateMismatch
        if response_uri != self.response_uri:
            raise ResponseUriMismatch


@dataclass(frozen=True, kw_only=True)
class Requested:
    """Created, and not yet fetched by a wallet."""

    request: PresentationRequest


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """A wallet has fetched the request object."""

    request: PresentationRequest
    retrieved_at_ms: int


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """One presentation was taken; `fingerprint` (the caller's keyed MAC of it) tells it from any other."""

    request: PresentationRequest
    submitted_at_ms: int
    fingerprint: bytes


@dataclass(frozen=True, kw_only=True)
class Expired:
    """Nothing was submitted in time."""

    request: PresentationRequest


RequestState = Requested | Retrieved | Submitted | Expired


def at_time(state: RequestState, now_ms: int) -> RequestState:
    """The same state as it stands at `now_ms`: an open one expires, a submitted one stays."""
    if isinstance(state, Requested | Retrieved) and now_ms >= state.request.expires_at_ms:
        return Expired(request=state.request)
    return state


def retrieve(state: RequestState, now_ms: int) -> Retrieved:
    """A wallet fetches the request object, which it may do again. Raises RequestExpired or NonceUsed."""
    match at_time(state, now_ms):
        case Requested(request=request):
            return Retrieved(request=request, retrieved_at_ms=now_ms)
        case Retrieved() as retrieved:
            return retrieved
        case Submitted():
            raise NonceUsed
        case Expired():
            raise RequestExpired


def submit(state: RequestState, fingerprint: bytes, now_ms: int) -> Submitted:
    """A presentation takes the request's one place; the same one again finds itself there, at any time.

    A lender that carries the presentation itself may submit before any wallet fetched the request. The caller makes
    this atomic in its store. Raises RequestExpired, or NonceUsed when another presentation was first.
    """
    match at_time(state, now_ms):
        case Requested(request=request) | Retrieved(request=request):
            return Submitted(request=request, submitted_at_ms=now_ms, fingerprint=fingerprint)
        case Submitted() as submitted:
            if submitted.fingerprint != fingerprint:
                raise NonceUsed
            return submitted
        case Expired():
            raise RequestExpired
