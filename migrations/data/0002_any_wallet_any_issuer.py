"""Any wallet, any issuer: nonces that were used, credential offers and what was issued for them.

Also consents, their receipts, and what a tenant says of itself in them. Scores of before are under a consent too. Also
statuses that change, lists that remember whose they are, and trust by period.
"""

import secrets
from hashlib import sha256

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "used_nonces",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_used_nonces_expires_at_ms", "used_nonces", ["expires_at_ms"], unique=False)
    op.create_table(
        "credential_offers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("configuration_id", sa.String(), nullable=False),
        sa.Column("vct", sa.String(), nullable=False),
        sa.Column("score_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("revoked_for", sa.String(), nullable=True),
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("tx_code_mac", sa.LargeBinary(), nullable=True),
        sa.Column("tx_code_length", sa.Integer(), nullable=True),
        sa.Column("tx_code_failures", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("by_identifier", sa.Boolean(), nullable=False),
        sa.Column("valid_days", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("redeemed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["score_id"], ["scores.id"]),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code_sha256"),
        sa.UniqueConstraint("token_sha256"),
    )
    op.create_index("ix_credential_offers_tenant_id", "credential_offers", ["tenant_id"], unique=False)
    op.create_index(
        "ix_credential_offers_sealed",
        "credential_offers",
        ["expires_at_ms"],
        unique=False,
        sqlite_where=sa.text("sealed IS NOT NULL"),
        postgresql_where=sa.text("sealed IS NOT NULL"),
    )
    op.create_table(
        "issued_credentials",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("vct", sa.String(), nullable=False),
        sa.Column("score_id", sa.String(), nullable=True),
        sa.Column("offer_id", sa.String(), nullable=False),
        sa.Column("status_list_id", sa.String(), nullable=False),
        sa.Column("status_index", sa.Integer(), nullable=False),
        sa.Column("holder_mac", sa.LargeBinary(), nullable=True),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["offer_id"], ["credential_offers.id"]),
        sa.ForeignKeyConstraint(["score_id"], ["scores.id"]),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("holder_mac"),
        sa.UniqueConstraint("status_list_id", "status_index"),
    )
    op.create_index("ix_issued_credentials_offer_id", "issued_credentials", ["offer_id"], unique=False)
    op.create_index("ix_issued_credentials_tenant_id", "issued_credentials", ["tenant_id"], unique=False)
    op.create_index("ix_issued_credentials_score_id", "issued_credentials", ["score_id"], unique=False)
    # A request of before names no client identifier: it was made under the DID of the request key.
    for asked in (
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("response_mode", sa.String(), nullable=False, server_default="direct_post"),
        sa.Column("request_uri_method", sa.String(), nullable=False, server_default="get"),
        sa.Column("redirect_uri", sa.Text(), nullable=True),
        sa.Column("accepted_issuers", sa.Text(), nullable=True),
    ):
        op.add_column("presentation_requests", asked)
    op.create_table(
        "presentation_refusals",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=True),
        sa.Column("query_id", sa.String(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["presentation_requests.id"]),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("request_id", "number"),
    )

    for column in (
        sa.Column("display_name", sa.String(), nullable=True),
        sa.Column("contact", sa.String(), nullable=True),
        sa.Column("privacy_notice", sa.String(), nullable=True),
        sa.Column("jurisdiction", sa.String(), nullable=True),
        sa.Column("retention_days", sa.Integer(), nullable=True),
    ):
        op.add_column("tenants", column)
    op.create_index("ix_log_entries_subject_id", "log_entries", ["subject_id"], unique=False)
    op.create_table(
        "consents",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("given_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"]),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id", "purpose"),
    )
    op.create_table(
        "consent_receipts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("consent_id", sa.String(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"]),
        sa.ForeignKeyConstraint(["log_index"], ["log_entries.log_index"]),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("log_index"),
    )
    op.create_index("ix_consent_receipts_consent_id", "consent_receipts", ["consent_id"], unique=False)
    _append_consents_of_scores()
    # What was made before says neither which key signed a list nor when a status changed: null stands for that.
    op.add_column("status_lists", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("status_indices", sa.Column("reason", sa.String(), nullable=True))
    op.add_column("status_indices", sa.Column("changed_at_ms", sa.BigInteger(), nullable=True))
    _rebuild_trusted_issuers()
    op.create_table(
        "distrusted_issuers",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("vct", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("tenant_id", "did", "vct"),
    )
    op.create_table(
        "issuer_lists",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("pinned_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("imported_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("tenant_id", "did"),
    )
    op.create_table(
        "trust_versions",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("tenant_id"),
    )


def _append_consents_of_scores() -> None:
    """Put each score that there is under a consent, so that it can be withdrawn; its id as the service makes it."""
    given = op.get_bind().execute(
        sa.text(
            "SELECT s.tenant_id, s.subject_id, r.purpose, MIN(e.at_ms) FROM scores s "
            "JOIN presentation_requests r ON r.id = s.request_id JOIN log_entries e ON e.log_index = s.log_index "
            "GROUP BY s.tenant_id, s.subject_id, r.purpose"
        )
    )
    rows = []
    for tenant_id, subject_id, purpose, given_at_ms in given:
        digest = sha256(f"credence/consent/v1\0{subject_id}\0{purpose}".encode()).hexdigest()
        of_whom = {"tenant_id": tenant_id, "subject_id": subject_id}
        rows.append({"id": "con_" + digest[:32], **of_whom, "purpose": purpose, "given_at_ms": given_at_ms})
    columns: list[sa.ColumnClause[object]] = [
        sa.column(name) for name in ("id", "tenant_id", "subject_id", "purpose", "given_at_ms")
    ]
    if rows:
        op.bulk_insert(sa.table("consents", *columns), rows)


def _rebuild_trusted_issuers() -> None:
    """Let one issuer have several periods: its row gets an id, and counts as much as its credentials say, as before."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT tenant_id, did, vct, valid_from_ms, valid_to_ms FROM trusted_issuers"))
    kept = [
        {**row, "id": "tru_" + secrets.token_hex(16), "evidence_level": "system_of_record", "list_issuer": None}
        for row in rows.mappings()
    ]
    op.drop_table("trusted_issuers")
    rebuilt = op.create_table(
        "trusted_issuers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("vct", sa.String(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_ms", sa.BigInteger(), nullable=True),
        sa.Column("evidence_level", sa.String(), nullable=False),
        sa.Column("list_issuer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_trusted_issuers_tenant_id", "trusted_issuers", ["tenant_id"], unique=False)
    op.bulk_insert(rebuilt, kept)


def downgrade() -> None:
    op.drop_table("trust_versions")
    op.drop_table("issuer_lists")
    op.drop_table("distrusted_issuers")
    _narrow_trusted_issuers()
    op.drop_column("status_indices", "changed_at_ms")
    op.drop_column("status_indices", "reason")
    op.drop_column("status_lists", "issuer")
    op.drop_index("ix_consent_receipts_consent_id", table_name="consent_receipts")
    op.drop_table("consent_receipts")
    op.drop_table("consents")
    op.drop_index("ix_log_entries_subject_id", table_name="log_entries")
    for name in ("retention_days", "jurisdiction", "privacy_notice", "contact", "display_name"):
        op.drop_column("tenants", name)
    op.drop_table("presentation_refusals")
    for name in ("accepted_issuers", "redirect_uri", "request_uri_method", "response_mode", "client_id"):
        op.drop_column("presentation_requests", name)
    op.drop_index("ix_issued_credentials_score_id", table_name="issued_credentials")
    op.drop_index("ix_issued_credentials_tenant_id", table_name="issued_credentials")
    op.drop_index("ix_issued_credentials_offer_id", table_name="issued_credentials")
    op.drop_table("issued_credentials")
    op.drop_index("ix_credential_offers_sealed", table_name="credential_offers")
    op.drop_index("ix_credential_offers_tenant_id", table_name="credential_offers")
    op.drop_table("credential_offers")
    op.drop_index("ix_used_nonces_expires_at_ms", table_name="used_nonces")
    op.drop_table("used_nonces")


def _narrow_trusted_issuers() -> None:
    """Keep of trust what the revision before can say, and nothing that would count for more there.

    That is the last of a tenant's own periods for an issuer and type, where its credentials count as they say.
    """
    rows = op.get_bind().execute(
        sa.text(
            "SELECT tenant_id, did, vct, valid_from_ms, valid_to_ms FROM trusted_issuers "
            "WHERE list_issuer IS NULL AND evidence_level = 'system_of_record' ORDER BY valid_from_ms"
        )
    )
    kept = {(row["tenant_id"], row["did"], row["vct"]): dict(row) for row in rows.mappings()}
    op.drop_index("ix_trusted_issuers_tenant_id", table_name="trusted_issuers")
    op.drop_table("trusted_issuers")
    narrowed = op.create_table(
        "trusted_issuers",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("vct", sa.String(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("tenant_id", "did", "vct"),
    )
    op.bulk_insert(narrowed, list(kept.values()))
