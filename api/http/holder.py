"""What the holder of a key sees and decides: own scores, receipts and consents, who asked, and withdrawal."""

from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clock import format_time
from api.http.auth import ServiceOf
from api.http.errors import problem_responses
from api.http.holder_session import HolderOf
from api.http.requests import Purpose
from api.http.scores import DOCUMENT, LogView, ReasonView, ScoreId, load_document, load_log
from api.http.service import Service
from api.http.strict import StrictRoute
from api.http.wire import DECIMAL, Int64, Timestamp
from api.problems import NotFound
from api.store.appends import AppendConsentChange
from api.store.consents import StoredConsent
from api.store.holder import HeldReceipt, HeldRequest, HeldScore, Holdings
from api.store.subjects import SubjectKeyDestroyed

router = APIRouter(prefix="/v1/holder", tags=["applicant"], route_class=StrictRoute)

ReceiptId = Annotated[str, Path(pattern=r"^rcp_[0-9a-f]{32}$", description="The id of a consent receipt.")]
ConsentId = Annotated[str, Path(pattern=r"^con_[0-9a-f]{32}$", description="The id of a consent.")]
Cursor = Annotated[int | None, Query(ge=0, le=2**53 - 1, description="From a page's `next_cursor`."), DECIMAL]
Limit = Annotated[int, Query(ge=1, le=50, description="How many a page has at most."), DECIMAL]
_STATUSES: dict[int, Literal["valid", "revoked", "suspended"]] = {0: "valid", 1: "revoked", 2: "suspended"}
_READ = problem_responses(401, 422, 503)
_READ_ONE = problem_responses(401, 404, 410, 422, 503)
_ERASED = "Null where it was erased."
Held = TypeVar("Held", HeldScore, HeldReceipt, HeldRequest)


class HolderScore(BaseModel):
    """A score of one's own, in short; `GET /v1/holder/scores/{id}` has everything that proves it."""

    id: str = Field(description="The score's id.")
    lender: str = Field(description="Who asked.")
    purpose: Purpose = Field(description="What for.")
    request_id: str = Field(description="The presentation request that it answers.")
    created_at: Timestamp
    valid_until: Timestamp = Field(description="Until when it may be relied on.")
    status: Literal["valid", "revoked", "suspended"] = Field(description="Whether it was taken back since.")
    outcome: Literal["scored", "unscorable", "refer"] | None = Field(description=_ERASED)
    points: int | None = Field(description="300 to 850; null where the outcome is unscorable, or it was erased.")
    band: str | None = Field(description="The band that the points fall in.")
    reasons: list[ReasonView] | None = Field(description="Why points were lost. " + _ERASED)


class HolderScorePage(BaseModel):
    """A page of scores, newest first."""

    scores: list[HolderScore] = Field(description="At every lender that scored this key.")
    next_cursor: Int64 | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class HolderReceipt(BaseModel):
    """A consent receipt, signed."""

    id: str = Field(description="The receipt's id.")
    consent_id: str = Field(description="The consent that it is of.")
    lender: str = Field(description="Whom the consent was given to.")
    purpose: Purpose = Field(description="What for.")
    at: Timestamp
    receipt: str | None = Field(
        description="A JWS of type `consent-receipt+jwt` (docs/consent-receipts.md). " + _ERASED
    )
    log_index: Int64 = Field(description="The log entry whose body has the receipt's SHA-256 as `receipt_sha256`.")


class ReceiptDocument(BaseModel):
    """A consent receipt with the log entry that commits to it; `credence verify-receipt` checks both offline."""

    v: Literal[1]
    receipt: str = Field(description="A JWS of type `consent-receipt+jwt` (docs/consent-receipts.md).")
    log: LogView


class HolderReceiptPage(BaseModel):
    """A page of receipts, newest first."""

    receipts: list[HolderReceipt] = Field(description="Of every consent of this key.")
    next_cursor: Int64 | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class HolderRequest(BaseModel):
    """A presentation request that this key answered."""

    lender: str = Field(description="Who asked.")
    at: Timestamp = Field(description="When it was answered.")
    outcome: Literal["accepted", "refused"] = Field(description="What became of the answer.")
    request_id: str | None = Field(description=_ERASED)
    purpose: Purpose | None = Field(description="What for. " + _ERASED)
    refusal: str | None = Field(description="The code of the problem, where the answer was refused.")
    score_id: str | None = Field(description="The score, where the answer was accepted.")


class HolderRequestPage(BaseModel):
    """A page of requests, newest first; a refused answer is among them if it proved the key before it was refused."""

    requests: list[HolderRequest] = Field(description="Of every lender that asked this key.")
    next_cursor: Int64 | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class ConsentView(BaseModel):
    """What this key allows a lender for one purpose."""

    model_config = ConfigDict(title="Consent")

    id: str = Field(description="The consent's id.")
    lender: str = Field(description="Whom it was given to.")
    purpose: Purpose = Field(description="What for.")
    state: Literal["given", "withdrawn"] = Field(
        description="`withdrawn`: the lender gets no further score for this purpose until it is given again here."
    )
    given_at: Timestamp = Field(description="Since when, or since when again.")
    withdrawn_at: Timestamp | None = Field(description="Null while it is given.")


class ConsentList(BaseModel):
    """Every consent of this key."""

    consents: list[ConsentView] = Field(description="The one given last first.")


class ConsentChange(BaseModel):
    """A consent after it was changed, and the receipt of that."""

    consent: ConsentView
    receipt: str | None = Field(
        description="A JWS of type `consent-receipt+jwt` (docs/consent-receipts.md). " + _ERASED
    )


@router.get(
    "/scores",
    operation_id="listHolderScores",
    summary="List one's own scores",
    response_model=HolderScorePage,
    responses={200: {"description": "A page of scores."}, **_READ},
)
def list_holder_scores(
    holder: HolderOf, service: ServiceOf, cursor: Cursor = None, limit: Limit = 20
) -> HolderScorePage:
    """Scores of the proven key at every lender, newest first."""
    held = service.holders.load_scores(_holdings_of(service, holder), below=cursor, limit=limit + 1)
    page, next_cursor = _page(held, limit)
    return HolderScorePage(scores=[_score(each) for each in page], next_cursor=next_cursor)


@router.get(
    "/scores/{score_id}",
    operation_id="readHolderScore",
    summary="Read one's own score with its proof",
    response_class=Response,
    responses={200: DOCUMENT, **_READ_ONE},
)
def read_holder_score(score_id: ScoreId, holder: HolderOf, service: ServiceOf) -> Response:
    """The score document, as the lender has it."""
    tenant_id = service.holders.load_tenant_of_score(_holdings_of(service, holder), score_id)
    if tenant_id is None:
        raise NotFound
    return Response(load_document(service, tenant_id, score_id), media_type="application/json")


@router.get(
    "/receipts",
    operation_id="listHolderReceipts",
    summary="List one's own consent receipts",
    response_model=HolderReceiptPage,
    responses={200: {"description": "A page of receipts."}, **_READ},
)
def list_holder_receipts(
    holder: HolderOf, service: ServiceOf, cursor: Cursor = None, limit: Limit = 20
) -> HolderReceiptPage:
    """Receipts of every presentation, withdrawal and renewal of the proven key, newest first."""
    held = service.holders.load_receipts(_holdings_of(service, holder), below=cursor, limit=limit + 1)
    page, next_cursor = _page(held, limit)
    return HolderReceiptPage(receipts=[_receipt(each) for each in page], next_cursor=next_cursor)


@router.get(
    "/receipts/{receipt_id}",
    operation_id="readHolderReceipt",
    summary="Read one's own consent receipt with its proof",
    response_model=ReceiptDocument,
    responses={200: {"description": "The receipt."}, **_READ_ONE},
)
def read_holder_receipt(receipt_id: ReceiptId, holder: HolderOf, service: ServiceOf) -> ReceiptDocument:
    """One receipt, and the proof of the log entry that commits to it, once a checkpoint covers that."""
    held = service.holders.load_receipt(_holdings_of(service, holder), receipt_id)
    if held is None:
        raise NotFound
    if held.jws is None:
        raise SubjectKeyDestroyed
    return ReceiptDocument(v=1, receipt=held.jws, log=LogView.model_validate(load_log(service, held.opened)))


@router.get(
    "/requests",
    operation_id="listHolderRequests",
    summary="See who asked",
    response_model=HolderRequestPage,
    responses={200: {"description": "A page of requests."}, **_READ},
)
def list_holder_requests(
    holder: HolderOf, service: ServiceOf, cursor: Cursor = None, limit: Limit = 20
) -> HolderRequestPage:
    """Requests that the proven key answered, newest first."""
    held = service.holders.load_requests(_holdings_of(service, holder), below=cursor, limit=limit + 1)
    page, next_cursor = _page(held, limit)
    return HolderRequestPage(requests=[_request(each) for each in page], next_cursor=next_cursor)


@router.get(
    "/consents",
    operation_id="listHolderConsents",
    summary="List one's own consents",
    response_model=ConsentList,
    responses={200: {"description": "Every consent."}, **problem_responses(401, 503)},
)
def list_holder_consents(holder: HolderOf, service: ServiceOf) -> ConsentList:
    """What the proven key allows whom: one consent for each lender and purpose."""
    stored = service.rooms.consents.load_consents(_subjects_of(service, holder))
    return ConsentList(consents=[_consent(each) for each in stored])


@router.post(
    "/consents/{consent_id}/withdrawal",
    operation_id="withdrawConsent",
    summary="Withdraw a consent",
    response_model=ConsentChange,
    responses={200: {"description": "It is withdrawn."}, **_READ_ONE},
)
def withdraw_consent(consent_id: ConsentId, holder: HolderOf, service: ServiceOf) -> ConsentChange:
    """From now on no presentation for this purpose is scored for this lender; what was scored before stays.

    Doing it again changes nothing.
    """
    return _change(service, holder, consent_id, withdraws=True)


@router.post(
    "/consents/{consent_id}/renewal",
    operation_id="renewConsent",
    summary="Give a withdrawn consent again",
    response_model=ConsentChange,
    responses={200: {"description": "It is given."}, **_READ_ONE},
)
def renew_consent(consent_id: ConsentId, holder: HolderOf, service: ServiceOf) -> ConsentChange:
    """Presentations for this purpose are scored again; doing it again changes nothing."""
    return _change(service, holder, consent_id, withdraws=False)


def _change(service: Service, holder: HolderOf, consent_id: str, *, withdraws: bool) -> ConsentChange:
    now_ms = service.clock()
    subject_ids = _subjects_of(service, holder)
    consent = service.rooms.consents.load_consent(subject_ids, consent_id)
    if consent is None:
        raise NotFound
    if (consent.withdrawn_at_ms is not None) != withdraws:
        receipt = service.rooms.receipts.sign_changed(consent, withdraws=withdraws, now_ms=now_ms)
        # Entry, consent and receipt become durable together; who came first of two is for the sequencer to see.
        service.rooms.sequencer.append(
            AppendConsentChange(
                tenant_id=consent.tenant_id,
                subject_id=consent.subject_id,
                subject_key=service.rooms.subjects.load_key(consent.tenant_id, consent.subject_id),
                purpose=consent.purpose,
                withdraws=withdraws,
                receipt_id=receipt.id,
                at_ms=now_ms,
                body={"consent_id": consent.id, "receipt_sha256": receipt.sha256},
                answer={"receipt": receipt.jws},
            )
        )
        consent = service.rooms.consents.load_consent(subject_ids, consent_id)
        assert consent is not None
    newest = service.holders.load_newest_receipt(consent.id)
    return ConsentChange(consent=_consent(consent), receipt=None if newest is None else newest.jws)


def _holdings_of(service: Service, holder: HolderOf) -> Holdings:
    return Holdings(
        subject_ids=_subjects_of(service, holder),
        copied_score_id=service.issuance.offers.load_copied_score(holder.thumbprint),
    )


def _subjects_of(service: Service, holder: HolderOf) -> list[str]:
    return service.rooms.subjects.load_subject_ids(holder.thumbprint)


def _page(held: list[Held], limit: int) -> tuple[list[Held], int | None]:
    page = held[:limit]
    return page, page[-1].opened.log_index if len(held) > limit else None


def _score(held: HeldScore) -> HolderScore:
    members: dict[str, Any] = (held.opened.answer or {}).get("members", {})
    return HolderScore(
        id=held.id,
        lender=held.lender,
        purpose=held.purpose,
        request_id=held.request_id,
        created_at=format_time(held.opened.at_ms),
        valid_until=format_time(held.valid_until_ms),
        status=_STATUSES[held.status],
        outcome=members.get("outcome"),
        points=members.get("points"),
        band=members.get("band"),
        reasons=members.get("reasons"),
    )


def _receipt(held: HeldReceipt) -> HolderReceipt:
    return HolderReceipt(
        id=held.id,
        consent_id=held.consent_id,
        lender=held.lender,
        purpose=held.purpose,
        at=format_time(held.opened.at_ms),
        receipt=held.jws,
        log_index=held.opened.log_index,
    )


def _request(held: HeldRequest) -> HolderRequest:
    return HolderRequest(
        lender=held.lender,
        at=format_time(held.opened.at_ms),
        outcome="accepted" if held.opened.type == "score" else "refused",
        request_id=held.request_id,
        purpose=held.purpose,
        refusal=held.refusal,
        score_id=held.score_id,
    )


def _consent(stored: StoredConsent) -> ConsentView:
    return ConsentView(
        id=stored.id,
        lender=stored.lender,
        purpose=stored.purpose,
        state="given" if stored.withdrawn_at_ms is None else "withdrawn",
        given_at=format_time(stored.given_at_ms),
        withdrawn_at=None if stored.withdrawn_at_ms is None else format_time(stored.withdrawn_at_ms),
    )
