"""The log as C2SP tlog-tiles lays it out under /v1/log, for anyone to read: salted commitments and no content."""

import base64
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.http.auth import ServiceOf
from api.http.errors import problem_responses
from api.http.wire import CACHED, DECIMAL, Base64, Int64
from api.problems import NotFound
from chain.errors import IndexNotInTree
from chain.merkle import leaf_hash
from chain.tiles import TILE_WIDTH, parse_tile_path

_CHECKPOINT = """credence.example/log
7
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— credence.example/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""

router = APIRouter(prefix="/v1/log", tags=["log"])


class InclusionProof(BaseModel):
    """That a leaf is in the log: its hash, the audit path (RFC 6962, section 2.1.1) and the checkpoint it leads to."""

    model_config = ConfigDict(title="InclusionProof")

    index: Int64 = Field(description="Where the leaf stands in the log, from 0.")
    leaf_hash: Base64 = Field(description="The leaf's hash (RFC 6962) in base64.")
    size: Int64 = Field(description="How many leaves the checkpoint covers.")
    inclusion: list[Base64] = Field(description="Hashes in base64, the leaf's side first.")
    checkpoint: str = Field(description="A signed note (C2SP tlog-checkpoint).")


@router.get(
    "/checkpoint",
    operation_id="readCheckpoint",
    summary="Read the newest checkpoint",
    response_class=Response,
    responses={
        200: {
            "description": "A signed note.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _CHECKPOINT}},
            "headers": CACHED,
        },
        **problem_responses(404, 503),
    },
)
def read_checkpoint(service: ServiceOf) -> Response:
    """The newest signed checkpoint (C2SP tlog-checkpoint)."""
    newest = service.log.load_newest_checkpoint()
    if newest is None:
        raise NotFound
    return Response(newest.note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})


@router.get(
    "/tile/{path:path}",
    operation_id="readTile",
    summary="Read a tile or an entry bundle",
    response_class=Response,
    responses={
        200: {
            "description": "The hashes of a tile, or the commitments of an entry bundle.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            "headers": CACHED,
        },
        **problem_responses(404, 422, 503),
    },
)
def read_tile(
    path: Annotated[str, Path(max_length=64, description="As C2SP tlog-tiles has it, such as 0/x001/067.p/112.")],
    service: ServiceOf,
) -> Response:
    """A tile up to the newest checkpoint; full tiles never change."""
    tile = parse_tile_path("tile/" + path)
    data = service.log.load_tile(tile)
    age = "public, max-age=31536000, immutable" if tile.width == TILE_WIDTH else "public, max-age=60"
    return Response(data, media_type="application/octet-stream", headers={"Cache-Control": age})


@router.get(
    "/proof/{index}",
    operation_id="readInclusionProof",
    summary="Read the inclusion proof of a leaf",
    response_model=InclusionProof,
    responses={200: {"description": "The proof."}, **problem_responses(404, 422, 503)},
)
def read_inclusion_proof(
    index: Annotated[int, Path(ge=0, le=2**53 - 1, description="Where the leaf stands in the log, from 0."), DECIMAL],
    service: ServiceOf,
) -> InclusionProof:
    """The proof that the leaf at an index is under the newest checkpoint."""
    newest = service.log.load_newest_checkpoint()
    if newest is None or index >= newest.size:
        raise IndexNotInTree
    commitment = service.log.load_commitment(index)
    assert commitment is not None
    proof = service.log.load_inclusion_proof(index, newest.size)
    return InclusionProof(
        index=index,
        leaf_hash=base64.b64encode(leaf_hash(commitment)).decode(),
        size=newest.size,
        inclusion=[base64.b64encode(each).decode() for each in proof],
        checkpoint=newest.note,
    )
