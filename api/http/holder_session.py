"""The applicant's way in: a nonce of ours, signed by a key, opens what belongs to that key, and to nobody else."""

import secrets
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from api.http.auth import ServiceOf, bearer_token_of, issue_token, verify_token
from api.http.dcql import Strict
from api.http.errors import problem_responses
from api.http.service import service_of
from api.http.strict import StrictRoute
from api.problems import TokenMissing
from api.store.nonces import NONCE_VALID_MS
from identity.holder_proof import verify_holder_proof, verify_score_presentation

SESSION_VALID_S = 600
SCOPE = "holder"
#: A lender's token is of another type, so that neither opens what the other does.
_TOKEN_TYP = "credence-holder+jwt"  # noqa: S105 (a media type)
_NONCE_PURPOSE = "holder"

router = APIRouter(prefix="/v1/holder", tags=["applicant"], route_class=StrictRoute)
_SCHEME = HTTPBearer(
    scheme_name="holderSession",
    description="A bearer token from `POST /v1/holder/sessions`, valid for 10 minutes, for what belongs to one key.",
    auto_error=False,
)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Whoever proved to hold the key of this thumbprint (RFC 7638)."""

    thumbprint: str


def holder_of(request: Request, _documented: Annotated[object, Depends(_SCHEME)]) -> Holder:
    """The holder that the bearer token was issued to; raises `TokenMissing`."""
    claims = verify_token(service_of(request), bearer_token_of(request), typ=_TOKEN_TYP)
    confirmation = claims.get("cnf")
    thumbprint = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    if claims.get("scope") != SCOPE or not isinstance(thumbprint, str):
        raise TokenMissing
    return Holder(thumbprint=thumbprint)


HolderOf = Annotated[Holder, Depends(holder_of)]


class HolderNonce(BaseModel):
    """What to sign, once, to prove a key."""

    nonce: str = Field(description="Goes into the proof as `nonce`.")
    expires_in: int = Field(description="Seconds within which it can be used.")


class NewHolderSession(Strict):
    """A key proven by its signature over a nonce of ours."""

    format: Literal["jwt", "dc+sd-jwt"] = Field(
        description="`jwt`: a JWT of type `credence-holder-proof+jwt` with `iss` (the key's did:key or did:jwk), `aud` "
        "(this service's URL), `nonce` and `iat`; `dc+sd-jwt`: a score credential of ours, whole or in part, with key "
        "binding over that audience and nonce."
    )
    proof: str = Field(min_length=1, max_length=65_536, description="The proof, in that format.")


class HolderSession(BaseModel):
    """A token for what belongs to the proven key."""

    access_token: str = Field(description="Opaque: send it as `Authorization: Bearer …`.")
    token_type: Literal["Bearer"] = Field(description="How it is sent (RFC 6750).")
    expires_in: int = Field(description="Seconds that it is valid.")
    scope: Literal["holder"] = Field(description="What it may be used for.")


@router.post(
    "/nonce",
    operation_id="createHolderNonce",
    summary="Get a nonce to prove a key with",
    response_model=HolderNonce,
    responses={200: {"description": "A nonce."}, **problem_responses(503)},
)
def create_holder_nonce(service: ServiceOf) -> HolderNonce:
    """Anyone may ask, as often as they like: nothing is stored of a nonce until it is used."""
    nonce = service.nonces.issue(purpose=_NONCE_PURPOSE, now_ms=service.clock())
    return HolderNonce(nonce=nonce, expires_in=NONCE_VALID_MS // 1000)


@router.post(
    "/sessions",
    status_code=201,
    operation_id="createHolderSession",
    summary="Prove a key, and see what is its holder's",
    response_model=HolderSession,
    responses={201: {"description": "A token."}, **problem_responses(400, 409, 413, 415, 422, 503)},
)
def create_holder_session(body: NewHolderSession, service: ServiceOf) -> HolderSession:
    """Exchange a proof for a short-lived token; a key that nobody here knows gets one too, and finds nothing."""
    now_ms = service.clock()
    if body.format == "jwt":
        proven = verify_holder_proof(body.proof, audience=service.base_url, now_ms=now_ms)
    else:
        issuers = {each.did for each in service.load_trust().score_issuers}
        proven = verify_score_presentation(
            body.proof, audience=service.base_url, trusted_issuers=issuers, now_ms=now_ms
        )
    # Last, so that only who holds a key makes us write.
    service.nonces.use(proven.nonce, purpose=_NONCE_PURPOSE, now_ms=now_ms)
    claims = {"sub": "ses_" + secrets.token_hex(8), "scope": SCOPE, "cnf": {"jkt": proven.key.thumbprint}}
    return HolderSession(
        access_token=issue_token(service, claims, typ=_TOKEN_TYP, valid_s=SESSION_VALID_S),
        token_type="Bearer",  # noqa: S106 (how it is sent)
        expires_in=SESSION_VALID_S,
        scope=SCOPE,
    )
