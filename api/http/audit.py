"""The audit trail: a tenant's entries in order, for its compliance officers."""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.clock import format_time
from api.http.auth import Compliance, ServiceOf
from api.http.errors import problem_responses
from api.http.strict import StrictRoute
from api.http.wire import DECIMAL, Int64, Timestamp

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=StrictRoute)


EntryType = Literal[
    "score",
    "refusal",
    "consent_withdrawn",
    "consent_renewed",
    "credential",
    "score_copy",
    "status",
    "trust",
    "promotion",
]


class AuditEntry(BaseModel):
    """An entry of the tenant's: a gap in `seq` would be an omission; null members were erased with their subject."""

    model_config = ConfigDict(title="AuditEntry")

    seq: Int64 = Field(description="Counts the tenant's entries from 0, without a gap.")
    log_index: Int64 = Field(description="Where the entry stands in the log.")
    type: str = Field(description="What happened, such as `score`, `refusal`, `status`, `trust` or `promotion`.")
    at: Timestamp
    entry: str | None = Field(description="The canonical text that the log commits to.")
    salt: str | None = Field(description="Base64; SHA-256 of domain, salt and entry is the commitment in the log.")
    score: dict[str, Any] | None = Field(description="The score as it was given to the lender.")
    receipt: str | None = Field(description="The consent receipt that the applicant has, a JWS.")


class AuditPage(BaseModel):
    """A page of entries, oldest first."""

    entries: list[AuditEntry] = Field(description="In the order of `seq`.")
    next_cursor: Int64 | None = Field(description="Give it as `cursor` for the next page; null on the last.")


@router.get(
    "/entries",
    operation_id="listAuditEntries",
    summary="List the tenant's log entries",
    response_model=AuditPage,
    responses={200: {"description": "A page of entries."}, **problem_responses(401, 403, 422, 503)},
)
def list_audit_entries(
    caller: Compliance,
    service: ServiceOf,
    cursor: Annotated[int, Query(ge=0, le=2**53 - 1, description="From a page's `next_cursor`."), DECIMAL] = 0,
    limit: Annotated[int, Query(ge=1, le=200, description="How many entries a page has at most."), DECIMAL] = 50,
    type: Annotated[EntryType | None, Query(description="Entries of one type.")] = None,
) -> AuditPage:
    """Entries with their payloads opened, in the order of their sequence numbers."""
    opened = service.scores.load_entries(caller.tenant_id, from_seq=cursor, limit=limit + 1, type=type)
    page, more = opened[:limit], opened[limit:]
    return AuditPage(
        entries=[
            AuditEntry(
                seq=each.seq,
                log_index=each.log_index,
                type=each.type,
                at=format_time(each.at_ms),
                entry=each.entry,
                salt=None if each.salt is None else base64.b64encode(each.salt).decode(),
                score=(each.answer or {}).get("members"),
                receipt=(each.answer or {}).get("receipt"),
            )
            for each in page
        ],
        next_cursor=more[0].seq if more else None,
    )
