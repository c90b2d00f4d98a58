"""Presentation requests as rows, and the types that say what may still become of one."""

import base64
import hmac
import json
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.store.database import read_transaction, write_transaction
from api.store.idempotency import Idempotency, load_idempotency
from api.store.tables import idempotency_keys, presentation_refusals, presentation_requests
from identity.dcql import parse_dcql_query
from identity.encoding import parse_json
from identity.presentation import (
    PresentationRequest,
    Requested,
    RequestState,
    Retrieved,
    Submitted,
    at_time,
    retrieve,
)

RequestUriMethod = Literal["get", "post"]
"""How the link asks a wallet to fetch the request object (OpenID4VP 1.0, section 5.10)."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a presentation was refused: a stable code, words for people, and where; nothing of what was submitted."""

    code: str
    detail: str
    step: str | None = None
    query_id: str | None = None
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class StoredRequest:
    """A presentation request of a tenant, its state, and what a poll should say about refused presentations.

    `redirect_uri` is the lender's page to which the wallet sends the applicant on; `retrieved_at_ms` stays when the
    request expires.
    """

    tenant_id: str
    state: RequestState
    request_uri_method: RequestUriMethod
    redirect_uri: str | None
    retrieved_at_ms: int | None
    score_id: str | None
    refusals: int
    last_refusal: str | None

    @property
    def request(self) -> PresentationRequest:
        """What was asked."""
        return self.state.request


class RequestStore:
    """Loads and stores presentation requests; the response address is the service's own.

    `audience` is the client identifier of requests from before each had one of its own.
    """

    def __init__(self, *, engine: Engine, audience: str, base_url: str) -> None:
        self._engine = engine
        self._audience = audience
        self._base_url = base_url

    def response_uri(self, request_id: str) -> str:
        """Where a wallet posts its answer."""
        return f"{self._base_url}/v1/presentation-requests/{request_id}/response"

    def append_request(
        self,
        tenant_id: str,
        request: PresentationRequest,
        query_json: str,
        *,
        request_uri_method: RequestUriMethod = "get",
        redirect_uri: str | None = None,
        idempotency: Idempotency | None,
    ) -> str:
        """Store a new request; returns its id, or that of the request which the same Idempotency-Key made before.

        Raises `IdempotencyKeyReused`.
        """
        try:
            with write_transaction(self._engine) as transaction:
                made = load_idempotency(transaction, tenant_id, idempotency)
                if made is not None:
                    return made
                transaction.execute(
                    insert(presentation_requests).values(
                        _request_row(tenant_id, request, query_json)
                        | {"request_uri_method": request_uri_method, "redirect_uri": redirect_uri}
                    )
                )
                if idempotency is not None:
                    transaction.execute(
                        insert(idempotency_keys).values(
                            idempotency.to_row(tenant_id, request.id, request.created_at_ms)
                        )
                    )
        except IntegrityError:
            # On PostgreSQL the same key may have come twice at once; then the other one made the request.
            made = self.load_idempotent(tenant_id, idempotency)
            if made is None:
                raise
            return made
        return request.id

    def append_idempotency(
        self, tenant_id: str, idempotency: Idempotency | None, resource_id: str, now_ms: int
    ) -> None:
        """Remember an Idempotency-Key for a resource that was made before it came; raises `IdempotencyKeyReused`."""
        if idempotency is None or self.load_idempotent(tenant_id, idempotency) is not None:
            return
        try:
            with write_transaction(self._engine) as transaction:
                transaction.execute(insert(idempotency_keys).values(idempotency.to_row(tenant_id, resource_id, now_ms)))
        except IntegrityError:
            self.load_idempotent(tenant_id, idempotency)  # The same key came twice at once: with the same request?

    def load_idempotent(self, tenant_id: str, idempotency: Idempotency | None) -> str | None:
        """The resource that an Idempotency-Key made before; raises `IdempotencyKeyReused`."""
        with read_transaction(self._engine) as transaction:
            return load_idempotency(transaction, tenant_id, idempotency)

    def load_request(self, request_id: str, *, tenant_id: str | None, now_ms: int) -> StoredRequest | None:
        """The request as it stands now; `tenant_id` None is the wallet's view, who knows no tenant."""
        with read_transaction(self._engine) as transaction:
            return self.load_request_in(transaction, request_id, tenant_id=tenant_id, now_ms=now_ms)

    def load_request_in(
        self, transaction: Connection, request_id: str, *, tenant_id: str | None, now_ms: int
    ) -> StoredRequest | None:
        """The same inside a transaction."""
        statement = select(presentation_requests).where(presentation_requests.c.id == request_id)
        if tenant_id is not None:
            statement = statement.where(presentation_requests.c.tenant_id == tenant_id)
        row = transaction.execute(statement).one_or_none()
        return None if row is None else self._stored(row, now_ms)

    def load_refusals(self, request_id: str, *, tenant_id: str) -> tuple[Refusal, ...]:
        """The refusals of a tenant's request, as far as they were recorded, oldest first."""
        with read_transaction(self._engine) as transaction:
            rows = transaction.execute(
                select(presentation_refusals)
                .where(presentation_refusals.c.request_id == request_id, presentation_refusals.c.tenant_id == tenant_id)
                .order_by(presentation_refusals.c.number)
            ).all()
        return tuple(
            Refusal(code=row.code, detail=row.detail, step=row.step, query_id=row.query_id, at_ms=row.at_ms)
            for row in rows
        )

    def record_retrieval(self, request_id: str, now_ms: int) -> StoredRequest | None:
        """Note that a wallet fetched the request object; raises RequestExpired or NonceUsed."""
        stored = self.load_request(request_id, tenant_id=None, now_ms=now_ms)
        if stored is None:
            return None
        retrieved = retrieve(stored.state, now_ms)
        if isinstance(stored.state, Requested):
            with write_transaction(self._engine) as transaction:
                transaction.execute(
                    update(presentation_requests)
                    .where(presentation_requests.c.id == request_id, presentation_requests.c.status == "requested")
                    .values(status="retrieved", retrieved_at_ms=retrieved.retrieved_at_ms)
                )
        return stored

    def _stored(self, row: Row[tuple[object, ...]], now_ms: int) -> StoredRequest:
        request = PresentationRequest(
            id=row.id,
            nonce=row.nonce,
            state=row.state,
            audience=row.client_id or self._audience,
            response_uri=self.response_uri(row.id),
            query=parse_dcql_query(parse_json(row.query)),
            purpose=row.purpose,
            created_at_ms=row.created_at_ms,
            expires_at_ms=row.expires_at_ms,
            holder_policy=row.holder_policy,
            response_mode=row.response_mode,
            accepted_issuers=None
            if row.accepted_issuers is None
            else frozenset((did, vct) for did, vct in json.loads(row.accepted_issuers)),
        )
        state: RequestState
        match row.status:
            case "submitted":
                state = Submitted(
                    request=request, submitted_at_ms=row.submitted_at_ms, fingerprint=row.presentation_mac
                )
            case "retrieved":
                state = Retrieved(request=request, retrieved_at_ms=row.retrieved_at_ms)
            case _:
                state = Requested(request=request)
        return StoredRequest(
            tenant_id=row.tenant_id,
            state=at_time(state, now_ms),
            request_uri_method=row.request_uri_method,
            redirect_uri=row.redirect_uri,
            retrieved_at_ms=row.retrieved_at_ms,
            score_id=row.score_id,
            refusals=row.refusals,
            last_refusal=row.last_refusal,
        )


def _request_row(tenant_id: str, request: PresentationRequest, query_json: str) -> dict[str, Any]:
    accepted = request.accepted_issuers
    return {
        "id": request.id,
        "tenant_id": tenant_id,
        "nonce": request.nonce,
        "state": request.state,
        "purpose": request.purpose,
        "query": query_json,
        "holder_policy": request.holder_policy,
        "client_id": request.audience,
        "response_mode": request.response_mode,
        "accepted_issuers": None if accepted is None else json.dumps(sorted(accepted)),
        "status": "requested",
        "created_at_ms": request.created_at_ms,
        "expires_at_ms": request.expires_at_ms,
        "refusals": 0,
    }


def fingerprint_presentation(mac_key: bytes, tenant_id: str, presentation: bytes) -> bytes:
    """The keyed MAC by which the same presentation is known again without being kept."""
    return hmac.digest(mac_key, b"presentation\0" + tenant_id.encode() + b"\0" + presentation, "sha256")


def response_code_of(mac_key: bytes, stored: StoredRequest) -> str | None:
    """What ties the applicant's browser to the answer that was accepted (OpenID4VP 1.0, section 13.3).

    A keyed MAC of the request and the presentation that took it: nobody can know it before, another presentation would
    have another, and the very same one gets the same again, so that there is nothing to store. None before, and where
    the lender named no page to send the applicant to.
    """
    if stored.redirect_uri is None or not isinstance(stored.state, Submitted):
        return None
    code = hmac.digest(mac_key, b"response-code\0" + stored.request.id.encode() + stored.state.fingerprint, "sha256")
    return base64.urlsafe_b64encode(code).rstrip(b"=").decode()
