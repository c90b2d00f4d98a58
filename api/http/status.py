"""Whether a score or credential still holds: read it, suspend it, revoke it, and the lists that tell everybody."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clock import format_time
from api.http.auth import AnyClient, Operator, ServiceOf
from api.http.dcql import Strict
from api.http.errors import problem_responses
from api.http.scores import ScoreId
from api.http.service import Service
from api.http.strict import StrictRoute
from api.http.wire import CACHED, Timestamp
from api.problems import NotFound
from api.store.revocation import Reason, Status, StatusNow
from api.store.status import CAPACITY, PublishedList
from identity.bitstring import StatusPurpose
from identity.bitstring_list import issue_bitstring_status_list
from identity.keys import SigningKey
from identity.status_list import issue_status_list

router = APIRouter(prefix="/v1", tags=["status"], route_class=StrictRoute)

CredentialId = Annotated[
    str, Path(pattern=r"^crd_[0-9a-f]{32}$", description="The id of a credential that was issued over OpenID4VCI.")
]
ListId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="The list's id, as a score's `status.uri` ends.")]
STATUS_BITS = 2
#: How long a verifier may keep a list, and so how long a change may go unseen.
STATUS_TTL_S = 300
STATUS_VALID_S = 86_400
#: The value of the Token Status List that sets the bit of a purpose.
_VALUE_OF: dict[StatusPurpose, int] = {"revocation": 1, "suspension": 2}


class StatusNowView(BaseModel):
    """The status as it is now; the published lists say the same."""

    model_config = ConfigDict(title="CredentialStatus")

    id: str = Field(description="The score or credential.")
    status: Status = Field(description="`suspended` can be lifted, `revoked` is final.")
    reason: Reason | None = Field(description="Why it changed last; null while it never did.")
    changed_at: Timestamp | None = Field(description="When it changed last; null while it never did.")


class NewStatus(Strict):
    """What a score or credential is to be from now on."""

    status: Status = Field(description="`suspended` can be lifted by `valid`; `revoked` is final.")
    reason: Reason = Field(description="Why; a code, so that no personal data stands here. It is written to the log.")


@router.get(
    "/scores/{score_id}/status",
    operation_id="readScoreStatus",
    summary="Read whether a score still holds",
    response_model=StatusNowView,
    responses={200: {"description": "The status as it is now."}, **problem_responses(401, 403, 404, 422, 503)},
)
def read_score_status(score_id: ScoreId, caller: AnyClient, service: ServiceOf) -> StatusNowView:
    """The status of a score of the tenant's; a score document is evidence of its issue and does not change with it."""
    return _view(score_id, service.revocations.load_score_status(caller.tenant_id, score_id))


@router.put(
    "/scores/{score_id}/status",
    operation_id="changeScoreStatus",
    summary="Suspend, reinstate or revoke a score",
    response_model=StatusNowView,
    responses={
        200: {"description": "What stands now."},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    },
)
def change_score_status(score_id: ScoreId, body: NewStatus, caller: Operator, service: ServiceOf) -> StatusNowView:
    """Change a score and every copy of it that was issued; verifiers see it within the lists' `ttl`."""
    stands = service.revocations.change_score_status(
        caller.tenant_id, score_id, status=body.status, reason=body.reason, now_ms=service.clock()
    )
    return _view(score_id, stands)


@router.get(
    "/credentials/{credential_id}/status",
    operation_id="readCredentialStatus",
    summary="Read whether an issued credential still holds",
    response_model=StatusNowView,
    responses={200: {"description": "The status as it is now."}, **problem_responses(401, 403, 404, 422, 503)},
)
def read_credential_status(credential_id: CredentialId, caller: AnyClient, service: ServiceOf) -> StatusNowView:
    """The status of a credential that was issued over OpenID4VCI for the tenant."""
    return _view(credential_id, service.revocations.load_credential_status(caller.tenant_id, credential_id))


@router.put(
    "/credentials/{credential_id}/status",
    operation_id="changeCredentialStatus",
    summary="Suspend, reinstate or revoke an issued credential",
    response_model=StatusNowView,
    responses={
        200: {"description": "What stands now."},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    },
)
def change_credential_status(
    credential_id: CredentialId, body: NewStatus, caller: Operator, service: ServiceOf
) -> StatusNowView:
    """Change one credential; where it is a copy of a score, that copy alone."""
    stands = service.revocations.change_credential_status(
        caller.tenant_id, credential_id, status=body.status, reason=body.reason, now_ms=service.clock()
    )
    return _view(credential_id, stands)


def _view(id: str, stands: StatusNow | None) -> StatusNowView:
    if stands is None:
        raise NotFound
    return StatusNowView(
        id=id,
        status=stands.status,
        reason=stands.reason,
        changed_at=None if stands.changed_at_ms is None else format_time(stands.changed_at_ms),
    )


@router.get(
    "/status-lists/{list_id}",
    operation_id="readStatusList",
    summary="Read a status list",
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
def read_status_list(list_id: ListId, service: ServiceOf) -> Response:
    """The statuses of the credentials that name this list (draft-ietf-oauth-status-list): 1 revoked, 2 suspended."""
    published, key = _load_list(service, list_id)
    uri, now_ms, statuses = service.rooms.status_list_prefix + list_id, service.clock(), published.to_bytes()
    token = service.signed_lists.load_or_sign(
        uri,
        statuses,
        lambda: issue_status_list(
            uri=uri,
            statuses=statuses,
            bits=STATUS_BITS,
            key=key,
            now_ms=now_ms,
            ttl_s=STATUS_TTL_S,
            expires_in_s=STATUS_VALID_S,
        ),
        now_ms=now_ms,
    )
    return _cached(token, "application/statuslist+jwt")


@router.get(
    "/status-lists/{list_id}/{purpose}",
    operation_id="readBitstringStatusList",
    summary="Read a status list as a W3C credential",
    response_class=Response,
    responses={
        200: {
            "description": "A BitstringStatusListCredential as a JWT (VC-JOSE-COSE).",
            "content": {"application/vc+jwt": {"schema": {"type": "string"}}},
            "headers": CACHED,
        },
        **problem_responses(404, 422, 503),
    },
)
def read_bitstring_status_list(
    list_id: ListId,
    purpose: Annotated[
        Literal["revocation", "suspension"], Path(description="What a set bit means: for good, or for now.")
    ],
    service: ServiceOf,
) -> Response:
    """The same statuses at the same indices, a bit each, as Bitstring Status List v1.0 has them."""
    published, key = _load_list(service, list_id)
    uri, now_ms = f"{service.rooms.status_list_prefix}{list_id}/{purpose}", service.clock()
    token = service.signed_lists.load_or_sign(
        uri,
        published.to_bytes(),
        lambda: issue_bitstring_status_list(
            uri=uri,
            indices=[index for index, status in published.statuses.items() if status == _VALUE_OF[purpose]],
            length=CAPACITY,
            purpose=purpose,
            key=key,
            now_ms=now_ms,
            ttl_s=STATUS_TTL_S,
            expires_in_s=STATUS_VALID_S,
        ),
        now_ms=now_ms,
    )
    return _cached(token, "application/vc+jwt")


def _load_list(service: Service, list_id: str) -> tuple[PublishedList, SigningKey]:
    """A list, and the key whose credentials it speaks of: nobody would believe another one about them."""
    published = service.statuses.load_list(list_id)
    if published is None:
        raise NotFound
    keys = {key.did: key for key in service.attest_keys}
    if published.issuer is None:
        return published, service.attest_keys[0]
    key = keys.get(published.issuer) or service.issuance.issuer_keys.load_key_of(published.issuer)
    if key is None:
        raise NotFound
    return published, key


def _cached(token: str, media_type: str) -> Response:
    # Never longer than a list may be kept anyway. There is no ETag: a list is signed anew every minute.
    return Response(token, media_type=media_type, headers={"Cache-Control": f"public, max-age={STATUS_TTL_S}"})
