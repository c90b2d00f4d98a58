"""OpenID4VCI 1.0 as a wallet meets it: metadata, token, nonce and credential endpoints of each tenant's issuer.

Errors have the protocol's own form (RFC 6749, section 5.2, and OpenID4VCI, section 8.3.1), with our stable `code`
beside it; only what is not the protocol's is a problem document.
"""

import base64
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from api.http.auth import ServiceOf, read_form
from api.http.errors import problem_responses
from api.http.service import Service
from api.http.wire import CACHED, Base64, Int64
from api.issuance import (
    IssuedCopy,
    credential_configurations,
    credential_issuer_of,
    issue,
    nonce_purpose,
)
from api.problems import NotFound
from api.store.database import StoreError
from api.store.nonces import NonceInvalid, NonceSpent
from api.store.offer_errors import (
    AccessTokenInvalid,
    AlreadyIssued,
    HolderKeyUsedBefore,
    PreAuthorizedCodeInvalid,
    ScoreOver,
    TxCodeMissing,
    TxCodeNotExpected,
    TxCodeWrong,
)
from api.store.offers import TOKEN_VALID_MS, StoredOffer
from api.store.revocation import ScoreNotValid
from api.store.subjects import SubjectKeyDestroyed
from identity import errors as identity
from identity.encoding import JsonObject, parse_json
from identity.errors import IdentityError
from identity.openid4vci import (
    PRE_AUTHORIZED_CODE,
    build_authorization_server_metadata,
    build_issuer_metadata,
    parse_authorization_details,
    parse_credential_request,
)

router = APIRouter(tags=["issuance"])

TenantId = Annotated[
    str,
    Path(pattern=r"^ten_[0-9a-f]{16}$", description="How the credential issuer's identifier ends."),
]
_NO_STORE = {"Cache-Control": "no-store"}
_METADATA_MAX_AGE_S = 300

#: What each refusal of a credential request is in the protocol; every other one is of a proof.
_CREDENTIAL_ERRORS: dict[str, tuple[type[Exception], ...]] = {
    "invalid_credential_request": (
        identity.CredentialRequestInvalid,
        identity.BadJson,
        identity.JsonDuplicateKey,
        identity.JsonNumber,
        identity.JsonDepth,
    ),
    "unknown_credential_configuration": (identity.UnknownCredentialConfiguration,),
    "unknown_credential_identifier": (identity.UnknownCredentialIdentifier,),
    "invalid_encryption_parameters": (identity.ResponseEncryptionNotOffered,),
    "invalid_nonce": (NonceInvalid, NonceSpent),
    "credential_request_denied": (AlreadyIssued, ScoreNotValid, ScoreOver, SubjectKeyDestroyed),
    "invalid_proof": (IdentityError, HolderKeyUsedBefore),
}
_TOKEN_ERRORS: dict[str, tuple[type[Exception], ...]] = {
    "invalid_grant": (PreAuthorizedCodeInvalid, TxCodeWrong),
    "invalid_request": (TxCodeMissing, TxCodeNotExpected, IdentityError),
}


class CredentialToken(BaseModel):
    """An access token for one offer (RFC 6749, section 5.1; OpenID4VCI, section 6.2)."""

    access_token: str = Field(description="Opaque: send it to the credential endpoint as `Authorization: Bearer …`.")
    token_type: Literal["Bearer"] = Field(description="How it is sent (RFC 6750).")
    expires_in: int = Field(description="Seconds that it is valid.")
    authorization_details: list[dict[str, Any]] | None = Field(
        default=None, description="Where the request had some: the credential identifiers to ask by."
    )


class CredentialTokenError(BaseModel):
    """Why a pre-authorized code was not exchanged (RFC 6749, section 5.2; OpenID4VCI, section 6.3)."""

    error: Literal["invalid_request", "invalid_grant", "unsupported_grant_type"] = Field(
        description="The protocol's name of what is wrong."
    )
    error_description: str = Field(description="What is wrong; never repeats what was sent.")
    code: str = Field(description="Our stable name of what is wrong, which says more.")


class Nonce(BaseModel):
    """A nonce for the key proofs of one credential request (OpenID4VCI, section 7.2)."""

    c_nonce: str = Field(description="To be signed; usable once, within five minutes.")


class CredentialError(BaseModel):
    """Why no credential was issued (OpenID4VCI, section 8.3.1.2)."""

    error: Literal[
        "invalid_credential_request",
        "unknown_credential_configuration",
        "unknown_credential_identifier",
        "invalid_proof",
        "invalid_nonce",
        "invalid_encryption_parameters",
        "credential_request_denied",
        "invalid_token",
    ] = Field(description="The protocol's name of what is wrong.")
    error_description: str = Field(description="What is wrong; never repeats what was sent.")
    code: str = Field(description="Our stable name of what is wrong, which says more.")


class LoggedView(BaseModel):
    """What opens the credential's entry in the public log, whose inclusion `GET /v1/log/proof/{index}` proves."""

    model_config = ConfigDict(title="LoggedCredential")

    index: Int64 = Field(description="Where the entry stands in the log, from 0.")
    entry: str = Field(description="The entry, as the canonical text that the log commits to.")
    salt: Base64 = Field(description="What the commitment is salted with, in base64.")


class IssuedCredentialView(BaseModel):
    """One issued credential."""

    model_config = ConfigDict(title="IssuedCredential")

    credential: str = Field(description="An SD-JWT VC, bound to one of the proven keys.")
    log: LoggedView


class CredentialResponse(BaseModel):
    """The credentials of an offer, one for each key proof and in their order (OpenID4VCI, section 8.3)."""

    credentials: list[IssuedCredentialView] = Field(description="Copies that have only disclosable claims in common.")


class MetadataDocument(BaseModel):
    """Metadata as the protocol has it; members are as the specification names them."""

    model_config = ConfigDict(extra="allow", title="Metadata")


@router.get(
    "/.well-known/openid-credential-issuer/v1/issuers/{tenant_id}",
    operation_id="readIssuerMetadata",
    summary="Read what an issuer issues, as a wallet",
    response_model=MetadataDocument,
    responses={
        200: {"description": "Credential issuer metadata (OpenID4VCI 1.0, section 12.2).", "headers": CACHED},
        **problem_responses(404, 422, 503),
    },
)
def read_issuer_metadata(tenant_id: TenantId, service: ServiceOf) -> Response:
    """Find the endpoints of a tenant's issuer, and everything that it can issue."""
    issuer = _issuer(service, tenant_id)
    return _metadata(build_issuer_metadata(issuer, credential_configurations(service.issuance)))


@router.get(
    "/.well-known/oauth-authorization-server/v1/issuers/{tenant_id}",
    operation_id="readAuthorizationServerMetadata",
    summary="Read where an issuer gives out tokens, as a wallet",
    response_model=MetadataDocument,
    responses={
        200: {"description": "Authorization server metadata (RFC 8414).", "headers": CACHED},
        **problem_responses(404, 422, 503),
    },
)
def read_authorization_server_metadata(tenant_id: TenantId, service: ServiceOf) -> Response:
    """Find the token endpoint of a tenant's issuer, which takes pre-authorized codes of anonymous wallets."""
    return _metadata(build_authorization_server_metadata(_issuer(service, tenant_id)))


@router.post(
    "/v1/issuers/{tenant_id}/token",
    operation_id="redeemOffer",
    summary="Exchange a pre-authorized code, as a wallet",
    response_model=CredentialToken,
    response_model_exclude_none=True,
    responses={
        200: {"description": "A token."},
        400: {"model": CredentialTokenError, "description": "The request is malformed, or the code is not valid."},
        **problem_responses(404, 413, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": ["grant_type", "pre-authorized_code"],
                        "properties": {
                            "grant_type": {"type": "string", "enum": [PRE_AUTHORIZED_CODE]},
                            "pre-authorized_code": {"type": "string", "description": "As the offer has it."},
                            "tx_code": {
                                "type": "string",
                                "description": "The second code, where the offer has one.",
                            },
                            "authorization_details": {
                                "type": "string",
                                "description": "JSON (RFC 9396): to be given credential identifiers.",
                            },
                        },
                    },
                    "example": {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": "5f0e…", "tx_code": "493536"},
                }
            },
        }
    },
)
async def redeem_offer(request: Request, tenant_id: TenantId, service: ServiceOf) -> Response:
    """Exchange a code for an access token, once (OpenID4VCI 1.0, section 6); a code that comes again revokes it."""
    try:
        form = {name: value for name, value in (await read_form(request)).items() if value}
        grant_type, code = form["grant_type"], form.get("pre-authorized_code")
    except (ValueError, KeyError):
        return _error(CredentialTokenError, "invalid_request", "Not a well-formed token request.", "invalid_request")
    if grant_type != PRE_AUTHORIZED_CODE:
        text = "The grant type is that of pre-authorized codes."
        return _error(CredentialTokenError, "unsupported_grant_type", text, "unsupported_grant_type")
    if code is None:
        return _error(CredentialTokenError, "invalid_request", "There is no pre-authorized code.", "invalid_request")
    return await run_in_threadpool(_redeem, service, tenant_id, code, form)


def _redeem(service: Service, tenant_id: str, code: str, form: dict[str, str]) -> Response:
    issuer = _issuer(service, tenant_id)
    details: tuple[JsonObject, ...] = ()

    def names(offer: StoredOffer) -> bool:
        nonlocal details
        if "authorization_details" in form:
            details = parse_authorization_details(
                parse_json(form["authorization_details"]),
                credential_issuer=issuer,
                configuration_id=offer.configuration_id,
            )
        return bool(details)

    try:
        token, _ = service.issuance.offers.redeem(
            tenant_id=tenant_id, code=code, tx_code=form.get("tx_code"), names=names, now_ms=service.clock()
        )
    except (StoreError, IdentityError) as refused:
        return _refusal(CredentialTokenError, _TOKEN_ERRORS, refused)
    answer = CredentialToken(
        access_token=token,
        token_type="Bearer",  # noqa: S106
        expires_in=TOKEN_VALID_MS // 1000,
        authorization_details=list(details) or None,
    )
    return JSONResponse(answer.model_dump(exclude_none=True), headers=_NO_STORE)


@router.post(
    "/v1/issuers/{tenant_id}/nonce",
    operation_id="createNonce",
    summary="Get a nonce for key proofs, as a wallet",
    response_model=Nonce,
    responses={200: {"description": "A fresh nonce."}, **problem_responses(404, 422, 503)},
)
def create_nonce(tenant_id: TenantId, service: ServiceOf) -> Response:
    """Give out a nonce (OpenID4VCI 1.0, section 7); anyone may ask, and nothing is stored until it is used."""
    _issuer(service, tenant_id)
    nonce = service.issuance.nonces.issue(purpose=nonce_purpose(tenant_id), now_ms=service.clock())
    return JSONResponse(Nonce(c_nonce=nonce).model_dump(), headers=_NO_STORE)


@router.post(
    "/v1/issuers/{tenant_id}/credential",
    operation_id="issueCredential",
    summary="Get the credentials of an offer, as a wallet",
    response_model=CredentialResponse,
    responses={
        200: {"description": "The credentials, each in the log already."},
        400: {"model": CredentialError, "description": "The request, or a proof in it, is refused."},
        401: {
            "model": CredentialError,
            "description": "The access token is missing, or not valid any more.",
            "headers": {
                "WWW-Authenticate": {
                    "description": "The scheme to authenticate with (RFC 6750).",
                    "required": True,
                    "schema": {"type": "string"},
                }
            },
        },
        **problem_responses(404, 413, 422, 503),
    },
    openapi_extra={
        "security": [{"offerToken": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["proofs"],
                        "properties": {
                            "credential_configuration_id": {"type": "string", "description": "As the offer names it."},
                            "credential_identifier": {
                                "type": "string",
                                "description": "In its place, where the token response gave some.",
                            },
                            "proofs": {
                                "type": "object",
                                "required": ["jwt"],
                                "properties": {
                                    "jwt": {
                                        "type": "array",
                                        "minItems": 1,
                                        "maxItems": 16,
                                        "items": {"type": "string"},
                                        "description": "A key proof for each credential, all over one nonce.",
                                    }
                                },
                            },
                        },
                    },
                    "example": {"credential_configuration_id": "mobile-money", "proofs": {"jwt": ["eyJ…"]}},
                }
            },
        },
    },
)
async def issue_credential(request: Request, tenant_id: TenantId, service: ServiceOf) -> Response:
    """Issue a credential for each proven key, durably, once for each offer (OpenID4VCI 1.0, section 8)."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        return _unauthorized(AccessTokenInvalid())
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        body = await request.body()
    except ClientDisconnect:
        body = b""  # nobody is there to read what is wrong with it
    if media_type != "application/json":
        body = b""
    return await run_in_threadpool(_issue, service, tenant_id, token, body)


def _issue(service: Service, tenant_id: str, token: str, body: bytes) -> Response:
    _issuer(service, tenant_id)
    now_ms = service.clock()
    try:
        offer = service.issuance.offers.load_offer_of_token(tenant_id, token, now_ms)
        issued = issue(service.issuance, offer, parse_credential_request(body), now_ms)
    except AccessTokenInvalid as refused:
        return _unauthorized(refused)
    except (StoreError, IdentityError) as refused:
        return _refusal(CredentialError, _CREDENTIAL_ERRORS, refused)
    answer = CredentialResponse(credentials=[_view(each) for each in issued])
    return JSONResponse(answer.model_dump(), headers=_NO_STORE)


def _view(copy: IssuedCopy) -> IssuedCredentialView:
    log = LoggedView(index=copy.log_index, entry=copy.entry.decode(), salt=base64.b64encode(copy.salt).decode())
    return IssuedCredentialView(credential=copy.credential, log=log)


def _issuer(service: Service, tenant_id: str) -> str:
    if not service.tenants.has_tenant(tenant_id):
        raise NotFound
    return credential_issuer_of(service.issuance, tenant_id)


def _metadata(metadata: JsonObject) -> Response:
    return Response(
        json.dumps(metadata, separators=(",", ":")),
        media_type="application/json",
        headers={"Cache-Control": f"public, max-age={_METADATA_MAX_AGE_S}"},
    )


def _refusal(
    model: type[CredentialError] | type[CredentialTokenError],
    names: dict[str, tuple[type[Exception], ...]],
    refused: StoreError | IdentityError,
) -> Response:
    """The protocol's answer to a refusal; what it has no name for, such as a database that is away, is raised on."""
    for error, leaves in names.items():
        if isinstance(refused, leaves):
            return _error(model, error, str(refused), refused.code)
    raise refused


def _error(model: type[CredentialError] | type[CredentialTokenError], error: str, text: str, code: str) -> Response:
    answer = model.model_validate({"error": error, "error_description": text, "code": code})
    return JSONResponse(answer.model_dump(), status_code=400, headers=_NO_STORE)


def _unauthorized(refused: AccessTokenInvalid) -> Response:
    answer = CredentialError(error="invalid_token", error_description=str(refused), code=refused.code)
    headers = _NO_STORE | {"WWW-Authenticate": 'Bearer realm="credence", error="invalid_token"'}
    return JSONResponse(answer.model_dump(), status_code=401, headers=headers)
