"""assess(): the whole way of one request, from a presentation to a durable score."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import rfc8785

from api.receipts import Receipts
from api.score_document import score_members
from api.store.appends import AlreadyAnswered, AppendRefusal, AppendScore
from api.store.consents import ConsentStore, ConsentWithdrawn
from api.store.idempotency import Idempotency
from api.store.requests import Refusal, RequestStore, StoredRequest, fingerprint_presentation
from api.store.sequencer import MAX_REFUSALS_PER_REQUEST, Sequencer
from api.store.status import StatusStore
from api.store.subjects import NO_SUBJECT, Subject, SubjectStore
from api.store.trust import TrustStore
from identity.errors import IdentityError
from identity.keys import SigningKey
from identity.presentation import Presentation, Submitted, submit
from identity.score_credential import issue_score_credential
from identity.status_list import StatusReference
from identity.verifier import VerifiedPresentation, Verifier
from scoring.artifact import AnyArtifact
from scoring.errors import ScoringError
from scoring.features import ClaimSet, extract_features

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """What one assessment walks through."""

    verifier: Verifier
    artifact: AnyArtifact
    attest_key: SigningKey = field(repr=False)
    trust: TrustStore
    requests: RequestStore
    subjects: SubjectStore
    consents: ConsentStore
    receipts: Receipts
    statuses: StatusStore
    sequencer: Sequencer
    mac_key: bytes = field(repr=False)
    status_list_prefix: str
    score_valid_days: int


def assess(
    rooms: Rooms,
    asked: StoredRequest,
    vp_token: Mapping[str, Sequence[Presentation]],
    *,
    idempotency: Idempotency | None,
    now_ms: int,
) -> str:
    """Verify a presentation, score it, sign the score and make it durable; returns the score's id.

    The very same presentation again gets the id of the score that it got before. Raises what the rooms raise; a refused
    presentation of a live request is an entry of the log, with its reason and nothing of what was submitted.
    """
    presentation_mac = fingerprint_presentation(
        rooms.mac_key, asked.tenant_id, rfc8785.dumps({name: list(each) for name, each in vp_token.items()})
    )
    # What was answered already, or is over, needs no verifying; whether it still is decides the sequencer.
    submit(asked.state, presentation_mac, now_ms)
    if isinstance(asked.state, Submitted):
        assert asked.score_id is not None
        rooms.consents.verify_score_not_withdrawn(asked.score_id)
        rooms.requests.append_idempotency(asked.tenant_id, idempotency, asked.score_id, now_ms)
        return asked.score_id

    subject: Subject | None = None
    try:
        trusted = rooms.trust.load_trusted(asked.tenant_id).narrowed_to(asked.request.accepted_issuers)
        presentation = rooms.verifier.verify(vp_token, asked.request, trusted, now_ms)
        # Every presented key counts for a consent that was withdrawn; the first one's holder is the one who is scored.
        people = [
            rooms.subjects.load_subject(tenant_id=asked.tenant_id, holder_thumbprint=holder.thumbprint)
            for holder in presentation.holders
        ]
        subject, known = people[0], [person.id for person in people if person is not None]
        rooms.consents.verify_not_withdrawn(known, asked.request.purpose)
        features = extract_features(rooms.artifact.model.schema, _claims_by_type(presentation), now_ms)
    except (IdentityError, ScoringError, ConsentWithdrawn) as refused:
        # What time alone may heal, such as a status list that cannot be read, is no refusal of the presentation.
        if not (isinstance(refused, IdentityError) and refused.retriable):
            record_refusal(rooms, asked, refusal_of(refused, now_ms), now_ms, subject=subject)
        raise
    score = rooms.artifact.model.score(features)

    score_id = "sco_" + secrets.token_hex(16)
    issued_at_ms = now_ms // 1000 * 1000
    valid_until_ms = issued_at_ms + rooms.score_valid_days * DAY_MS
    if subject is None:
        subject = rooms.subjects.append_subject(
            tenant_id=asked.tenant_id, holder_thumbprint=presentation.holder.thumbprint, now_ms=now_ms
        )
    status = rooms.statuses.allot(asked.tenant_id, now_ms)
    members = score_members(
        score_id=score_id,
        request_id=asked.request.id,
        purpose=asked.request.purpose,
        score=score,
        artifact=rooms.artifact,
    )
    issued = issue_score_credential(
        score={name: value for name, value in members.items() if value is not None},
        holder=presentation.holder,
        subject=subject.id,
        status=StatusReference(uri=rooms.status_list_prefix + status.list_id, index=status.index),
        issued_at_ms=issued_at_ms,
        valid_until_ms=valid_until_ms,
        key=rooms.attest_key,
    )
    receipt = rooms.receipts.sign_given(
        tenant_id=asked.tenant_id,
        subject_id=subject.id,
        purpose=asked.request.purpose,
        credentials=presentation.credentials,
        request_id=asked.request.id,
        score_id=score_id,
        valid_days=rooms.score_valid_days,
        now_ms=now_ms,
    )
    try:
        outcome = rooms.sequencer.append(
            AppendScore(
                tenant_id=asked.tenant_id,
                request_id=asked.request.id,
                purpose=asked.request.purpose,
                receipt_id=receipt.id,
                presentation_mac=presentation_mac,
                at_ms=now_ms,
                score_id=score_id,
                subject_id=subject.id,
                subject_key=subject.key,
                presented_subject_ids=known,
                status_list_id=status.list_id,
                status_index=status.index,
                valid_until_ms=valid_until_ms,
                body={
                    "score_id": score_id,
                    "request_id": asked.request.id,
                    "model_sha256": rooms.artifact.digest.hex(),
                    "jwt_sha256": issued.issuer_jwt_sha256.hex(),
                    "receipt_sha256": receipt.sha256,
                },
                answer={
                    "members": members,
                    "credential": issued.sd_jwt,
                    "issued_at_ms": issued_at_ms,
                    "valid_until_ms": valid_until_ms,
                    "status_uri": rooms.status_list_prefix + status.list_id,
                    "status_index": status.index,
                    "receipt": receipt.jws,
                },
                idempotency=idempotency,
            )
        )
    except ConsentWithdrawn as refused:  # while this was being scored
        record_refusal(rooms, asked, refusal_of(refused, now_ms), now_ms, subject=subject)
        raise
    return outcome.score_id if isinstance(outcome, AlreadyAnswered) else score_id


def refusal_of(refused: IdentityError | ScoringError | ConsentWithdrawn, now_ms: int) -> Refusal:
    """What a refusal tells the lender; a claim that the model cannot read was verified before."""
    if isinstance(refused, IdentityError):
        return Refusal(
            code=refused.code, detail=str(refused), step=refused.step, query_id=refused.query_id, at_ms=now_ms
        )
    step = "consent" if isinstance(refused, ConsentWithdrawn) else "scoring"
    return Refusal(code=refused.code, detail=str(refused), step=step, at_ms=now_ms)


def record_refusal(
    rooms: Rooms, asked: StoredRequest, refusal: Refusal, now_ms: int, *, subject: Subject | None = None
) -> None:
    """Append why a presentation of a live request was refused, or that the wallet declined.

    It is an entry of `subject`, where the presentation proved the key of somebody whom the tenant knows.
    """
    if asked.refusals >= MAX_REFUSALS_PER_REQUEST:
        return  # the sequencer would record no more, and asking it takes the one writer's time
    rooms.sequencer.append(
        AppendRefusal(
            tenant_id=asked.tenant_id,
            request_id=asked.request.id,
            at_ms=now_ms,
            refusal=refusal,
            subject_id=None if subject is None else subject.id,
            key=rooms.subjects.load_key(asked.tenant_id, NO_SUBJECT) if subject is None else subject.key,
        )
    )


def _claims_by_type(presentation: VerifiedPresentation) -> dict[str, list[ClaimSet]]:
    """The claims as the scoring room takes them: plain values by credential type."""
    claims: dict[str, list[ClaimSet]] = {}
    for credential in presentation.credentials:
        claims.setdefault(credential.vct, []).append(
            ClaimSet(issued_at_ms=credential.issued_at_ms, claims=credential.claims)
        )
    return claims
