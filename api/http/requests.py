"""Presentation requests as a lender makes and polls them; what a wallet does with one is `api.http.presentations`."""

import secrets
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

import rfc8785
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clock import format_time
from api.http.auth import Lender, ServiceOf
from api.http.dcql import DcqlQueryBody, Strict
from api.http.errors import problem_responses
from api.http.idempotency import IdempotencyKey, idempotency_of
from api.http.service import Service
from api.http.strict import StrictRoute
from api.http.wire import WHOLE, CredentialTypeName, Timestamp, location
from api.problems import NotFound, RedirectUriNotAllowed
from api.store.requests import Refusal, StoredRequest, response_code_of
from identity.dcql import parse_dcql_query
from identity.errors import Step
from identity.jwe import DecryptionKey, derive_decryption_key
from identity.openid4vp import ClientIdPrefix, request_link, unsigned_request_link
from identity.presentation import (
    Expired,
    HolderPolicy,
    PresentationRequest,
    Requested,
    ResponseMode,
    Retrieved,
    Submitted,
)

router = APIRouter(prefix="/v1/presentation-requests", tags=["presentation requests"], route_class=StrictRoute)

RequestId = Annotated[str, Path(pattern=r"^req_[0-9a-f]{32}$", description="The id of a presentation request.")]
Purpose = Literal["credit_application", "credit_limit_change", "credit_review", "prequalification"]


class AcceptedIssuerBody(Strict):
    """An issuer that may answer this request, of those that the tenant trusts."""

    did: str = Field(pattern=r"^did:[a-z0-9]{1,16}:[A-Za-z0-9_.:%-]{1,1024}$", description="The issuer.")
    vct: CredentialTypeName = Field(description="The credential type that it may answer with.")


class NewPresentationRequest(Strict):
    """What a lender asks a holder for, and why."""

    purpose: Purpose = Field(description="The permissible purpose, shown to the applicant and written into the score.")
    query: DcqlQueryBody
    holder_policy: HolderPolicy = Field(
        default="same_key", description="Whether every credential must be bound to one and the same holder key."
    )
    client_id_prefix: ClientIdPrefix = Field(
        default="decentralized_identifier",
        description="How the wallet learns who asks: by our DID, by the hash of our certificate, or (`redirect_uri`, "
        "in a request that nobody signs) by the address that the answer goes to.",
    )
    response_mode: ResponseMode = Field(
        default="direct_post", description="`direct_post.jwt`: the wallet encrypts its answer, within TLS, to us."
    )
    request_uri_method: Literal["get", "post"] = Field(
        default="get",
        description="How the wallet fetches the request object; by `post` it may send a nonce that the object repeats. "
        "Without meaning where nothing is signed.",
    )
    redirect_uri: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="The lender's own page, to which the wallet sends the applicant on after an answer on the same "
        "device, with a `response_code` in the fragment.",
        json_schema_extra={"format": "uri"},
    )
    trusted_issuers: list[AcceptedIssuerBody] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Of the issuers that the tenant trusts, the only ones that may answer; none becomes trusted by it.",
    )
    expires_in_s: Annotated[
        int, Field(ge=60, le=86_400, description="Seconds until nobody can answer any more."), WHOLE
    ] = 600


WaitingStep = Literal[
    "waiting for the wallet to fetch the request",
    "waiting for the wallet's answer",
    "the wallet declined, and may still answer",
    "the last presentation was refused, and another may still come",
    "a presentation was accepted and scored",
    "expired before a wallet fetched the request",
    "expired before the wallet answered",
    "expired after the wallet declined",
    "expired after a presentation was refused",
]


class RefusalView(BaseModel):
    """Why a presentation was refused; nothing of what was presented."""

    model_config = ConfigDict(title="Refusal")

    code: str = Field(description="Stable, for programs; `wallet_declined` where the holder would not answer.")
    detail: str = Field(description="The same for people.")
    step: Step | Literal["consent", "scoring"] | None = Field(
        description="The step of verification at which it was refused; `response`: before any presentation was read."
    )
    query_id: str | None = Field(
        description="The credential query whose answer was refused; null where it was not one credential's doing."
    )
    at: Timestamp


class PresentationRequestView(BaseModel):
    """A presentation request and how far it has come."""

    model_config = ConfigDict(title="PresentationRequest")

    id: str = Field(description="`GET /v1/presentation-requests/{id}` reads it again.")
    status: Literal["requested", "retrieved", "submitted", "expired"] = Field(
        description="`retrieved`: a wallet fetched it (a wallet that has it by value never does); `submitted`: a "
        "presentation was accepted."
    )
    purpose: Purpose = Field(description="The permissible purpose, as it was given.")
    holder_policy: HolderPolicy = Field(
        description="Whether every credential must be bound to one and the same holder key."
    )
    query: DcqlQueryBody
    client_id_prefix: ClientIdPrefix = Field(description="How the wallet learns who asks.")
    response_mode: ResponseMode = Field(description="Whether the wallet encrypts its answer.")
    request_uri_method: Literal["get", "post"] = Field(description="How the wallet fetches the request object.")
    trusted_issuers: list[AcceptedIssuerBody] | None = Field(
        description="The only issuers that may answer; null: every one that the tenant trusts."
    )
    nonce: str = Field(description="What the holder's key binding must hold.")
    audience: str = Field(description="Who the holder's key binding must be for: our client identifier.")
    request_uri: str | None = Field(
        description="Where a wallet fetches the signed request object; null where the link holds it all, unsigned.",
        json_schema_extra={"format": "uri"},
    )
    request_link: str = Field(
        description="A link that opens a wallet; also what a QR code shows.", json_schema_extra={"format": "uri"}
    )
    qr_uri: str = Field(
        description="The link as a QR code (SVG), for a wallet on another device.", json_schema_extra={"format": "uri"}
    )
    response_uri: str = Field(description="Where a wallet posts its answer.", json_schema_extra={"format": "uri"})
    created_at: Timestamp
    expires_at: Timestamp = Field(description="Until when it can be answered; RFC 3339, in UTC.")
    redirect_uri: str | None = Field(description="The lender's page that the wallet sends the applicant on to.")
    response_code: str | None = Field(
        description="What the fragment of that page's address holds once a presentation was accepted, there being a "
        "`redirect_uri`: whose browser brings another has not answered this request."
    )
    score_id: str | None = Field(description="The score, once a presentation was accepted.")
    step: WaitingStep = Field(description="What is being waited for, or how it ended, for people.")
    refusals: int = Field(description="How many presentations were refused, as far as they were recorded.")
    last_refusal: str | None = Field(description="The code of the problem that the last refused presentation had.")
    last_refusals: list[RefusalView] = Field(max_length=5, description="Each refusal that was recorded, oldest first.")


@router.post(
    "",
    status_code=201,
    operation_id="createPresentationRequest",
    summary="Ask a holder for a presentation",
    response_model=PresentationRequestView,
    responses={
        201: {
            "description": "The request, to be shown to the applicant.",
            "headers": location("The presentation request."),
        },
        **problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
    },
)
def create_presentation_request(
    body: NewPresentationRequest,
    response: Response,
    caller: Lender,
    service: ServiceOf,
    idempotency_key: IdempotencyKey = None,
) -> PresentationRequestView:
    """Create a request that one presentation can answer, once, until it expires."""
    now_ms = service.clock()
    query = body.query.model_dump(mode="json", exclude_none=True)
    request_id = "req_" + secrets.token_hex(16)
    response_uri = service.requests.response_uri(request_id)
    if body.redirect_uri is not None:
        verify_redirect_uri(body.redirect_uri, service.allow_http_origins)
    request = PresentationRequest(
        id=request_id,
        nonce=secrets.token_urlsafe(24),
        state=secrets.token_urlsafe(24),
        audience=_client_id(service, body.client_id_prefix, response_uri),
        response_uri=response_uri,
        query=parse_dcql_query(query),
        purpose=body.purpose,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + body.expires_in_s * 1000,
        holder_policy=body.holder_policy,
        response_mode=body.response_mode,
        accepted_issuers=None
        if body.trusted_issuers is None
        else frozenset((issuer.did, issuer.vct) for issuer in body.trusted_issuers),
    )
    idempotency = idempotency_of(
        service.mac_key,
        caller.tenant_id,
        "createPresentationRequest",
        idempotency_key,
        rfc8785.dumps(body.model_dump(mode="json")),
    )
    made = service.requests.append_request(
        caller.tenant_id,
        request,
        rfc8785.dumps(query).decode(),
        request_uri_method=body.request_uri_method,
        redirect_uri=body.redirect_uri,
        idempotency=idempotency,
    )
    response.headers["Location"] = f"/v1/presentation-requests/{made}"
    return _view(service, load_request(service, made, caller.tenant_id))


@router.get(
    "/{request_id}",
    operation_id="readPresentationRequest",
    summary="See how far a presentation request has come",
    response_model=PresentationRequestView,
    responses={
        200: {"description": "The request as it stands now."},
        **problem_responses(401, 403, 404, 422, 503),
    },
)
def read_presentation_request(request_id: RequestId, caller: Lender, service: ServiceOf) -> PresentationRequestView:
    """Poll a request of one's own."""
    return _view(service, load_request(service, request_id, caller.tenant_id))


def load_request(service: Service, request_id: str, tenant_id: str | None) -> StoredRequest:
    """The request as it stands now, of a tenant or, for a wallet, of any; raises NotFound."""
    stored = service.requests.load_request(request_id, tenant_id=tenant_id, now_ms=service.clock())
    if stored is None:
        raise NotFound
    return stored


def decryption_keys(service: Service, request: PresentationRequest) -> list[DecryptionKey]:
    """The keys that an answer to this request may be encrypted to, that of its request object first."""
    return [derive_decryption_key(secret, request.id.encode()) for secret in service.response_keys]


def link_of(service: Service, stored: StoredRequest) -> str:
    """What opens a wallet: a link to the signed request, or one that holds the whole request where nobody signs it."""
    request = stored.request
    if _prefix_of(request) == "redirect_uri":
        encrypted = request.response_mode == "direct_post.jwt"
        return unsigned_request_link(request, decryption_keys(service, request)[0].public if encrypted else None)
    request_uri = f"{_address(service, request)}/object"
    return request_link(request.audience, request_uri, by_post=stored.request_uri_method == "post")


def _client_id(service: Service, prefix: ClientIdPrefix, response_uri: str) -> str:
    if prefix == "redirect_uri":
        return f"redirect_uri:{response_uri}"
    return next(each.client_id for each in service.request_signers if each.client_id.startswith(f"{prefix}:"))


def verify_redirect_uri(uri: str, allow_http_origins: frozenset[str]) -> None:
    """Raises RedirectUriNotAllowed for a page that no applicant may be sent to."""
    try:
        parts = urlsplit(uri)
        allowed = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        raise RedirectUriNotAllowed from None
    if f"{parts.scheme}://{parts.netloc}" in allow_http_origins:
        allowed = True
    # A fragment is ours to write; and what a browser would read otherwise than we do is in no address of a page.
    if not allowed or "#" in uri or "\\" in uri or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise RedirectUriNotAllowed


def _prefix_of(request: PresentationRequest) -> ClientIdPrefix:
    return cast(ClientIdPrefix, request.audience.partition(":")[0])


def _address(service: Service, request: PresentationRequest) -> str:
    return f"{service.base_url}/v1/presentation-requests/{request.id}"


_STATUS: dict[type, Literal["requested", "retrieved", "submitted", "expired"]] = {
    Requested: "requested",
    Retrieved: "retrieved",
    Submitted: "submitted",
    Expired: "expired",
}


def _step_of(stored: StoredRequest) -> WaitingStep:
    match stored.state, stored.last_refusal:
        case Submitted(), _:
            return "a presentation was accepted and scored"
        case Expired(), "wallet_declined":
            return "expired after the wallet declined"
        case Expired(), str():
            return "expired after a presentation was refused"
        case Expired(), None if stored.retrieved_at_ms is None and _prefix_of(stored.request) != "redirect_uri":
            return "expired before a wallet fetched the request"
        case Expired(), None:
            return "expired before the wallet answered"
        case _, "wallet_declined":
            return "the wallet declined, and may still answer"
        case _, str():
            return "the last presentation was refused, and another may still come"
        case Requested(), None if _prefix_of(stored.request) != "redirect_uri":
            return "waiting for the wallet to fetch the request"
        case _:
            return "waiting for the wallet's answer"


def _view(service: Service, stored: StoredRequest) -> PresentationRequestView:
    request, address = stored.request, _address(service, stored.request)
    accepted = request.accepted_issuers
    refusals = service.requests.load_refusals(request.id, tenant_id=stored.tenant_id) if stored.refusals else ()
    return PresentationRequestView(
        id=request.id,
        status=_STATUS[type(stored.state)],
        purpose=request.purpose,
        holder_policy=request.holder_policy,
        query=DcqlQueryBody.model_validate(request.query.to_json()),
        client_id_prefix=_prefix_of(request),
        response_mode=request.response_mode,
        request_uri_method=stored.request_uri_method,
        trusted_issuers=None
        if accepted is None
        else [AcceptedIssuerBody.model_validate({"did": did, "vct": vct}) for did, vct in sorted(accepted)],
        nonce=request.nonce,
        audience=request.audience,
        request_uri=None if _prefix_of(request) == "redirect_uri" else f"{address}/object",
        request_link=link_of(service, stored),
        qr_uri=f"{address}/qr",
        response_uri=request.response_uri,
        created_at=format_time(request.created_at_ms),
        expires_at=format_time(request.expires_at_ms),
        redirect_uri=stored.redirect_uri,
        response_code=response_code_of(service.mac_key, stored),
        score_id=stored.score_id,
        step=_step_of(stored),
        refusals=stored.refusals,
        last_refusal=stored.last_refusal,
        last_refusals=[_refusal_view(refusal) for refusal in refusals],
    )


def _refusal_view(refusal: Refusal) -> RefusalView:
    members = {"code": refusal.code, "detail": refusal.detail, "step": refusal.step, "query_id": refusal.query_id}
    return RefusalView.model_validate({**members, "at": format_time(refusal.at_ms)})
