"""Promotions: which model the service scores with, and what each tenant's log has last told of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "told_promotions",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("model_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("report_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "promoted_model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("report_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    op.drop_table("promoted_model")
    op.drop_table("told_promotions")
