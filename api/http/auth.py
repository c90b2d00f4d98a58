"""OAuth2 client credentials (RFC 6749, section 4.4): a token endpoint, and what a token lets a caller do."""

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote_plus

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2, SecurityScopes
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from api.http.errors import problem_responses
from api.http.service import Service, service_of
from api.problems import ScopeMissing, TokenMissing
from api.store.tenants import ClientNotAuthenticated
from identity.encoding import decode_base64url
from identity.errors import IdentityError

TOKEN_VALID_S = 900
MAX_FORM_FIELDS = 16
_TOKEN_TYP = "at+jwt"  # noqa: S105 (RFC 9068, section 2.1)
SCOPES = {
    "lender": "Ask for presentations, submit them, read own scores",
    "compliance": "Read the tenant's audit entries",
    "operator": "Manage the tenant's trusted issuers, suspend and revoke what was issued",
    "issuer": "Offer credentials under the tenant's own issuer key",
    "metrics": "Read the metrics of the whole service: for whoever runs it, not for a tenant",
}

router = APIRouter(tags=["authorization"])
_SCHEME = OAuth2(
    scheme_name="clientCredentials",
    flows=OAuthFlows(clientCredentials=OAuthFlowClientCredentials(tokenUrl="/v1/oauth/token", scopes=SCOPES)),
    auto_error=False,
)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, and for which tenant."""

    client_id: str
    tenant_id: str
    scopes: frozenset[str]


def caller_of(request: Request, needed: SecurityScopes, _documented: Annotated[str | None, Depends(_SCHEME)]) -> Caller:
    """The caller that the bearer token names; raises `TokenMissing` or `ScopeMissing`."""
    caller = token_caller_of(request)
    try:
        service_of(request).tenants.verify_enabled(caller.client_id)
    except ClientNotAuthenticated:
        raise TokenMissing from None
    if not caller.scopes.issuperset(needed.scopes):
        raise ScopeMissing
    return caller


def token_caller_of(request: Request) -> Caller:
    """Whom the bearer token was issued to, who may have been disabled since; raises `TokenMissing`."""
    claims = verify_token(service_of(request), bearer_token_of(request), typ=_TOKEN_TYP)
    try:
        return Caller(client_id=claims["sub"], tenant_id=claims["tenant"], scopes=frozenset(claims["scope"].split()))
    except (KeyError, TypeError, AttributeError):
        raise TokenMissing from None


Lender = Annotated[Caller, Security(caller_of, scopes=["lender"])]
Compliance = Annotated[Caller, Security(caller_of, scopes=["compliance"])]
Operator = Annotated[Caller, Security(caller_of, scopes=["operator"])]
Issuer = Annotated[Caller, Security(caller_of, scopes=["issuer"])]
Monitor = Annotated[Caller, Security(caller_of, scopes=["metrics"])]
AnyClient = Annotated[Caller, Security(caller_of)]


class Token(BaseModel):
    """An access token (RFC 6749, section 5.1)."""

    access_token: str = Field(description="Opaque: send it as `Authorization: Bearer …`.")
    token_type: Literal["Bearer"] = Field(description="How it is sent (RFC 6750).")
    expires_in: int = Field(description="Seconds that it is valid.")
    scope: str = Field(description="What it may be used for, separated by spaces.")


class TokenError(BaseModel):
    """Why no token was issued (RFC 6749, section 5.2)."""

    error: Literal["invalid_request", "invalid_client", "unsupported_grant_type", "invalid_scope"] = Field(
        description="The stable name of what is wrong, for programs."
    )
    error_description: str = Field(description="What is wrong; never repeats what was sent.")


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "client_id": {"type": "string", "description": "Unless it is in HTTP Basic."},
                        "client_secret": {"type": "string", "description": "Unless it is in HTTP Basic."},
                        "scope": {
                            "type": "string",
                            "description": "Fewer scopes than the client has, separated by spaces; without it, all.",
                        },
                    },
                },
                "example": {"grant_type": "client_credentials", "client_id": "cli_…", "client_secret": "…"},
            }
        },
    },
    "security": [{"clientBasic": []}, {}],
}


@router.post(
    "/v1/oauth/token",
    operation_id="createToken",
    summary="Get an access token",
    response_model=Token,
    responses={
        200: {"description": "A token."},
        400: {
            "model": TokenError,
            "description": "The request is malformed, or asks for a scope that is not the client's.",
        },
        401: {
            "model": TokenError,
            "description": "The client is unknown, or its secret is wrong; which of the two is not said.",
            "headers": {
                "WWW-Authenticate": {
                    "description": "The scheme to authenticate with (RFC 7617).",
                    "required": True,
                    "schema": {"type": "string"},
                }
            },
        },
        **problem_responses(413, 503),
    },
    openapi_extra=_FORM,
)
async def create_token(request: Request) -> Response:
    """Exchange a client's id and secret, in HTTP Basic or in the form, for a bearer token."""
    service = service_of(request)
    try:
        # A parameter without a value counts as left out (RFC 6749, section 3.2).
        form = {name: value for name, value in (await read_form(request)).items() if value}
        client_id, client_secret = _client_credentials(request, form)
        grant_type = form["grant_type"]
    except (ValueError, KeyError):
        return _token_error(400, "invalid_request", "The request is not a well-formed token request.")
    if grant_type != "client_credentials":
        return _token_error(400, "unsupported_grant_type", "The grant type is client_credentials.")
    try:
        client = await to_thread.run_sync(
            service.tenants.verify_client, client_id, client_secret, limiter=service.password_limiter
        )
    except ClientNotAuthenticated as refused:
        return _token_error(401, "invalid_client", str(refused))
    scopes = frozenset(form["scope"].split(" ")) if "scope" in form else client.scopes
    if not scopes <= client.scopes:
        return _token_error(400, "invalid_scope", "The client does not have a scope that was asked for.")
    scope = " ".join(sorted(scopes))
    claims = {"sub": client.client_id, "tenant": client.tenant_id, "scope": scope}
    token = issue_token(service, claims, typ=_TOKEN_TYP, valid_s=TOKEN_VALID_S)
    return JSONResponse(
        Token(access_token=token, token_type="Bearer", expires_in=TOKEN_VALID_S, scope=scope).model_dump(),  # noqa: S106
        headers={"Cache-Control": "no-store"},
    )


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each at most once; raises ValueError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise ValueError
    try:
        body = await request.body()
    except ClientDisconnect:
        raise ValueError from None  # nobody is there to read why
    fields = parse_qsl(
        body.decode("utf-8"),
        keep_blank_values=True,
        strict_parsing=True,
        errors="strict",
        max_num_fields=MAX_FORM_FIELDS,
    )
    form = dict(fields)
    if len(form) != len(fields):
        raise ValueError
    return form


def _client_credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """The client's id and secret from one place, never from two (RFC 6749, section 2.3), in its characters (A.1)."""
    client_id, client_secret = _read_credentials(request, form)
    if not (client_id + client_secret).isascii() or not (client_id + client_secret).isprintable():
        raise ValueError
    return client_id, client_secret


def _read_credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise ValueError
    scheme, _, encoded = "".join(given).partition(" ")
    if scheme.lower() == "basic":
        if "client_secret" in form:
            raise ValueError
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError from None
        client_id = unquote_plus(user)
        if not colon or form.get("client_id", client_id) != client_id:
            raise ValueError
        return client_id, unquote_plus(password)
    return form.get("client_id", ""), form.get("client_secret", "")


def _token_error(status: int, error: str, description: str) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="credence"'} if status == 401 else {}
    return JSONResponse(
        TokenError(error=error, error_description=description).model_dump(), status_code=status, headers=headers
    )


def bearer_token_of(request: Request) -> str:
    """The one bearer token of a request; raises `TokenMissing`."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise TokenMissing
    return token


def issue_token(service: Service, claims: dict[str, Any], *, typ: str, valid_s: int) -> str:
    """A token of ours with these claims, for whoever has it to send for `valid_s` seconds."""
    issued_at_s = service.clock() // 1000
    envelope = {
        "iss": service.base_url,
        "iat": issued_at_s,
        "exp": issued_at_s + valid_s,
        "jti": secrets.token_hex(8),
    }
    return jwt.encode({"alg": "HS256", "typ": typ}, {**claims, **envelope}, OctKey.import_key(service.token_key))


def verify_token(service: Service, token: str, *, typ: str) -> dict[str, Any]:
    """The claims of a token that we issued as this type and that has not ended; raises `TokenMissing`."""
    try:
        for part in token.split("."):
            decode_base64url(part)  # strictly, so that no altered character goes unseen
        decoded = jwt.decode(token, OctKey.import_key(service.token_key), algorithms=["HS256"])
        claims: dict[str, Any] = decoded.claims
        ended = service.clock() >= claims["exp"] * 1000
        if decoded.header.get("typ") != typ or claims["iss"] != service.base_url or ended:
            raise TokenMissing
        return claims
    except (JoseError, IdentityError, ValueError, KeyError, TypeError, RecursionError):
        raise TokenMissing from None


ServiceOf = Annotated[Service, Depends(service_of)]
