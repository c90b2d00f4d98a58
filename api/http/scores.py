"""Scores: made from a presentation that a lender carries, and read with everything that proves them."""

from typing import Annotated, Any, Literal, cast

import rfc8785
from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.http.auth import Lender, ServiceOf
from api.http.dcql import Identifier, Strict
from api.http.errors import problem_responses
from api.http.idempotency import IdempotencyKey, idempotency_of
from api.http.linked_data import linked_data_door
from api.http.presentations import judge
from api.http.requests import Purpose
from api.http.service import Service
from api.http.strict import StrictRoute
from api.http.wire import Base64, Int64, Sha256, Timestamp, location
from api.problems import NotFound
from api.score_document import AnchorStatement, compose_document, format_log
from api.store.scores import OpenedEntry
from api.store.subjects import SubjectKeyDestroyed
from chain.proof import LogProof
from identity.encoding import JsonValue
from identity.openid4vp import parse_vp_token

router = APIRouter(prefix="/v1/scores", tags=["scores"], route_class=StrictRoute)

ScoreId = Annotated[str, Path(pattern=r"^sco_[0-9a-f]{32}$", description="The id of a score.")]
Presentation = Annotated[str, Field(min_length=1, max_length=65_536)] | Annotated[dict[str, Any], Field(min_length=1)]


class NewScore(Strict):
    """A presentation that the lender received itself, for a request of its own."""

    request_id: str = Field(pattern=r"^req_[0-9a-f]{32}$", description="The request of one's own that is answered.")
    vp_token: dict[Identifier, Annotated[list[Presentation], Field(min_length=1, max_length=16)]] = Field(
        min_length=1,
        max_length=16,
        description="Presentations by the id of their credential query: JSON objects for `ldp_vc`, else text.",
    )


class Scale(BaseModel):
    """What points run from and to."""

    min: int = Field(examples=[300])
    max: int = Field(examples=[850])
    better: Literal["higher"]


class IntervalView(BaseModel):
    """Where the points would be, most likely, had no noise been added in training and everything been presented."""

    model_config = ConfigDict(title="Interval")

    low_points: int = Field(description="Its lower end, on the scale.")
    high_points: int = Field(description="Its upper end, on the scale.")
    pd_ppm_low: int = Field(description="Probability of default at the upper end, in millionths.")
    pd_ppm_high: int = Field(description="Probability of default at the lower end, in millionths.")
    level_ppm: int = Field(description="How often it is meant to hold them, in millionths.")


class ReasonView(BaseModel):
    """Why points were lost, most first; the codes are public (docs/reason-codes.md)."""

    model_config = ConfigDict(title="Reason")

    code: str = Field(description="Stable, for programs.")
    text: str = Field(description="For the applicant.")


class CoverageView(BaseModel):
    """How much of what the model looks at was presented."""

    model_config = ConfigDict(title="Coverage")

    features_present: int = Field(description="How many features the presentation gave a value.")
    features_total: int = Field(description="How many the model looks at.")
    credential_types: list[str] = Field(description="The credential types that were used.")
    stale_types: list[str] = Field(description="Those whose newest credential is older than the model wants.")


class ModelReference(BaseModel):
    """The model that scored, by the digest of its whole artifact."""

    sha256: Sha256 = Field(description="The digest; `GET /v1/models/{sha256}` has the card.")
    name: str
    data: Literal["synthetic", "private", "public_benchmark"] = Field(description="What it was trained on.")


class PrivacyView(BaseModel):
    """What the model's training spent of its people's privacy: epsilon in millionths, delta in 1e-12."""

    model_config = ConfigDict(title="Privacy")

    epsilon_micro: Int64 = Field(description="Epsilon, in millionths.")
    delta_e12: Int64 = Field(description="Delta, in units of 1e-12.")
    unit: str = Field(description="Whose data is protected, such as a person's.")
    adjacency: str = Field(description="How two data sets differ that the guarantee holds between.")
    accountant: str = Field(description="How the spending was added up.")


class StatusView(BaseModel):
    """Where it stands whether the score was revoked (Token Status List)."""

    model_config = ConfigDict(title="Status")

    uri: str = Field(
        description="The status list (`GET /v1/status-lists/{list_id}`).", json_schema_extra={"format": "uri"}
    )
    index: int = Field(description="Where in the list.", ge=0)


class LogView(BaseModel):
    """The score's entry in the log, and how it is proven; the last two are null until a checkpoint covers it."""

    model_config = ConfigDict(title="LogProof")

    v: Literal[1]
    index: Int64 = Field(description="Where the entry stands in the log, from 0.")
    entry: str = Field(description="The entry, as the canonical text that the log commits to.")
    salt: Base64 = Field(description="What the commitment is salted with, in base64.")
    inclusion: list[Base64] | None = Field(description="The audit path (RFC 6962), the leaf's side first.")
    checkpoint: str | None = Field(description="The checkpoint that it leads to, a signed note (C2SP tlog-checkpoint).")


class AnchorView(BaseModel):
    """The transaction that wrote the checkpoint to the chain."""

    model_config = ConfigDict(title="Anchor")

    chain_id: Int64
    contract: str = Field(description="The address of the CheckpointAnchor contract.")
    log_id: str = Field(description="The id that the log has there: 32 bytes in hex.")
    size: Int64 = Field(description="The size of the log that was anchored.")
    transaction: str = Field(description="The transaction's hash, in hex with 0x.")
    block_number: Int64
    block_hash: str = Field(description="In hex with 0x.")
    state: Literal["mined", "finalized"] = Field(description="Finalized: enough blocks stand on top of it.")


class ScoreDocument(BaseModel):
    """A score with everything that proves it; `credence verify` checks every member of it offline."""

    v: Literal[1]
    id: str = Field(description="`GET /v1/scores/{id}` reads it again.")
    request_id: str = Field(description="The presentation request that it answers.")
    purpose: Purpose = Field(description="The permissible purpose that the lender gave.")
    outcome: Literal["scored", "unscorable", "refer"] = Field(
        description="`unscorable`: too little was presented; `refer`: a person has to decide (reasons V01 and V02)."
    )
    points: int | None = Field(description="300 to 850; null where the outcome is unscorable.")
    scale: Scale
    pd_ppm: int | None = Field(description="Probability of default, in millionths.")
    interval: IntervalView | None = Field(
        None, description="Null where there are no points, or the model knows no interval; older scores lack it."
    )
    band: str | None = Field(description="The band that the points fall in; null where there are none.")
    reasons: list[ReasonView] = Field(max_length=4, description="Why points were lost, or why there are none.")
    coverage: CoverageView
    model: ModelReference
    privacy: PrivacyView
    supersedes: str | None = Field(description="The score that this one corrects.")
    test_mode: bool = Field(description="Whether the model is for tests and demonstrations only.")
    created_at: Timestamp
    valid_until: Timestamp = Field(description="Until when it may be relied on; RFC 3339, in UTC.")
    status: StatusView
    credential: str = Field(description="The same as a credential (SD-JWT VC), to be shown in part to others.")
    log: LogView
    anchor: AnchorView | None = Field(description="Null until the chain holds a checkpoint over the score.")
    seal: str = Field(description="A detached JWS over every other member in canonical JSON (RFC 8785).")


DOCUMENT = {"model": ScoreDocument, "description": "The score document, as canonical JSON (RFC 8785)."}


@router.post(
    "",
    status_code=201,
    operation_id="createScore",
    summary="Score a presentation",
    response_class=Response,
    dependencies=[Depends(linked_data_door, scope="function")],
    responses={
        201: DOCUMENT | {"headers": location("The score.")},
        **problem_responses(400, 401, 403, 404, 409, 410, 413, 415, 422, 503),
    },
)
def create_score(
    body: NewScore, caller: Lender, service: ServiceOf, idempotency_key: IdempotencyKey = None
) -> Response:
    """Verify and score a presentation that answers a request of one's own; durable before it is answered."""
    now_ms = service.clock()
    vp_token = parse_vp_token(cast(JsonValue, body.vp_token))
    given = None if idempotency_key is None else (idempotency_key, rfc8785.dumps(body.model_dump(mode="json")))
    score_id = None
    if given is not None:
        idempotency = idempotency_of(service.mac_key, caller.tenant_id, "createScore", *given)
        score_id = service.requests.load_idempotent(caller.tenant_id, idempotency)
        if score_id is not None:
            service.rooms.consents.verify_score_not_withdrawn(score_id)
    if score_id is None:
        stored = service.requests.load_request(body.request_id, tenant_id=caller.tenant_id, now_ms=now_ms)
        if stored is None:
            raise NotFound
        score_id = judge(service, stored, vp_token, body=given, now_ms=now_ms)
    return Response(
        load_document(service, caller.tenant_id, score_id),
        status_code=201,
        media_type="application/json",
        headers={"Location": f"/v1/scores/{score_id}"},
    )


@router.get(
    "/{score_id}",
    operation_id="readScore",
    summary="Read a score with its proof and anchor",
    response_class=Response,
    responses={200: DOCUMENT, **problem_responses(401, 403, 404, 410, 422, 503)},
)
def read_score(score_id: ScoreId, caller: Lender, service: ServiceOf) -> Response:
    """Read a score of one's own; proof and anchor fill in as the log and the chain go on."""
    return Response(load_document(service, caller.tenant_id, score_id), media_type="application/json")


def load_document(service: Service, tenant_id: str, score_id: str) -> bytes:
    """The score document of a tenant's score; raises `NotFound` or `SubjectKeyDestroyed`."""
    opened = service.scores.load_score_entry(tenant_id, score_id)
    if opened is None:
        raise NotFound
    if opened.entry is None or opened.salt is None or opened.answer is None:
        raise SubjectKeyDestroyed
    anchor = _load_anchor(service, opened.log_index)
    proof = _load_proof(service, opened, opened.entry, opened.salt, None if anchor is None else anchor.size)
    answer: dict[str, Any] = opened.answer
    return compose_document(
        members=answer["members"],
        credential=answer["credential"],
        issued_at_ms=answer["issued_at_ms"],
        valid_until_ms=answer["valid_until_ms"],
        status_uri=answer["status_uri"],
        status_index=answer["status_index"],
        index=opened.log_index,
        entry=opened.entry,
        salt=opened.salt,
        proof=proof,
        anchor=anchor,
        seal_key=service.seal_key,
    )


def load_log(service: Service, opened: OpenedEntry) -> dict[str, Any]:
    """An entry with its proof under the newest checkpoint, as documents hold it; raises `SubjectKeyDestroyed`."""
    if opened.entry is None or opened.salt is None:
        raise SubjectKeyDestroyed
    proof = _load_proof(service, opened, opened.entry, opened.salt, None)
    return format_log(index=opened.log_index, entry=opened.entry, salt=opened.salt, proof=proof)


def _load_anchor(service: Service, log_index: int) -> AnchorStatement | None:
    anchor = service.anchors.load_anchor_over(log_index)
    target = service.anchors.load_target()
    if anchor is None or target is None or anchor.block_number is None or anchor.block_hash is None:
        return None
    return AnchorStatement(
        chain_id=anchor.chain_id,
        contract=anchor.contract,
        log_id=target.log_id,
        size=anchor.checkpoint_size,
        transaction=anchor.hash,
        block_number=anchor.block_number,
        block_hash=anchor.block_hash,
        state=anchor.state,
    )


def _load_proof(
    service: Service, opened: OpenedEntry, entry: str, salt: bytes, anchored_size: int | None
) -> LogProof | None:
    """The proof under the anchored checkpoint, or else the newest one; None until one covers the leaf."""
    checkpoint = (
        service.log.load_newest_checkpoint() if anchored_size is None else service.log.load_checkpoint(anchored_size)
    )
    if checkpoint is None or checkpoint.size <= opened.log_index:
        return None
    return LogProof(
        index=opened.log_index,
        entry=entry.encode(),
        salt=salt,
        inclusion=service.log.load_inclusion_proof(opened.log_index, checkpoint.size),
        checkpoint=checkpoint.note,
    )
