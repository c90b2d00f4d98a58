"""Which issuers a tenant trusts for what: named one by one, or by a list that somebody it knows has signed."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from api.clock import format_time, parse_time
from api.http.auth import AnyClient, Operator, ServiceOf
from api.http.dcql import Strict
from api.http.errors import problem_responses
from api.http.service import Service
from api.http.strict import StrictRoute
from api.http.wire import CredentialTypeName, Int64, Sha256, Timestamp
from api.problems import NotFound
from api.store.trust import IssuerListNotPinned
from identity.errors import BadIssuerList
from identity.issuer_list import MAX_LIST_CHARS, IssuerList, peek_list_issuer, verify_issuer_list
from identity.trust import TRUSTED_DID, EvidenceLevel, TrustedIssuer

router = APIRouter(prefix="/v1/issuers", tags=["issuers"], route_class=StrictRoute)

IMPORT_PATH = "/v1/issuers/import"
MAX_IMPORT_BYTES = MAX_LIST_CHARS
LIST_MEDIA_TYPE = "application/jwt"


def _verify_time(text: str) -> str:
    """The text, if there is such a time: a pattern lets the 30th of February through."""
    parse_time(text)
    return text


Did = Annotated[str, Field(pattern=TRUSTED_DID, description="The issuer (did:key, did:jwk or did:web).")]
PeriodTime = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z$",
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-22T09:30:00Z"],
    ),
    AfterValidator(_verify_time),
]


class IssuerView(BaseModel):
    """An issuer that the tenant trusts for one credential type, in one period."""

    model_config = ConfigDict(title="Issuer")

    did: str = Field(description="The issuer (did:key, did:jwk or did:web).")
    vct: str = Field(description="The credential type that it is trusted for.")
    valid_from: Timestamp = Field(description="Since when its credentials are accepted, whenever issued.")
    valid_to: Timestamp | None = Field(description="Until when it is trusted; null: without an end.")
    evidence_level: EvidenceLevel = Field(
        description="The most that its credentials may count as, whatever their own `evidence_level` says."
    )
    list_issuer: str | None = Field(description="Who signed the list that names it; null: the tenant named it itself.")


class Issuers(BaseModel):
    """Issuers, by credential type."""

    model_config = ConfigDict(title="IssuerList")

    issuers: list[IssuerView] = Field(description="By credential type; the tenant's own word before a list's.")


class NewIssuer(Strict):
    """An issuer to trust."""

    did: Did
    vct: CredentialTypeName = Field(description="The credential type to trust it for, and no other.")
    valid_from: PeriodTime | None = Field(default=None, description="From when; now where it is left out.")
    valid_to: PeriodTime | None = Field(default=None, description="Until when; without an end where it is left out.")
    evidence_level: EvidenceLevel = Field(
        default="system_of_record",
        description="The most that its credentials may count as, whatever their own `evidence_level` says.",
    )


class DistrustedIssuer(Strict):
    """An issuer to trust no longer."""

    did: Did
    vct: CredentialTypeName = Field(description="The credential type to trust it for no longer.")


class ImportedIssuerList(BaseModel):
    """An issuer list as it was taken in."""

    list_issuer: str = Field(description="Who signed it.")
    sequence: Int64 = Field(description="A later list of the same signer has a higher one.")
    sha256: Sha256 = Field(description="Of the list as it was sent.")
    expires_at: Timestamp = Field(description="When what it says ends, unless a later one comes.")
    issuers: int = Field(description="How many entries it has.")


@router.get(
    "",
    operation_id="listIssuers",
    summary="List the issuers that the tenant trusts",
    response_model=Issuers,
    responses={200: {"description": "Every issuer that is trusted."}, **problem_responses(401, 403, 503)},
)
def list_issuers(caller: AnyClient, service: ServiceOf) -> Issuers:
    """Issuers by credential type; a credential of any other is refused before anything of it is fetched."""
    return Issuers(issuers=[_issuer(each) for each in service.trust.load_trusted(caller.tenant_id).issuers])


@router.post(
    "",
    status_code=201,
    operation_id="trustIssuer",
    summary="Trust an issuer for a credential type",
    response_model=IssuerView,
    responses={
        201: {"description": "It is trusted."},
        **problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
    },
)
def trust_issuer(body: NewIssuer, caller: Operator, service: ServiceOf) -> IssuerView:
    """Trust an issuer whose DID resolves now, for a period; trusting it again changes nothing.

    Its periods for one type do not overlap: to change one, distrust the issuer first.
    """
    now_ms = service.clock()
    issuer = TrustedIssuer(
        did=body.did,
        vct=body.vct,
        valid_from_ms=now_ms if body.valid_from is None else parse_time(body.valid_from),
        valid_to_ms=None if body.valid_to is None else parse_time(body.valid_to),
        evidence_level=body.evidence_level,
    )
    issuer.verify_period()
    # Before anything is stored, so that an issuer that nobody could verify is not in the registry.
    service.dids.resolve(body.did, now_ms=now_ms)
    return _issuer(service.trust.append_trusted(caller.tenant_id, issuer, now_ms))


@router.post(
    "/distrust",
    operation_id="distrustIssuer",
    summary="Trust an issuer no longer",
    response_model=Issuers,
    responses={
        200: {"description": "What was trusted until now."},
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 503),
    },
)
def distrust_issuer(body: DistrustedIssuer, caller: Operator, service: ServiceOf) -> Issuers:
    """End every period of an issuer for a type now, and keep lists from trusting it; trusting it anew undoes both."""
    ended = service.trust.distrust(caller.tenant_id, body.did, body.vct, service.clock())
    if not ended:
        raise NotFound
    return Issuers(issuers=[_issuer(each) for each in ended])


@router.post(
    "/import",
    operation_id="importIssuerList",
    summary="Trust whom a signed list names",
    response_model=ImportedIssuerList,
    responses={
        200: {"description": "Every entry of the list is in force, and none of its predecessor's."},
        **problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                LIST_MEDIA_TYPE: {
                    "schema": {
                        "type": "string",
                        "description": "A compact JWS of the type `credence-issuer-list+jwt`, at most 8 MiB.",
                        "examples": ["eyJ…header….eyJ…payload….…signature…"],
                    }
                }
            },
        }
    },
)
async def import_issuer_list(request: Request, caller: Operator, service: ServiceOf) -> ImportedIssuerList:
    """Take in an issuer list of a signer that was pinned before (docs/trust-lists.md): all of it, or nothing."""
    # The body is read here, after the token was looked at: nobody else may send this much.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != LIST_MEDIA_TYPE:
        raise HTTPException(415)
    try:
        body = await request.body()
    except ClientDisconnect:
        raise HTTPException(400) from None  # nobody is there to read why
    taken = await run_in_threadpool(_import_list, service, caller.tenant_id, body)
    return ImportedIssuerList(
        list_issuer=taken.issuer,
        sequence=taken.sequence,
        sha256=taken.sha256.hex(),
        expires_at=format_time(taken.expires_at_ms),
        issuers=len(taken.issuers),
    )


def _import_list(service: Service, tenant_id: str, body: bytes) -> IssuerList:
    if not body.isascii():
        raise BadIssuerList
    token, now_ms = body.decode("ascii").strip(), service.clock()
    signer = peek_list_issuer(token)
    # Nothing of a signer that is not pinned is looked at any further, least of all the URL that its DID may stand for.
    if signer not in {pinned.did for pinned in service.trust.load_pinned(tenant_id)}:
        raise IssuerListNotPinned
    issuer_list = verify_issuer_list(token, signer=signer, dids=service.dids, now_ms=now_ms)
    service.trust.import_list(tenant_id, issuer_list, now_ms)
    return issuer_list


def _issuer(issuer: TrustedIssuer) -> IssuerView:
    return IssuerView(
        did=issuer.did,
        vct=issuer.vct,
        valid_from=format_time(issuer.valid_from_ms),
        valid_to=None if issuer.valid_to_ms is None else format_time(issuer.valid_to_ms),
        evidence_level=issuer.evidence_level,
        list_issuer=issuer.list_issuer,
    )
