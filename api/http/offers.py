"""Credential offers: an institution without an issuer of its own gives out credentials, a lender copies of a score."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clock import format_time
from api.http.auth import Issuer, Lender, ServiceOf
from api.http.dcql import Strict
from api.http.errors import problem_response, problem_responses
from api.http.qr import qr_response
from api.http.scores import ScoreId
from api.http.service import Service
from api.http.strict import StrictRoute
from api.http.wire import WHOLE, CredentialTypeName, Timestamp, location
from api.issuance import credential_issuer_of, offer_claims, offer_score
from api.problems import NotFound, problem_of
from api.store.offer_errors import OfferOver, PreAuthorizedCodeInvalid
from api.store.offers import MadeOffer, StoredOffer
from identity.errors import ClaimsDoNotFit
from identity.openid4vci import MAX_TX_CODE_CHARS, build_credential_offer, offer_link

router = APIRouter(prefix="/v1", tags=["credential offers"], route_class=StrictRoute)

TX_CODE_LENGTH = 6
_MIN_TX_CODE_CHARS = 4
_DAY_S = 86_400
OfferId = Annotated[str, Path(pattern=r"^off_[0-9a-f]{32}$", description="The id of a credential offer.")]


class TransactionCode(Strict):
    """A second code, of digits, that reaches the holder another way than the offer."""

    length: Annotated[int, WHOLE] = Field(
        ge=_MIN_TX_CODE_CHARS, le=MAX_TX_CODE_CHARS, description="How many digits it has."
    )


class OfferTerms(Strict):
    """How an offer may be taken."""

    tx_code: bool | TransactionCode = Field(
        default=False, description="Whether a transaction code is needed: true for one of six digits."
    )
    expires_in_s: Annotated[int, WHOLE] = Field(
        default=7 * _DAY_S, ge=60, le=30 * _DAY_S, description="Seconds that the offer waits for a wallet."
    )

    @property
    def tx_code_length(self) -> int | None:
        """How many digits, None where there is no code."""
        if isinstance(self.tx_code, bool):
            return TX_CODE_LENGTH if self.tx_code else None
        return self.tx_code.length


class NewScoreOffer(OfferTerms):
    """An offer of copies of a score, each for one use."""


class NewCredentialOffer(OfferTerms):
    """An offer of one credential, signed with the key that this service keeps for the tenant."""

    type: CredentialTypeName = Field(description="The credential type.")
    claims: dict[str, Any] = Field(description="All claims of the type: a credential is issued whole or not at all.")
    valid_days: Annotated[int, WHOLE] = Field(
        default=365, ge=1, le=3650, description="Days that the credential is valid, from when it is issued."
    )


class CreatedOffer(BaseModel):
    """An offer just made. Send the link or the code one way, and the transaction code another."""

    id: str = Field(description="`GET /v1/credential-offers/{id}` says what became of it.")
    offer_link: str = Field(description="Opens a wallet; for a link or a QR code.")
    offer_uri: str = Field(description="Where the wallet fetches the offer.", json_schema_extra={"format": "uri"})
    qr_uri: str = Field(description="The link as a QR code, in SVG.", json_schema_extra={"format": "uri"})
    tx_code: str | None = Field(description="Shown this once; null where none is needed.")
    expires_at: Timestamp = Field(description="Until when a wallet may take it.")


class OfferView(BaseModel):
    """What became of an offer."""

    model_config = ConfigDict(title="CredentialOffer")

    id: str = Field(description="The id of the offer.")
    type: str = Field(description="What is offered: a credential type, or `urn:credence:score:1`.")
    state: Literal["offered", "redeemed", "issued", "expired", "revoked"] = Field(
        description="`redeemed`: a wallet has exchanged the code, and has yet to prove its keys."
    )
    revoked_for: Literal["issuer", "tx_code", "code_reused"] | None = Field(
        description="Who or what ended it: the issuer, five wrong transaction codes, or a code that came twice."
    )
    score_id: str | None = Field(description="The score of which it offers copies.")
    credential_ids: list[str] = Field(description="The credentials that it was issued as, by which they are revoked.")
    created_at: Timestamp
    expires_at: Timestamp = Field(description="Until when a wallet may take it.")
    issued_at: Timestamp | None = Field(description="When its credentials were issued.")


class OwnIssuer(BaseModel):
    """The issuer that this service is for the tenant."""

    credential_issuer: str = Field(
        description="The credential issuer identifier (OpenID4VCI).", json_schema_extra={"format": "uri"}
    )
    did: str = Field(description="Who signs the credentials: what a lender has to trust.")


class OfferDocument(BaseModel):
    """A credential offer (OpenID4VCI 1.0, section 4.1.1)."""

    credential_issuer: str = Field(description="The credential issuer identifier.")
    credential_configuration_ids: list[str] = Field(description="What is offered.")
    grants: dict[str, Any] = Field(description="The pre-authorized code, and whether a transaction code is needed.")


@router.get(
    "/issuer",
    operation_id="readOwnIssuer",
    summary="Read who issues for the tenant",
    response_model=OwnIssuer,
    responses={200: {"description": "The tenant's issuer."}, **problem_responses(401, 403, 503)},
)
def read_own_issuer(caller: Issuer, service: ServiceOf) -> OwnIssuer:
    """The DID that lenders have to trust; its key is made when it is first asked for."""
    key = service.issuance.issuer_keys.load_or_append_key(caller.tenant_id, service.clock())
    return OwnIssuer(credential_issuer=credential_issuer_of(service.issuance, caller.tenant_id), did=key.did)


@router.post(
    "/credential-offers",
    status_code=201,
    operation_id="createCredentialOffer",
    summary="Offer a credential",
    response_model=CreatedOffer,
    responses={
        201: {"description": "The offer.", "headers": location("The offer.")},
        **problem_responses(400, 401, 403, 413, 415, 422, 503),
    },
)
def create_credential_offer(
    body: NewCredentialOffer, caller: Issuer, service: ServiceOf, response: Response
) -> CreatedOffer | Response:
    """Offer a credential of one of our types; its claims are sealed, and erased once it is issued or over."""
    now_ms = service.clock()
    try:
        (made,) = offer_claims(
            service.issuance.offers,
            service.issuance.issuer_keys,
            caller.tenant_id,
            service.issuance.types[body.type],
            [body.claims],
            tx_code_length=body.tx_code_length,
            expires_at_ms=now_ms + body.expires_in_s * 1000,
            valid_days=body.valid_days,
            now_ms=now_ms,
        )
    except ClaimsDoNotFit as misfit:
        problem = problem_of(misfit)
        return problem_response(problem, [{"pointer": f"/claims{misfit.pointer}", "code": problem.code}])
    response.headers["Location"] = f"/v1/credential-offers/{made.id}"
    return _created(service, made)


@router.get(
    "/credential-offers/{offer_id}",
    operation_id="readCredentialOffer",
    summary="Read what became of an offer",
    response_model=OfferView,
    responses={200: {"description": "The offer."}, **problem_responses(401, 403, 404, 422, 503)},
)
def read_credential_offer(offer_id: OfferId, caller: Issuer, service: ServiceOf) -> OfferView:
    """Read an offer of one's own; its claims are not shown again."""
    return _view(service, _load(service, offer_id, caller.tenant_id))


@router.delete(
    "/credential-offers/{offer_id}",
    operation_id="revokeCredentialOffer",
    summary="Take an offer back",
    response_model=OfferView,
    responses={200: {"description": "The offer, revoked."}, **problem_responses(401, 403, 404, 409, 422, 503)},
)
def revoke_credential_offer(offer_id: OfferId, caller: Issuer, service: ServiceOf) -> OfferView:
    """Take an offer back before it is issued, and erase its claims; what was issued is revoked by its own id."""
    revoked = service.issuance.offers.revoke(caller.tenant_id, offer_id, service.clock())
    if revoked is None:
        raise NotFound
    return _view(service, revoked)


@router.get(
    "/credential-offers/{offer_id}/offer",
    operation_id="readOfferDocument",
    summary="Fetch an offer, as a wallet",
    response_model=OfferDocument,
    responses={
        200: {"description": "The offer, with its pre-authorized code."},
        **problem_responses(404, 409, 422, 503),
    },
)
def read_offer_document(offer_id: OfferId, service: ServiceOf, response: Response) -> dict[str, Any]:
    """Fetch an offer by reference (OpenID4VCI 1.0, section 4.1.3), until a wallet takes it; its id is the secret."""
    stored = _load(service, offer_id, None)
    try:
        code = service.issuance.offers.load_code(stored)
    except PreAuthorizedCodeInvalid:
        raise OfferOver from None
    response.headers["Cache-Control"] = "no-store"
    return build_credential_offer(
        credential_issuer=credential_issuer_of(service.issuance, stored.tenant_id),
        configuration_id=stored.configuration_id,
        code=code,
        tx_code_length=stored.tx_code_length,
    )


@router.get(
    "/credential-offers/{offer_id}/qr",
    operation_id="readOfferQr",
    summary="Show an offer as a QR code",
    response_class=Response,
    responses={
        200: {
            "description": "The offer link as a QR code, for a page that a wallet on another device scans.",
            "content": {"image/svg+xml": {"schema": {"type": "string"}}},
        },
        **problem_responses(404, 422, 503),
    },
)
def read_offer_qr(offer_id: OfferId, service: ServiceOf) -> Response:
    """Draw the link that opens a wallet; whoever knows the id of an offer may fetch the offer anyway."""
    return qr_response(offer_link(_offer_uri(service, _load(service, offer_id, None).id)), "Credential offer")


@router.post(
    "/scores/{score_id}/offers",
    status_code=201,
    operation_id="createScoreOffer",
    summary="Offer copies of a score to the applicant",
    response_model=CreatedOffer,
    responses={
        201: {"description": "The offer.", "headers": location("The offer.")},
        **problem_responses(400, 401, 403, 404, 409, 410, 413, 415, 422, 503),
    },
)
def create_score_offer(
    body: NewScoreOffer, score_id: ScoreId, caller: Lender, service: ServiceOf, response: Response
) -> CreatedOffer:
    """Offer single-use copies of a score of one's own: each has a key, salts, a status and a log entry of its own."""
    now_ms = service.clock()
    made = offer_score(
        service.issuance,
        caller.tenant_id,
        score_id,
        tx_code_length=body.tx_code_length,
        expires_at_ms=now_ms + body.expires_in_s * 1000,
        now_ms=now_ms,
    )
    if made is None:
        raise NotFound
    response.headers["Location"] = f"/v1/scores/{score_id}/offers/{made.id}"
    return _created(service, made)


@router.get(
    "/scores/{score_id}/offers/{offer_id}",
    operation_id="readScoreOffer",
    summary="Read what became of an offer of a score",
    response_model=OfferView,
    responses={200: {"description": "The offer."}, **problem_responses(401, 403, 404, 422, 503)},
)
def read_score_offer(score_id: ScoreId, offer_id: OfferId, caller: Lender, service: ServiceOf) -> OfferView:
    """Read an offer of copies of a score of one's own."""
    stored = _load(service, offer_id, caller.tenant_id)
    if stored.score_id != score_id:
        raise NotFound
    return _view(service, stored)


def _load(service: Service, offer_id: str, tenant_id: str | None) -> StoredOffer:
    stored = service.issuance.offers.load_offer(offer_id, tenant_id=tenant_id, now_ms=service.clock())
    if stored is None:
        raise NotFound
    return stored


def _offer_uri(service: Service, offer_id: str) -> str:
    return f"{service.base_url}/v1/credential-offers/{offer_id}/offer"


def _created(service: Service, made: MadeOffer) -> CreatedOffer:
    offer_uri = _offer_uri(service, made.id)
    return CreatedOffer(
        id=made.id,
        offer_link=offer_link(offer_uri),
        offer_uri=offer_uri,
        qr_uri=f"{service.base_url}/v1/credential-offers/{made.id}/qr",
        tx_code=made.tx_code,
        expires_at=format_time(made.expires_at_ms),
    )


def _view(service: Service, stored: StoredOffer) -> OfferView:
    issued = service.issuance.offers.load_credential_ids(stored.id) if stored.issued_at_ms is not None else []
    return OfferView.model_validate(
        {
            "id": stored.id,
            "type": stored.vct,
            "state": stored.state,
            "revoked_for": stored.revoked_for,
            "score_id": stored.score_id,
            "credential_ids": issued,
            "created_at": format_time(stored.created_at_ms),
            "expires_at": format_time(stored.expires_at_ms),
            "issued_at": None if stored.issued_at_ms is None else format_time(stored.issued_at_ms),
        }
    )
