"""Every table of Credence, as SQLModel classes for Alembic and as Core tables for statements.

Conventions: times are UTC milliseconds (``*_at_ms``); every row but those of the log, its anchoring and the service's
one model carries ``tenant_id``, and uniqueness is per tenant.
"""

from typing import cast

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData, Table, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel


class Model(SQLModel):
    """The tables of the database."""

    metadata = MetaData()


class KeystoreModel(SQLModel):
    """The tables of the subject-key store: another database, backed up apart, so that erasure can outlive backups."""

    metadata = MetaData()


class Tenant(Model, table=True):
    """An institution whose rows are its own; ``log_ref`` is the salted reference that its entries carry."""

    __tablename__ = "tenants"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    log_ref: str
    next_seq: int = Field(sa_type=BigInteger)
    created_at_ms: int = Field(sa_type=BigInteger)
    display_name: str | None = None
    contact: str | None = None
    privacy_notice: str | None = None
    jurisdiction: str | None = None
    retention_days: int | None = None


class Client(Model, table=True):
    """An OAuth2 client of a tenant; the secret is stored as an argon2id hash only."""

    __tablename__ = "clients"

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    name: str
    secret_hash: str
    scope: str
    created_at_ms: int = Field(sa_type=BigInteger)
    disabled_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class TrustedIssuerRow(Model, table=True):
    """A DID that a tenant trusts to issue one credential type, within a validity period.

    ``list_issuer`` is the signer of the issuer list that says so, or null where the tenant said it itself.
    """

    __tablename__ = "trusted_issuers"

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    did: str = Field(sa_type=Text)
    vct: str
    valid_from_ms: int = Field(sa_type=BigInteger)
    valid_to_ms: int | None = Field(default=None, sa_type=BigInteger)
    evidence_level: str
    list_issuer: str | None = Field(default=None, sa_type=Text)


class DistrustedIssuer(Model, table=True):
    """A DID that a tenant no longer trusts for one credential type, whatever an issuer list says."""

    __tablename__ = "distrusted_issuers"

    tenant_id: str = Field(primary_key=True, foreign_key="tenants.id")
    did: str = Field(primary_key=True, sa_type=Text)
    vct: str = Field(primary_key=True)
    at_ms: int = Field(sa_type=BigInteger)


class IssuerListRow(Model, table=True):
    """A signer whose issuer lists a tenant takes, and which one it took last (``sequence`` never goes back)."""

    __tablename__ = "issuer_lists"

    tenant_id: str = Field(primary_key=True, foreign_key="tenants.id")
    did: str = Field(primary_key=True, sa_type=Text)
    pinned_at_ms: int = Field(sa_type=BigInteger)
    sequence: int | None = Field(default=None, sa_type=BigInteger)
    sha256: bytes | None = Field(default=None, sa_type=LargeBinary)
    expires_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    imported_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class TrustVersion(Model, table=True):
    """How often a tenant's trust has changed: what a process keeps of it in memory is good while this stays."""

    __tablename__ = "trust_versions"

    tenant_id: str = Field(primary_key=True, foreign_key="tenants.id")
    version: int = Field(sa_type=BigInteger)


class ToldPromotion(Model, table=True):
    """The promotion that a tenant's log told last: a rerun tells it to nobody twice."""

    __tablename__ = "told_promotions"

    tenant_id: str = Field(primary_key=True, foreign_key="tenants.id")
    model_sha256: bytes = Field(sa_type=LargeBinary)
    report_sha256: bytes = Field(sa_type=LargeBinary)
    at_ms: int = Field(sa_type=BigInteger)


class PromotedModel(Model, table=True):
    """The model that the service scores with, of all tenants alike: one row, and none before the first promotion."""

    __tablename__ = "promoted_model"

    id: int = Field(primary_key=True)
    model_sha256: bytes = Field(sa_type=LargeBinary)
    report_sha256: bytes = Field(sa_type=LargeBinary)
    at_ms: int = Field(sa_type=BigInteger)


class PresentationRequestRow(Model, table=True):
    """What a lender asked a holder for; answered at most once (``status`` moves forward only)."""

    __tablename__ = "presentation_requests"
    __table_args__ = (UniqueConstraint("tenant_id", "nonce"),)

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    nonce: str
    state: str
    purpose: str
    query: str = Field(sa_type=Text)
    holder_policy: str
    client_id: str | None = Field(default=None, sa_type=Text)
    response_mode: str = Field(default="direct_post", sa_column_kwargs={"server_default": "direct_post"})
    request_uri_method: str = Field(default="get", sa_column_kwargs={"server_default": "get"})
    redirect_uri: str | None = Field(default=None, sa_type=Text)
    accepted_issuers: str | None = Field(default=None, sa_type=Text)
    status: str
    created_at_ms: int = Field(sa_type=BigInteger)
    expires_at_ms: int = Field(sa_type=BigInteger)
    retrieved_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    submitted_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    score_id: str | None = None
    presentation_mac: bytes | None = Field(default=None, sa_type=LargeBinary)
    refusals: int = 0
    last_refusal: str | None = None


class PresentationRefusal(Model, table=True):
    """Why a presentation of a request was refused: our own words and names, and nothing of what was submitted."""

    __tablename__ = "presentation_refusals"

    request_id: str = Field(primary_key=True, foreign_key="presentation_requests.id")
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    tenant_id: str = Field(foreign_key="tenants.id")
    code: str
    detail: str
    step: str | None = None
    query_id: str | None = None
    at_ms: int = Field(sa_type=BigInteger)


class Subject(Model, table=True):
    """A person as one tenant knows them: a random id, found again by an HMAC of the holder's key."""

    __tablename__ = "subjects"
    __table_args__ = (UniqueConstraint("tenant_id", "holder_mac"),)

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    holder_mac: bytes = Field(sa_type=LargeBinary)
    created_at_ms: int = Field(sa_type=BigInteger)


class LogEntry(Model, table=True):
    """One leaf of the log: its commitment, and the payload {entry, salt, answer} under a key that erasure destroys."""

    __tablename__ = "log_entries"
    __table_args__ = (UniqueConstraint("tenant_id", "seq"),)

    log_index: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    tenant_id: str = Field(foreign_key="tenants.id")
    seq: int = Field(sa_type=BigInteger)
    type: str
    at_ms: int = Field(sa_type=BigInteger)
    commitment: bytes = Field(sa_type=LargeBinary)
    subject_id: str | None = Field(default=None, foreign_key="subjects.id", index=True)
    wrapped_key: bytes = Field(sa_type=LargeBinary)
    sealed: bytes = Field(sa_type=LargeBinary)


class ScoreRow(Model, table=True):
    """An issued score; what it says is sealed in its log entry."""

    __tablename__ = "scores"

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    request_id: str = Field(foreign_key="presentation_requests.id", unique=True)
    subject_id: str = Field(foreign_key="subjects.id")
    log_index: int = Field(foreign_key="log_entries.log_index", unique=True, sa_type=BigInteger)
    status_list_id: str
    status_index: int
    supersedes: str | None = None
    valid_until_ms: int = Field(sa_type=BigInteger)


class Consent(Model, table=True):
    """What a person allows a tenant for one purpose; given by a presentation, or again by the person after it ended."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("subject_id", "purpose"),)

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    subject_id: str = Field(foreign_key="subjects.id")
    purpose: str
    given_at_ms: int = Field(sa_type=BigInteger)
    withdrawn_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class ConsentReceiptRow(Model, table=True):
    """A signed receipt of one event of a consent; its text is sealed in the event's log entry."""

    __tablename__ = "consent_receipts"

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    consent_id: str = Field(foreign_key="consents.id", index=True)
    log_index: int = Field(foreign_key="log_entries.log_index", unique=True, sa_type=BigInteger)


class IdempotencyKey(Model, table=True):
    """The answer to an authenticated POST under a client-chosen key: which resource it made, never its content."""

    __tablename__ = "idempotency_keys"

    tenant_id: str = Field(primary_key=True, foreign_key="tenants.id")
    key_mac: bytes = Field(primary_key=True, sa_type=LargeBinary)
    operation: str
    body_mac: bytes = Field(sa_type=LargeBinary)
    resource_id: str
    created_at_ms: int = Field(sa_type=BigInteger)


class StatusList(Model, table=True):
    """A status list that we publish for a tenant's credentials.

    ``issuer`` is the DID that signed them and signs the list; null in lists from before it was written down.
    """

    __tablename__ = "status_lists"

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    capacity: int
    allotted: int
    created_at_ms: int = Field(sa_type=BigInteger)
    issuer: str | None = Field(default=None, sa_type=Text)


class StatusIndex(Model, table=True):
    """An index of a status list that is taken; ``status`` is the Token Status List value (0 valid).

    Why and when it changed last is null while it never did.
    """

    __tablename__ = "status_indices"

    list_id: str = Field(primary_key=True, foreign_key="status_lists.id")
    list_index: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    tenant_id: str = Field(foreign_key="tenants.id")
    status: int = 0
    reason: str | None = None
    changed_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class UsedNonce(Model, table=True):
    """A nonce of ours that was used, kept until it would have expired; those that were not used are stored nowhere."""

    __tablename__ = "used_nonces"

    id: bytes = Field(primary_key=True, sa_type=LargeBinary)
    expires_at_ms: int = Field(sa_type=BigInteger, index=True)


class CredentialOfferRow(Model, table=True):
    """An offer of a credential, issued at most once (``state`` moves forward only); ``sealed`` until it is over."""

    __tablename__ = "credential_offers"
    # What is still sealed is a small part of all offers that there were, and the one that the sweep looks through.
    __table_args__ = (
        Index(
            "ix_credential_offers_sealed",
            "expires_at_ms",
            sqlite_where=text("sealed IS NOT NULL"),
            postgresql_where=text("sealed IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    configuration_id: str
    vct: str
    score_id: str | None = Field(default=None, foreign_key="scores.id")
    state: str
    revoked_for: str | None = None
    code_sha256: bytes = Field(unique=True, sa_type=LargeBinary)
    tx_code_mac: bytes | None = Field(default=None, sa_type=LargeBinary)
    tx_code_length: int | None = None
    tx_code_failures: int = 0
    token_sha256: bytes | None = Field(default=None, unique=True, sa_type=LargeBinary)
    by_identifier: bool = False
    valid_days: int
    sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at_ms: int = Field(sa_type=BigInteger)
    expires_at_ms: int = Field(sa_type=BigInteger)
    redeemed_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    issued_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class IssuedCredential(Model, table=True):
    """A credential that was issued over OpenID4VCI: what it takes to revoke it, and nothing of what it says.

    ``holder_mac`` is of the key that a copy of a score is bound to, which no other copy may be.
    """

    __tablename__ = "issued_credentials"
    __table_args__ = (UniqueConstraint("status_list_id", "status_index"),)

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id", index=True)
    vct: str
    score_id: str | None = Field(default=None, foreign_key="scores.id", index=True)
    offer_id: str = Field(foreign_key="credential_offers.id", index=True)
    status_list_id: str
    status_index: int
    holder_mac: bytes | None = Field(default=None, unique=True, sa_type=LargeBinary)
    issued_at_ms: int = Field(sa_type=BigInteger)
    expires_at_ms: int = Field(sa_type=BigInteger)


class LogHead(Model, table=True):
    """The one row whose lock orders every append: how long the log is, and its frontier."""

    __tablename__ = "log_head"

    origin: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    frontier: bytes = Field(sa_type=LargeBinary)


class LogTile(Model, table=True):
    """A C2SP hash tile: up to 256 hashes; only the rightmost of a level is partial, and it only grows."""

    __tablename__ = "log_tiles"

    level: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    tile_index: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    hashes: bytes = Field(sa_type=LargeBinary)


class CheckpointRow(Model, table=True):
    """A signed checkpoint that was published; one per size."""

    __tablename__ = "checkpoints"

    size: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    root: bytes = Field(sa_type=LargeBinary)
    note: str = Field(sa_type=Text)
    at_ms: int = Field(sa_type=BigInteger)


class AnchorTarget(Model, table=True):
    """The contract and log id that this log anchors to."""

    __tablename__ = "anchor_targets"

    chain_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    contract: str = Field(primary_key=True)
    log_id: bytes = Field(sa_type=LargeBinary)
    genesis_hash: bytes = Field(sa_type=LargeBinary)


class AnchorTransaction(Model, table=True):
    """A signed anchoring transaction, stored before it is broadcast and never rewritten, only moved between states."""

    __tablename__ = "anchor_transactions"
    __table_args__ = (Index("ix_anchor_transactions_state", "state"),)

    hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    chain_id: int = Field(sa_type=BigInteger)
    contract: str
    checkpoint_size: int = Field(sa_type=BigInteger)
    nonce: int = Field(sa_type=BigInteger)
    raw: bytes = Field(sa_type=LargeBinary)
    max_fee_per_gas: str
    max_priority_fee_per_gas: str
    state: str
    prepared_at_ms: int = Field(sa_type=BigInteger)
    sent_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    block_number: int | None = Field(default=None, sa_type=BigInteger)
    block_hash: bytes | None = Field(default=None, sa_type=LargeBinary)


class Job(Model, table=True):
    """A recurring step; whoever holds an unexpired lease runs it, and ``fence`` outlives the lease."""

    __tablename__ = "jobs"

    name: str = Field(primary_key=True)
    run_at_ms: int = Field(sa_type=BigInteger)
    lease_owner: str | None = None
    lease_until_ms: int = Field(default=0, sa_type=BigInteger)
    fence: int = Field(default=0, sa_type=BigInteger)
    failures: int = 0


class SubjectKey(KeystoreModel, table=True):
    """A subject's key, wrapped by the master key; destroying the row makes every payload of the subject unreadable."""

    __tablename__ = "subject_keys"

    tenant_id: str = Field(primary_key=True)
    subject_id: str = Field(primary_key=True)
    wrapped_key: bytes = Field(sa_type=LargeBinary)


class OfferKey(KeystoreModel, table=True):
    """What an offer's claims and code are sealed under, wrapped by the master key; destroyed when the offer is over."""

    __tablename__ = "offer_keys"

    offer_id: str = Field(primary_key=True)
    tenant_id: str
    wrapped_key: bytes = Field(sa_type=LargeBinary)


class IssuerKey(KeystoreModel, table=True):
    """The issuer key of a tenant that has no issuer of its own, wrapped by the master key."""

    __tablename__ = "issuer_keys"

    tenant_id: str = Field(primary_key=True)
    kid: str = Field(unique=True)
    wrapped_key: bytes = Field(sa_type=LargeBinary)
    created_at_ms: int = Field(sa_type=BigInteger)


def _core(model: type[SQLModel]) -> Table:
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


tenants = _core(Tenant)
clients = _core(Client)
trusted_issuers = _core(TrustedIssuerRow)
distrusted_issuers = _core(DistrustedIssuer)
issuer_lists = _core(IssuerListRow)
trust_versions = _core(TrustVersion)
told_promotions = _core(ToldPromotion)
promoted_model = _core(PromotedModel)
presentation_requests = _core(PresentationRequestRow)
presentation_refusals = _core(PresentationRefusal)
subjects = _core(Subject)
log_entries = _core(LogEntry)
scores = _core(ScoreRow)
consents = _core(Consent)
consent_receipts = _core(ConsentReceiptRow)
idempotency_keys = _core(IdempotencyKey)
status_lists = _core(StatusList)
status_indices = _core(StatusIndex)
used_nonces = _core(UsedNonce)
credential_offers = _core(CredentialOfferRow)
issued_credentials = _core(IssuedCredential)
log_head = _core(LogHead)
log_tiles = _core(LogTile)
checkpoints = _core(CheckpointRow)
anchor_targets = _core(AnchorTarget)
anchor_transactions = _core(AnchorTransaction)
jobs = _core(Job)
subject_keys = _core(SubjectKey)
offer_keys = _core(OfferKey)
issuer_keys = _core(IssuerKey)
