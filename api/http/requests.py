"""Presentation requests: a lender asks, a wallet fetches the question and posts its answer, the lender polls."""

import secrets
from typing import Annotated, Any, Literal

import rfc8785
from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from api.assess import assess, record_refusal
from api.clock import format_time
from api.http.auth import Lender, ServiceOf, read_form
from api.http.errors import problem_responses
from api.http.idempotency import IdempotencyKey, idempotency_of
from api.http.service import Service
from api.http.strict import StrictRoute
from api.http.wire import WHOLE, CredentialTypeName, Timestamp, W3cTypeName, location
from api.problems import NotFound
from api.store.consents import ConsentWithdrawn
from api.store.requests import StoredRequest
from identity.credential import CredentialFormat
from identity.dcql import parse_dcql_query
from identity.errors import IdentityError, ResponseInvalid
from identity.openid4vp import (
    AuthorizationErrorResponse,
    build_request_object,
    parse_authorization_response,
    request_link,
)
from identity.presentation import Expired, PresentationRequest, Requested, Retrieved, Submitted, retrieve
from scoring.errors import ScoringError

router = APIRouter(prefix="/v1/presentation-requests", tags=["presentation requests"], route_class=StrictRoute)

RequestId = Annotated[str, Path(pattern=r"^req_[0-9a-f]{32}$", description="The id of a presentation request.")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Purpose = Literal["credit_application", "credit_limit_change", "credit_review", "prequalification"]


class Strict(BaseModel):
    """A body in which nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ClaimsQueryBody(Strict):
    """A claim that is asked for (OpenID4VP 1.0, section 6.3)."""

    id: Identifier | None = Field(default=None, description="A name for `claim_sets`, where there are any.")
    path: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        min_length=1,
        max_length=2,
        description="The name of the claim; in a W3C format after `credentialSubject`, as in the credential itself.",
    )


class MetaBody(Strict):
    """Which credential types answer: `vct_values` for `dc+sd-jwt`, `type_values` for the W3C formats."""

    vct_values: list[CredentialTypeName] | None = Field(
        default=None, min_length=1, max_length=9, description="Credential types, any of which answers."
    )
    type_values: list[Annotated[list[W3cTypeName], Field(min_length=1, max_length=4)]] | None = Field(
        default=None, min_length=1, max_length=9, description="Sets of W3C types; a credential of all of a set answers."
    )


class CredentialQueryBody(Strict):
    """A credential that is asked for (OpenID4VP 1.0, section 6.1)."""

    id: Identifier = Field(description="The name under which it is answered; no two may be the same.")
    format: CredentialFormat = Field(description="The format of the credential: SD-JWT VC, VC-JWT, or Data Integrity.")
    meta: MetaBody
    multiple: bool = Field(default=False, description="Whether several credentials may answer.")
    claims: list[ClaimsQueryBody] = Field(
        min_length=1, max_length=64, description="What the holder is asked to disclose, and no more than that."
    )
    claim_sets: list[list[Identifier]] | None = Field(
        default=None, min_length=1, max_length=16, description="Sets of claims, any of which answers, preferred first."
    )


class CredentialSetBody(Strict):
    """Which of the credentials are needed together (OpenID4VP 1.0, section 6.2)."""

    options: list[Annotated[list[Identifier], Field(min_length=1, max_length=16)]] = Field(
        min_length=1, max_length=16, description="Sets of credentials, any of which answers, preferred first."
    )
    required: bool = Field(default=True, description="Whether the holder must answer it.")


class DcqlQueryBody(Strict):
    """A credential query in DCQL (OpenID4VP 1.0, section 6)."""

    credentials: list[CredentialQueryBody] = Field(
        min_length=1, max_length=16, description="All of them are needed, unless `credential_sets` says otherwise."
    )
    credential_sets: list[CredentialSetBody] | None = Field(
        default=None, min_length=1, max_length=16, description="Which are needed together; must name every one."
    )


class NewPresentationRequest(Strict):
    """What a lender asks a holder for, and why."""

    purpose: Purpose = Field(description="The permissible purpose, shown to the applicant and written into the score.")
    query: DcqlQueryBody
    holder_policy: Literal["same_key", "any"] = Field(
        default="same_key", description="Whether every credential must be bound to one and the same holder key."
    )
    expires_in_s: Annotated[
        int, Field(ge=60, le=86_400, description="Seconds until nobody can answer any more."), WHOLE
    ] = 600


class PresentationRequestView(BaseModel):
    """A presentation request and how far it has come."""

    model_config = ConfigDict(title="PresentationRequest")

    id: str = Field(description="`GET /v1/presentation-requests/{id}` reads it again.")
    status: Literal["requested", "retrieved", "submitted", "expired"] = Field(
        description="`retrieved`: a wallet fetched it; `submitted`: a presentation was accepted."
    )
    purpose: Purpose = Field(description="The permissible purpose, as it was given.")
    holder_policy: Literal["same_key", "any"] = Field(
        description="Whether every credential must be bound to one and the same holder key."
    )
    query: DcqlQueryBody
    nonce: str = Field(description="What the holder's key binding must hold.")
    audience: str = Field(description="Who the holder's key binding must be for: our client identifier.")
    request_uri: str = Field(
        description="Where a wallet fetches the signed request object.", json_schema_extra={"format": "uri"}
    )
    request_link: str = Field(
        description="A link that opens a wallet; also what a QR code shows.", json_schema_extra={"format": "uri"}
    )
    response_uri: str = Field(description="Where a wallet posts its answer.", json_schema_extra={"format": "uri"})
    created_at: Timestamp
    expires_at: Timestamp = Field(description="Until when it can be answered; RFC 3339, in UTC.")
    score_id: str | None = Field(description="The score, once a presentation was accepted.")
    refusals: int = Field(description="How many presentations were refused, as far as they were recorded.")
    last_refusal: str | None = Field(description="The code of the problem that the last refused presentation had.")


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
    query = body.query.model_dump(exclude_none=True)
    request_id = "req_" + secrets.token_hex(16)
    request = PresentationRequest(
        id=request_id,
        nonce=secrets.token_urlsafe(24),
        state=secrets.token_urlsafe(24),
        audience=service.audience,
        response_uri=service.requests.response_uri(request_id),
        query=parse_dcql_query(query),
        purpose=body.purpose,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + body.expires_in_s * 1000,
        holder_policy=body.holder_policy,
    )
    idempotency = idempotency_of(
        service.mac_key,
        caller.tenant_id,
        "createPresentationRequest",
        idempotency_key,
        rfc8785.dumps(body.model_dump(mode="json")),
    )
    made = service.requests.append_request(
        caller.tenant_id, request, rfc8785.dumps(query).decode(), idempotency=idempotency
    )
    response.headers["Location"] = f"/v1/presentation-requests/{made}"
    return _view(service, _load(service, made, caller.tenant_id))


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
    return _view(service, _load(service, request_id, caller.tenant_id))


@router.get(
    "/{request_id}/object",
    operation_id="readRequestObject",
    summary="Fetch the signed request object, as a wallet",
    response_class=Response,
    responses={
        200: {
            "description": "The signed request object (OpenID4VP 1.0, section 5; RFC 9101).",
            "content": {"application/oauth-authz-req+jwt": {"schema": {"type": "string"}}},
        },
        **problem_responses(404, 409, 422, 503),
    },
)
def read_request_object(request_id: RequestId, service: ServiceOf) -> Response:
    """Fetch what a lender asks, signed by the key that the client identifier names."""
    now_ms = service.clock()
    stored = service.requests.record_retrieval(request_id, now_ms)
    if stored is None:
        raise NotFound
    request_object = build_request_object(stored.request, service.request_key, now_ms)
    return Response(request_object, media_type="application/oauth-authz-req+jwt", headers={"Cache-Control": "no-store"})


class Acknowledgement(BaseModel):
    """What a wallet learns: that its answer was taken, and nothing of what came of it."""

    redirect_uri: str | None = Field(default=None, description="Where to send the applicant on to, if anywhere.")


@router.post(
    "/{request_id}/response",
    operation_id="submitPresentation",
    summary="Answer a presentation request, as a wallet",
    response_model=Acknowledgement,
    response_model_exclude_none=True,
    responses={
        200: {"description": "The answer was taken."},
        **problem_responses(400, 403, 404, 409, 410, 413, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": ["state"],
                        "properties": {
                            "state": {"type": "string", "description": "The `state` of the request object."},
                            "vp_token": {"type": "string", "description": "Presentations by query id, as JSON."},
                            "error": {"type": "string", "description": "In place of `vp_token`: the wallet declines."},
                            "error_description": {"type": "string", "description": "Why, for people."},
                        },
                    },
                    "example": {
                        "state": "6sLYgWPvzAJmYX0f5GmQ3vlQQIBTV1Oc",
                        "vp_token": '{"history": ["eyJ…~WyJ…~eyJ…"]}',
                    },
                }
            },
        }
    },
)
async def submit_presentation(request: Request, request_id: RequestId, service: ServiceOf) -> Acknowledgement:
    """Take a wallet's answer by direct_post (OpenID4VP 1.0, section 8.2)."""
    try:
        form = await read_form(request)
    except ValueError:
        raise ResponseInvalid from None
    await run_in_threadpool(_take_answer, service, request_id, form, posted_to=service.base_url + request.url.path)
    return Acknowledgement()


def _take_answer(service: Service, request_id: str, form: dict[str, str], *, posted_to: str) -> None:
    now_ms = service.clock()
    stored = _load(service, request_id, None)
    answer = parse_authorization_response(form)
    stored.request.verify_session(state=answer.state, response_uri=posted_to)
    if isinstance(answer, AuthorizationErrorResponse):
        retrieve(stored.state, now_ms)  # raises where there is nothing left to decline
        record_refusal(service.rooms, stored, "wallet_declined", now_ms)
        service.metrics.presentations.labels("wallet_declined").inc()
        return
    judge(service, stored, answer.vp_token, body=None, now_ms=now_ms)


def judge(
    service: Service,
    stored: StoredRequest,
    vp_token: Any,
    *,
    body: tuple[str, bytes] | None,
    now_ms: int,
) -> str:
    """Assess a presentation and count what came of it; `body` is an Idempotency-Key and what it came with."""
    idempotency = None
    if body is not None:
        idempotency = idempotency_of(service.mac_key, stored.tenant_id, "createScore", *body)
    try:
        score_id = assess(service.rooms, stored, vp_token, idempotency=idempotency, now_ms=now_ms)
    except (IdentityError, ScoringError, ConsentWithdrawn) as refused:
        service.metrics.presentations.labels(refused.code).inc()
        raise
    service.metrics.presentations.labels("accepted").inc()
    return score_id


def _load(service: Service, request_id: str, tenant_id: str | None) -> StoredRequest:
    stored = service.requests.load_request(request_id, tenant_id=tenant_id, now_ms=service.clock())
    if stored is None:
        raise NotFound
    return stored


_STATUS: dict[type, Literal["requested", "retrieved", "submitted", "expired"]] = {
    Requested: "requested",
    Retrieved: "retrieved",
    Submitted: "submitted",
    Expired: "expired",
}


def _view(service: Service, stored: StoredRequest) -> PresentationRequestView:
    request = stored.request
    request_uri = f"{service.base_url}/v1/presentation-requests/{request.id}/object"
    return PresentationRequestView(
        id=request.id,
        status=_STATUS[type(stored.state)],
        purpose=request.purpose,
        holder_policy=request.holder_policy,
        query=DcqlQueryBody.model_validate(request.query.to_json()),
        nonce=request.nonce,
        audience=request.audience,
        request_uri=request_uri,
        request_link=request_link(request.audience, request_uri),
        response_uri=request.response_uri,
        created_at=format_time(request.created_at_ms),
        expires_at=format_time(request.expires_at_ms),
        score_id=stored.score_id,
        refusals=stored.refusals,
        last_refusal=stored.last_refusal,
    )
