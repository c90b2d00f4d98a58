"""Issuing over OpenID4VCI: what a tenant offers, and the whole way of one credential request."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from api.assess import DAY_MS
from api.store.appends import AppendCredentials, AppendedCredentials
from api.store.database import StoreError
from api.store.issuer_keys import IssuerKeyStore
from api.store.nonces import NonceStore
from api.store.offer_errors import HolderKeyUsedBefore, ScoreOver
from api.store.offers import IssuedRow, MadeOffer, NewOffer, OfferStore, StoredOffer
from api.store.scores import OpenedEntry, ScoreStore
from api.store.sequencer import Sequencer
from api.store.status import AllottedStatus, StatusStore
from api.store.subjects import NO_SUBJECT, SubjectKeyDestroyed, SubjectStore
from identity.credential_types.types import CredentialType
from identity.encoding import JsonObject
from identity.issuance import issue_credential
from identity.key_proof import verify_key_proofs
from identity.keys import PublicKey, SigningKey
from identity.openid4vci import (
    ClaimDescription,
    CredentialRequest,
    build_credential_configuration,
    describe_claims,
)
from identity.score_credential import SCORE_VCT, issue_score_credential
from identity.sd_jwt import issuer_jwt_of
from identity.status_list import StatusReference

SCORE_CONFIGURATION = "score"
#: The claims of a score credential, whether each score has them, and what a wallet calls them.
_SCORE_CLAIMS = (
    ClaimDescription(name="outcome", text="Whether there is a score", mandatory=True),
    ClaimDescription(name="points", text="Points", mandatory=False),
    ClaimDescription(name="scale", text="What points run from and to", mandatory=True),
    ClaimDescription(name="band", text="Band", mandatory=False),
    ClaimDescription(name="pd_ppm", text="Probability of default, in millionths", mandatory=False),
    ClaimDescription(name="interval", text="Where the points would be, had more been known", mandatory=False),
    ClaimDescription(name="reasons", text="Reasons", mandatory=True),
    ClaimDescription(name="coverage", text="How much was looked at", mandatory=True),
    ClaimDescription(name="model", text="The model that scored", mandatory=True),
    ClaimDescription(name="privacy", text="What the model's training spent of privacy", mandatory=True),
    ClaimDescription(name="purpose", text="What the score was asked for", mandatory=True),
    ClaimDescription(name="id", text="The score's id, which is the same in every copy", mandatory=True),
    ClaimDescription(name="request_id", text="The request's id, which is the same in every copy", mandatory=True),
    ClaimDescription(name="supersedes", text="The score that it corrects", mandatory=False),
    ClaimDescription(name="test_mode", text="Whether it is for tests only", mandatory=True),
)


@dataclass(frozen=True, kw_only=True)
class IssuanceRooms:
    """What offering and issuing walk through."""

    offers: OfferStore
    issuer_keys: IssuerKeyStore
    nonces: NonceStore
    scores: ScoreStore
    statuses: StatusStore
    subjects: SubjectStore
    sequencer: Sequencer
    types: Mapping[str, CredentialType]
    attest_key: SigningKey = field(repr=False)
    base_url: str
    status_list_prefix: str


@dataclass(frozen=True, kw_only=True)
class IssuedCopy:
    """One issued credential, and what proves that it was logged: the place, the entry, and the salt that opens it."""

    credential: str
    log_index: int
    entry: bytes
    salt: bytes


@dataclass(frozen=True, kw_only=True)
class _Signed:
    """A signed credential that is not durable yet."""

    sd_jwt: str
    status: AllottedStatus
    expires_at_ms: int
    holder_mac: bytes | None


def credential_issuer_of(rooms: IssuanceRooms, tenant_id: str) -> str:
    """The credential issuer identifier of a tenant; its id is random, and says nothing of who it is."""
    return f"{rooms.base_url}/v1/issuers/{tenant_id}"


def nonce_purpose(tenant_id: str) -> str:
    """What the nonces of a tenant's nonce endpoint are for."""
    return f"openid4vci/{tenant_id}"


def credential_configurations(rooms: IssuanceRooms) -> dict[str, JsonObject]:
    """What every tenant's issuer can issue: the credential types, under the tenant's key, and scores, under ours."""
    configurations = {
        type.name: build_credential_configuration(
            vct=type.vct, title=str(type.schema["title"]), claims=describe_claims(type), algorithm="ES256"
        )
        for type in rooms.types.values()
    }
    configurations[SCORE_CONFIGURATION] = build_credential_configuration(
        vct=SCORE_VCT, title="Credit score", claims=_SCORE_CLAIMS, algorithm=rooms.attest_key.alg
    )
    return configurations


def offer_claims(
    offers: OfferStore,
    issuer_keys: IssuerKeyStore,
    tenant_id: str,
    type: CredentialType,
    rows: Sequence[Mapping[str, Any]],
    *,
    tx_code_length: int | None,
    expires_at_ms: int,
    valid_days: int,
    now_ms: int,
) -> list[MadeOffer]:
    """Offer a credential for each row of claims, under the tenant's own issuer key; raises ClaimsDoNotFit."""
    for claims in rows:
        type.verify_claims(claims)
    issuer_keys.load_or_append_key(tenant_id, now_ms)  # so that whoever is to trust it can be told before
    made = [
        NewOffer(
            configuration_id=type.name,
            vct=type.vct,
            claims=claims,
            score_id=None,
            tx_code_length=tx_code_length,
            valid_days=valid_days,
            expires_at_ms=expires_at_ms,
        )
        for claims in rows
    ]
    return offers.append_offers(tenant_id, made, now_ms)


def offer_score(
    rooms: IssuanceRooms,
    tenant_id: str,
    score_id: str,
    *,
    tx_code_length: int | None,
    expires_at_ms: int,
    now_ms: int,
) -> MadeOffer | None:
    """Offer copies of a score to the applicant whose it is; None where the tenant has no such score.

    Raises `ScoreNotValid` where it was revoked, `ScoreOver` where it expires today, and `SubjectKeyDestroyed`.
    """
    opened = rooms.scores.load_score_entry(tenant_id, score_id)
    if opened is None:
        return None
    _copied_until_ms(opened, now_ms)
    offer = NewOffer(
        configuration_id=SCORE_CONFIGURATION,
        vct=SCORE_VCT,
        claims=None,
        score_id=score_id,
        tx_code_length=tx_code_length,
        valid_days=0,
        expires_at_ms=expires_at_ms,
    )
    return rooms.offers.append_offers(tenant_id, [offer], now_ms)[0]


def issue(rooms: IssuanceRooms, offer: StoredOffer, request: CredentialRequest, now_ms: int) -> list[IssuedCopy]:
    """Answer a credential request whose access token was given for `offer`: a credential for each proven key.

    1. The request is for what was offered.
    2. Each proof is of a key of its own, made for this issuer, over one nonce.
    3. The nonce is used up; whatever fails from here on, the wallet gets another.
    4. Each credential is signed, with salts and a status index of its own.
    5. Their rows, their log entries and the end of the offer become durable in one transaction.
    6. What the offer was made of is destroyed.

    Raises what the identity room raises, `NonceInvalid`, `NonceSpent`, `AlreadyIssued`, `AccessTokenInvalid`,
    `HolderKeyUsedBefore`, `ScoreNotValid`, `ScoreOver`, `SubjectKeyDestroyed` or `StoreUnavailable`.
    """
    # 1.
    request.verify_asks_for(offer.configuration_id, by_identifier=offer.by_identifier)
    # 2.
    nonce, holders = verify_key_proofs(
        request.proofs, credential_issuer=credential_issuer_of(rooms, offer.tenant_id), now_ms=now_ms
    )
    # 3.
    rooms.nonces.use(nonce, purpose=nonce_purpose(offer.tenant_id), now_ms=now_ms)
    # 4.
    if offer.score_id is None:
        signed = _sign_claims(rooms, offer, holders, now_ms)
        subject_id, entry_type = None, "credential"
    else:
        subject_id, signed = _sign_copies(rooms, offer, offer.score_id, holders, now_ms)
        entry_type = "score_copy"
    # 5.
    rows = [
        IssuedRow(
            id="crd_" + secrets.token_hex(16),
            status=each.status,
            expires_at_ms=each.expires_at_ms,
            holder_mac=each.holder_mac,
        )
        for each in signed
    ]
    outcome = rooms.sequencer.append(
        AppendCredentials(
            tenant_id=offer.tenant_id,
            at_ms=now_ms,
            type=entry_type,
            subject_id=subject_id,
            key=rooms.subjects.load_key(offer.tenant_id, subject_id or NO_SUBJECT),
            # An entry is shown to prove its credential: it names nothing that another copy's entry names too.
            bodies=[
                {"credential_id": row.id, "vct": offer.vct, "jwt_sha256": _digest(each.sd_jwt)}
                for row, each in zip(rows, signed, strict=True)
            ],
            take=lambda transaction: rooms.offers.issue_in(transaction, offer, rows, now_ms),
        )
    )
    assert isinstance(outcome, AppendedCredentials)
    # 6. What is durable is answered; what is left of the offer otherwise, the worker sweeps.
    with suppress(StoreError):
        rooms.offers.erase([offer.id])
    return [
        IssuedCopy(credential=each.sd_jwt, log_index=logged.log_index, entry=logged.entry, salt=logged.salt)
        for each, logged in zip(signed, outcome.entries, strict=True)
    ]


def _sign_claims(rooms: IssuanceRooms, offer: StoredOffer, holders: Sequence[PublicKey], now_ms: int) -> list[_Signed]:
    claims = rooms.offers.load_claims(offer)
    key = rooms.issuer_keys.load_or_append_key(offer.tenant_id, now_ms)
    # Copies that were issued in one second could be told by it.
    issued_at_ms = now_ms if len(holders) == 1 else now_ms // DAY_MS * DAY_MS
    expires_at_ms = issued_at_ms // 1000 * 1000 + offer.valid_days * DAY_MS
    signed = []
    for holder in holders:
        status = rooms.statuses.allot(offer.tenant_id, now_ms, issuer=key.did)
        sd_jwt = issue_credential(
            type=rooms.types[offer.vct],
            claims=claims,
            holder=holder,
            key=key,
            now_ms=issued_at_ms,
            expires_at_ms=expires_at_ms,
            status=_reference(rooms, status),
        )
        signed.append(_Signed(sd_jwt=sd_jwt, status=status, expires_at_ms=expires_at_ms, holder_mac=None))
    return signed


def _sign_copies(
    rooms: IssuanceRooms, offer: StoredOffer, score_id: str, holders: Sequence[PublicKey], now_ms: int
) -> tuple[str, list[_Signed]]:
    """The score's subject, and its copies: of what stands outside of disclosures, no two have anything alike.

    But for issuer, type, status list and two dates, which a great many scores share.
    """
    opened = rooms.scores.load_score_entry(offer.tenant_id, score_id)
    if opened is None or opened.answer is None or opened.subject_id is None:
        raise SubjectKeyDestroyed
    issued_at_ms = opened.answer["issued_at_ms"] // DAY_MS * DAY_MS
    valid_until_ms = _copied_until_ms(opened, now_ms)
    # Who saw the key of a presentation would know a copy by it; that no other copy has it, sees who stores the copy.
    if any(rooms.subjects.load_subject_ids(holder.thumbprint) for holder in holders):
        raise HolderKeyUsedBefore
    signed = []
    for holder in holders:
        status = rooms.statuses.allot(offer.tenant_id, now_ms)
        issued = issue_score_credential(
            score={name: value for name, value in opened.answer["members"].items() if value is not None},
            holder=holder,
            subject="sub_" + secrets.token_hex(16),
            status=_reference(rooms, status),
            issued_at_ms=issued_at_ms,
            valid_until_ms=valid_until_ms,
            key=rooms.attest_key,
        )
        signed.append(
            _Signed(
                sd_jwt=issued.sd_jwt,
                status=status,
                expires_at_ms=valid_until_ms,
                holder_mac=rooms.offers.holder_mac(holder.thumbprint),
            )
        )
    return opened.subject_id, signed


def _copied_until_ms(opened: OpenedEntry, now_ms: int) -> int:
    """Until when copies of a score are valid: its last whole day; raises `ScoreOver` where that is over."""
    if opened.answer is None:
        raise SubjectKeyDestroyed
    valid_until_ms = int(opened.answer["valid_until_ms"]) // DAY_MS * DAY_MS
    if valid_until_ms <= now_ms:
        raise ScoreOver
    return valid_until_ms


def _reference(rooms: IssuanceRooms, status: AllottedStatus) -> StatusReference:
    return StatusReference(uri=rooms.status_list_prefix + status.list_id, index=status.index)


def _digest(sd_jwt: str) -> str:
    return hashlib.sha256(issuer_jwt_of(sd_jwt).encode("ascii")).hexdigest()
