"""What a reader of scores needs beside them: model cards, trusted issuers, status lists, our public keys."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clock import format_time
from api.http.auth import AnyClient, Operator, ServiceOf
from api.http.errors import problem_responses
from api.http.requests import Strict
from api.http.strict import StrictRoute
from api.http.wire import CACHED, CredentialTypeName, Int64, Sha256, Timestamp
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

    sha256: Sha256 = Field(description="Of the whole artifact; a score names its model by it.")
    card: dict[str, Any] = Field(description="The model card, as the artifact holds it.")


class ModelList(BaseModel):
    """The models of this service."""

    models: list[ModelView] = Field(description="The one that scores now is among them.")


class IssuerView(BaseModel):
    """An issuer that the tenant trusts for one credential type."""

    model_config = ConfigDict(title="Issuer")

    did: str = Field(description="The issuer (did:key or did:jwk).")
    vct: str = Field(description="The credential type that it is trusted for.")
    valid_from: Timestamp = Field(description="Since when its credentials are accepted, whenever issued.")
    valid_to: Timestamp | None = Field(description="Until when it is trusted; null while it is.")


class IssuerList(BaseModel):
    """Every issuer that the tenant trusts."""

    issuers: list[IssuerView] = Field(description="By credential type.")


class NewIssuer(Strict):
    """An issuer to trust from now on."""

    did: str = Field(pattern=r"^did:(key|jwk):[A-Za-z0-9_.:-]{1,1024}$", description="The issuer (did:key or did:jwk).")
    vct: CredentialTypeName = Field(description="The credential type to trust it for, and no other.")


class TrustedScoreIssuerView(BaseModel):
    """A DID that signs score credentials."""

    model_config = ConfigDict(title="TrustedScoreIssuer")

    did: str
    retired_at_size: Int64 | None = Field(
        description="It counts for entries below this size of the log; null: for all."
    )


class TrustedLogKeyView(BaseModel):
    """A key that signs checkpoints."""

    model_config = ConfigDict(title="TrustedLogKey")

    vkey: str = Field(description="A verifier key (C2SP signed-note).")
    retired_at_size: Int64 | None = Field(
        description="It counts for entries below this size of the log; null: for all."
    )


class TrustedAnchorView(BaseModel):
    """A contract that holds checkpoints, and the id that the log has there."""

    model_config = ConfigDict(title="TrustedAnchor")

    chain_id: Int64
    contract: str = Field(description="The address of the CheckpointAnchor contract.")
    log_id: str = Field(description="32 bytes in hex.")


class TrustDocument(BaseModel):
    """Our public keys: what `credence verify --trust` reads. Get it once, from somebody you trust, and keep it."""

    model_config = ConfigDict(title="Trust")

    v: Literal[1]
    score_issuers: list[TrustedScoreIssuerView] = Field(description="Who signs score credentials.")
    log_keys: list[TrustedLogKeyView] = Field(description="Who signs checkpoints of the log.")
    seal_keys: list[dict[str, Any]] = Field(description="Who seals score documents, as JSON Web Keys.")
    receipt_keys: list[dict[str, Any]] = Field(description="Who signs consent receipts, as JSON Web Keys.")
    anchors: list[TrustedAnchorView] = Field(description="Where checkpoints are anchored.")


@router.get(
    "/models",
    operation_id="listModels",
    summary="List the models",
    response_model=ModelList,
    responses={200: {"description": "Every model."}},
)
def list_models(service: ServiceOf) -> ModelList:
    """Every model that scores here, with its card."""
    return ModelList(models=[_model(service)])


@router.get(
    "/models/{sha256}",
    operation_id="readModel",
    summary="Read a model's card",
    response_model=ModelView,
    responses={200: {"description": "The model and its card."}, **problem_responses(404, 422)},
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
    responses={200: {"description": "Every issuer that is trusted."}, **problem_responses(401, 403, 503)},
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
    responses={201: {"description": "It is trusted."}, **problem_responses(400, 401, 403, 413, 415, 422, 503)},
)
def trust_issuer(body: NewIssuer, caller: Operator, service: ServiceOf) -> IssuerView:
    """Trust an issuer from now on; trusting it again changes nothing."""
    resolve_did(body.did)
    issuer = TrustedIssuer(did=body.did, vct=body.vct, valid_from_ms=service.clock(), valid_to_ms=None)
    return _issuer(service.tenants.append_trusted_issuer(caller.tenant_id, issuer))


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
            "headers": CACHED,
        },
        **problem_responses(404, 422, 503),
    },
)
def read_status_list(
    list_id: Annotated[
        str, Path(pattern=r"^[0-9a-f]{16}$", description="The list's id, as a score's `status.uri` ends.")
    ],
    service: ServiceOf,
) -> Response:
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


@router.get(
    "/keys",
    operation_id="readKeys",
    summary="Read our public keys",
    response_model=TrustDocument,
    responses={200: {"description": "The keys and anchors to trust."}, **problem_responses(503)},
)
def read_keys(service: ServiceOf) -> TrustDocument:
    """The keys that sign scores, checkpoints and documents here, and where checkpoints are anchored."""
    return TrustDocument.model_validate(format_trust(service.load_trust()))
