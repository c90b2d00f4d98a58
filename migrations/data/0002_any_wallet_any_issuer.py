"""Any wallet, any issuer: nonces that were used, and the credentials that were issued over OpenID4VCI."""

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
    op.add_column("status_lists", sa.Column("signed_by", sa.String(), server_default="service", nullable=False))
    op.create_table(
        "issued_credentials",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("vct", sa.String(), nullable=False),
        sa.Column("score_id", sa.String(), nullable=True),
        sa.Column("status_list_id", sa.String(), nullable=False),
        sa.Column("status_index", sa.Integer(), nullable=False),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["score_id"], ["scores.id"]),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("status_list_id", "status_index"),
    )
    op.create_index("ix_issued_credentials_tenant_id", "issued_credentials", ["tenant_id"], unique=False)
    op.create_index("ix_issued_credentials_score_id", "issued_credentials", ["score_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_issued_credentials_score_id", table_name="issued_credentials")
    op.drop_index("ix_issued_credentials_tenant_id", table_name="issued_credentials")
    op.drop_table("issued_credentials")
    op.drop_column("status_lists", "signed_by")
    op.drop_index("ix_used_nonces_expires_at_ms", table_name="used_nonces")
    op.drop_table("used_nonces")
