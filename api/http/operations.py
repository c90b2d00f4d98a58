"""What whoever runs the service asks it: is it alive, can it work, what has it done."""

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from api.http.auth import Monitor, ServiceOf
from api.http.errors import problem_responses

router = APIRouter(prefix="/v1", tags=["operations"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = Field(description="Always `alive`.")


class Readiness(BaseModel):
    """Whether requests can be served: a chain that is down degrades the service, it does not stop it."""

    status: Literal["ready", "degraded", "down"] = Field(
        description="`degraded`: everything but anchoring works; `down`: nothing does."
    )
    database: Literal["ok", "failing"] = Field(description="Whether it answers.")
    chain: Literal["ok", "starting", "failing", "unknown"] = Field(
        description="How anchoring fared last; scores are issued and logged whatever it says."
    )


@router.get(
    "/healthz",
    operation_id="readHealth",
    summary="Is the process alive?",
    response_model=Alive,
    responses={200: {"description": "It is."}},
)
def read_health() -> Alive:
    """Answers as long as the process does."""
    return Alive(status="alive")


@router.get(
    "/readyz",
    operation_id="readReadiness",
    summary="Can the service work?",
    response_model=Readiness,
    responses={
        200: {"description": "It can; where it is degraded, scores are issued and logged, and anchored later."},
        503: {"model": Readiness, "description": "It cannot: the service is down."},
    },
)
def read_readiness(service: ServiceOf) -> Response:
    """Ready, degraded (the chain is away) or down (the database is)."""
    if not service.health.check_database():
        body = Readiness(status="down", database="failing", chain="unknown")
        return JSONResponse(body.model_dump(), status_code=503)
    chain = service.health.check_chain(service.clock())
    return JSONResponse(
        Readiness(status="ready" if chain == "ok" else "degraded", database="ok", chain=chain).model_dump()
    )


@router.get(
    "/metrics",
    operation_id="readMetrics",
    summary="Read Prometheus metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problem_responses(401, 403, 503),
    },
)
def read_metrics(_caller: Monitor, service: ServiceOf) -> Response:
    """Counts and durations; no id, DID or tenant is among their labels."""
    service.metrics.log_size.set(service.log.load_size())
    service.metrics.anchored_size.set(service.anchors.load_newest_anchored_size())
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
