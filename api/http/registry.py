"""What a reader of scores needs beside them: model cards and our public keys."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from api.http.auth import ServiceOf
from api.http.errors import problem_responses
from api.http.strict import StrictRoute
from api.http.wire import Int64, Sha256
from api.problems import NotFound
from api.score_document import format_trust

router = APIRouter(prefix="/v1", tags=["registry"], route_class=StrictRoute)

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the whole artifact, in hex.")]


class ModelView(BaseModel):
    """A model that this service scores with, and its card."""

    model_config = ConfigDict(title="Model", protected_namespaces=())

    sha256: Sha256 = Field(description="Of the whole artifact; a score names its model by it.")
    card: dict[str, Any] = Field(description="The model card, as the artifact holds it.")


class ModelList(BaseModel):
    """The models of this service."""

    models: list[ModelView] = Field(description="The one that scores now is among them.")


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
    "/keys",
    operation_id="readKeys",
    summary="Read our public keys",
    response_model=TrustDocument,
    responses={200: {"description": "The keys and anchors to trust."}, **problem_responses(503)},
)
def read_keys(service: ServiceOf) -> TrustDocument:
    """The keys that sign scores, checkpoints and documents here, and where checkpoints are anchored."""
    return TrustDocument.model_validate(format_trust(service.load_trust()))
