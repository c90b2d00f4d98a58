"""What a wallet does with a presentation request: scan it, fetch its object, and post its answer."""

import re
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from api.assess import assess, record_refusal, refusal_of
from api.http.auth import MAX_FORM_FIELDS, ServiceOf, read_form
from api.http.errors import problem_responses
from api.http.idempotency import idempotency_of
from api.http.linked_data import linked_data_place
from api.http.qr import qr_response
from api.http.requests import RequestId, decryption_keys, link_of, load_request
from api.http.service import Service
from api.http.strict import StrictRoute
from api.problems import NotFound
from api.store.consents import ConsentWithdrawn
from api.store.requests import Refusal, StoredRequest, response_code_of
from identity.errors import (
    ClientIdMismatch,
    IdentityError,
    NonceUsed,
    RequestExpired,
    ResponseInvalid,
)
from identity.openid4vp import (
    AuthorizationErrorResponse,
    build_request_object,
    open_authorization_response,
    parse_authorization_response,
)
from identity.presentation import Expired, Submitted, retrieve
from scoring.errors import ScoringError

router = APIRouter(prefix="/v1/presentation-requests", tags=["presentation requests"], route_class=StrictRoute)

_OBJECT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The signed request object (OpenID4VP 1.0, section 5; RFC 9101).",
        "content": {"application/oauth-authz-req+jwt": {"schema": {"type": "string"}}},
    },
}
# A wallet's nonce is unreserved ASCII, and stands in a JWT that others may have to read.
_WALLET_NONCE = re.compile(r"[A-Za-z0-9._~-]{1,256}")
_DECLINED = Refusal(code="wallet_declined", detail="The holder's wallet declined to answer.", at_ms=0)


@router.get(
    "/{request_id}/qr",
    operation_id="readRequestQr",
    summary="Show the request as a QR code",
    response_class=Response,
    responses={
        200: {
            "description": "The request link as a QR code, for a page that a wallet on another device scans.",
            "content": {"image/svg+xml": {"schema": {"type": "string"}}},
        },
        **problem_responses(404, 409, 422, 503),
    },
)
def read_request_qr(request_id: RequestId, service: ServiceOf) -> Response:
    """Draw the link that opens a wallet; whoever knows the id of a request may read the request anyway."""
    stored = load_request(service, request_id, None)
    _verify_open(stored)
    return qr_response(link_of(service, stored), "Presentation request")


@router.get(
    "/{request_id}/object",
    operation_id="readRequestObject",
    summary="Fetch the signed request object, as a wallet",
    response_class=Response,
    responses={**_OBJECT, **problem_responses(404, 409, 422, 503)},
)
def read_request_object(request_id: RequestId, service: ServiceOf) -> Response:
    """Fetch what a lender asks, signed by the key that the client identifier names."""
    return _request_object(service, request_id, wallet_nonce=None)


@router.post(
    "/{request_id}/object",
    operation_id="fetchRequestObject",
    summary="Fetch the signed request object with a nonce of the wallet's",
    response_class=Response,
    responses={**_OBJECT, **problem_responses(400, 404, 409, 413, 422, 503)},
    openapi_extra={
        "requestBody": {
            # Both parameters are optional, so a wallet may well send none.
            "required": False,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "maxProperties": MAX_FORM_FIELDS,
                        "additionalProperties": {"type": "string", "description": "Passed over."},
                        "properties": {
                            "wallet_nonce": {
                                "type": "string",
                                "pattern": f"^{_WALLET_NONCE.pattern}$",
                                "description": "Comes back in the object, which is fresh then.",
                            },
                            "wallet_metadata": {
                                "type": "string",
                                "description": "What the wallet can, as JSON: not needed, and not read.",
                            },
                        },
                    },
                    "example": {"wallet_nonce": "qPmxiNFCR3QTm19POc8u"},
                }
            },
        }
    },
)
async def fetch_request_object(request: Request, request_id: RequestId, service: ServiceOf) -> Response:
    """The same by POST (OpenID4VP 1.0, section 5.10); every wallet gets the same, so its metadata is not read."""
    try:
        form = await read_form(request) if await request.body() else {}
    except (ValueError, ClientDisconnect):
        raise ResponseInvalid from None
    nonce = form.get("wallet_nonce")
    if nonce is not None and not _WALLET_NONCE.fullmatch(nonce):
        raise ResponseInvalid
    return await run_in_threadpool(_request_object, service, request_id, wallet_nonce=nonce)


def _request_object(service: Service, request_id: str, *, wallet_nonce: str | None) -> Response:
    now_ms = service.clock()
    stored = load_request(service, request_id, None)
    request = stored.request
    if request.audience.startswith("redirect_uri:"):
        raise NotFound  # the link holds it all, and nobody may sign for it
    signer = next((each for each in service.request_signers if each.client_id == request.audience), None)
    if signer is None:
        raise ClientIdMismatch  # its key is gone
    service.requests.record_retrieval(request_id, now_ms)
    encrypted = request.response_mode == "direct_post.jwt"
    request_object = build_request_object(
        request,
        signer,
        now_ms,
        client_name=service.tenants.load_lender(stored.tenant_id).controller.name,
        encryption_key=decryption_keys(service, request)[0].public if encrypted else None,
        wallet_nonce=wallet_nonce,
    )
    return Response(request_object, media_type="application/oauth-authz-req+jwt", headers={"Cache-Control": "no-store"})


class Acknowledgement(BaseModel):
    """What a wallet learns: that its answer was taken, and nothing of what came of it."""

    redirect_uri: str | None = Field(
        default=None,
        description="Where to send the applicant on to, if anywhere.",
        json_schema_extra={"format": "uri"},
    )


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
                        "properties": {
                            "state": {
                                "type": "string",
                                "description": "The `state` of the request object; within `response` if there is one.",
                            },
                            "vp_token": {"type": "string", "description": "Presentations by query id, as JSON."},
                            "response": {
                                "type": "string",
                                "description": "In place of all others where the response mode is `direct_post.jwt`: a "
                                "JWE of `vp_token` (or `error`) and `state`, to the key of the request.",
                            },
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
    """Take a wallet's answer by direct_post (OpenID4VP 1.0, section 8.2), encrypted where that was asked (8.3)."""
    try:
        form = await read_form(request)
    except ValueError:
        raise ResponseInvalid from None
    posted_to = service.base_url + request.url.path
    redirect_uri = await run_in_threadpool(_take_answer, service, request_id, form, posted_to=posted_to)
    return Acknowledgement(redirect_uri=redirect_uri)


def _take_answer(service: Service, request_id: str, form: dict[str, str], *, posted_to: str) -> str | None:
    """Take an answer and say where the wallet sends the applicant on to, if anywhere."""
    now_ms = service.clock()
    stored = load_request(service, request_id, None)
    request = stored.request
    keys = decryption_keys(service, request) if request.response_mode == "direct_post.jwt" else []
    opened = open_authorization_response(form, response_mode=request.response_mode, keys=keys)
    request.verify_session(state=opened.state, response_uri=posted_to)
    try:
        answer = parse_authorization_response(opened)
    except IdentityError as refused:
        # Whoever sent it knows the state, so it is of this session, and the lender hears what its wallet did wrong.
        refused.step = "response"
        record_refusal(service.rooms, stored, refusal_of(refused, now_ms), now_ms)
        service.metrics.presentations.labels(refused.code).inc()
        raise
    if isinstance(answer, AuthorizationErrorResponse):
        retrieve(stored.state, now_ms)  # raises where there is nothing left to decline
        record_refusal(service.rooms, stored, replace(_DECLINED, at_ms=now_ms), now_ms)
        service.metrics.presentations.labels("wallet_declined").inc()
        # No code: whoever declines has nothing to tie a browser to.
        return stored.redirect_uri
    with linked_data_place(service, stored.tenant_id, answer.vp_token):
        judge(service, stored, answer.vp_token, body=None, now_ms=now_ms)
    if stored.redirect_uri is None:
        return None
    code = response_code_of(service.mac_key, load_request(service, request_id, None))
    return f"{stored.redirect_uri}#response_code={code}"


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


def _verify_open(stored: StoredRequest) -> None:
    """Raises NonceUsed or RequestExpired where nobody can answer any more."""
    if isinstance(stored.state, Submitted):
        raise NonceUsed
    if isinstance(stored.state, Expired):
        raise RequestExpired
