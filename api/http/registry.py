"""What a reader of scores needs beside them: model cards, trusted issuers, status lists, our public keys."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clock import format_time
from api.http.auth import AnyClient, Operator, ServiceOf
from api.http.errors import problem_responses
from api.http.requests import Strict
from api.http.strict import StrictRoute
from api.problems import NotFound
from api.score_document import format_trust
from api.store.status import CAPACITY
from identity.did import resolve_did
from identity.status_list import issue_status_list
from identity.trust import TrustedIssuer

router = APIRouter(prefix="/v1", tags=["registry"], route_class=StrictRoute)

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the whole artifact, in hex.")]
STATUS_BITS = 2
STATUS_TTL_S = 300
STATUS_VALID_S = 86_400


class ModelView(BaseModel):
    """A model that this service scores with, and its card."""

    model_config = ConfigDict(title="Model", protected_namespaces=())

    sha256: str
    card: dict[str, Any] = Field(description="The model card, as the artifact holds it.")


class ModelList(BaseModel):
    """The models of this service."""

    models: list[ModelView]


class IssuerView(BaseModel):
    """An issuer that the tenant trusts for one credential type."""

    model_config = ConfigDict(title="Issuer")

    did: str
    vct: str
    valid_from: str
    valid_to: str | None


class IssuerList(BaseModel):
    """Every issuer that the tenant trusts."""

    issuers: list[IssuerView]


class NewIssuer(Strict):
    """An issuer to trust from now on."""

    did: str = Field(pattern=r"^did:(key|jwk):[A-Za-z0-9_.:-]{1,1024}$")
    vct: str = Field(pattern=r"^urn:credence:[a-z-]{1,40}:1$")


class TrustDocument(BaseModel):
    """Our public keys: what `credence verify --trust` reads. Get it once, from somebody you trust, and keep it."""

    model_config = ConfigDict(title="Trust")

    v: int
    score_issuers: list[dict[str, Any]]
    log_keys: list[dict[str, Any]]
    seal_keys: list[dict[str, Any]]
    anchors: list[dict[str, Any]]


@router.get("/models", operation_id="listModels", summary="List the models", response_model=ModelList)
def list_models(service: ServiceOf) -> ModelList:
    """Every model that scores here, with its card."""
    return ModelList(models=[_model(service)])


@router.get(
    "/models/{sha256}",
    operation_id="readModel",
    summary="Read a model's card",
    response_model=ModelView,
    responses=problem_responses(404, 422),
)
def read_model(sha256: Digest, service: ServiceOf) -> ModelView:
    """The card of the model that a score names."""
    model = _model(service)
    if model.sha256 != sha256:
        raise NotFound
    return model


def _model(service: ServiceOf) -> ModelView:
    artifact = service.rooms.artifact
    return ModelView(sha256=artifact.digest.hex(), card=json.loads(artifact.card_json))


@router.get(
    "/issuers",
    operation_id="listIssuers",
    summary="List the issuers that the tenant trusts",
    response_model=IssuerList,
    responses=problem_responses(401, 403),
)
def list_issuers(caller: AnyClient, service: ServiceOf) -> IssuerList:
    """Issuers by credential type; a credential of any other is refused before anything of it is fetched."""
    trusted = service.tenants.load_trusted_issuers(caller.tenant_id)
    return IssuerList(issuers=[_issuer(each) for each in trusted.issuers])


@router.post(
    "/issuers",
    status_code=201,
    operation_id="trustIssuer",
    summary="Trust an issuer for a credential type",
    response_model=IssuerView,
    responses=problem_responses(400, 401, 403, 413, 422, 503),
)
def trust_issuer(body: NewIssuer, caller: Operator, service: ServiceOf) -> IssuerView:
    """Trust an issuer from now on; trusting it again changes nothing."""
    resolve_did(body.did)
    if body.vct not in service.credential_types:
        raise NotFound
    issuer = TrustedIssuer(did=body.did, vct=body.vct, valid_from_ms=service.clock(), valid_to_ms=None)
    service.tenants.append_trusted_issuer(caller.tenant_id, issuer)
    return _issuer(issuer)


def _issuer(issuer: TrustedIssuer) -> IssuerView:
    return IssuerView(
        did=issuer.did,
        vct=issuer.vct,
        valid_from=format_time(issuer.valid_from_ms),
        valid_to=None if issuer.valid_to_ms is None else format_time(issuer.valid_to_ms),
    )


@router.get(
    "/status-lists/{list_id}",
    operation_id="readStatusList",
    summary="Read a status list of score credentials",
    response_class=Response,
    responses={
        200: {
            "description": "A Token Status List as a JWT.",
            "content": {"application/statuslist+jwt": {"schema": {"type": "string"}}},
        },
        **problem_responses(404, 422),
    },
)
def read_status_list(list_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")], service: ServiceOf) -> Response:
    """The statuses of the score credentials that name this list (draft-ietf-oauth-status-list)."""
    statuses = service.statuses.load_statuses(list_id)
    if statuses is None:
        raise NotFound
    values = bytearray(CAPACITY)
    for index, status in statuses.items():
        values[index] = status
    token = issue_status_list(
        uri=service.rooms.status_list_prefix + list_id,
        statuses=bytes(values),
        bits=STATUS_BITS,
        key=service.rooms.attest_key,
        now_ms=service.clock(),
        ttl_s=STATUS_TTL_S,
        expires_in_s=STATUS_VALID_S,
    )
    return Response(
        token, media_type="application/statuslist+jwt", headers={"Cache-Control": f"public, max-age={STATUS_TTL_S}"}
    )


@router.get("/keys", operation_id="readKeys", summary="Read our public keys", response_model=TrustDocument)
def read_keys(service: ServiceOf) -> TrustDocument:
    """The keys that sign scores, checkpoints and documents here, and where checkpoints are anchored."""
    return TrustDocument(**format_trust(service.load_trust()))
