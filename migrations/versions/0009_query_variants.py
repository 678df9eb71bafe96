"""The contents that imported files had for a query instead of the stored one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "query_variant",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_query_variant_run_id")),
        sa.ForeignKeyConstraint(["query_id"], ["query.id"], name=op.f("fk_query_variant_query_id")),
        sa.PrimaryKeyConstraint("run_id", "query_id", name=op.f("pk_query_variant")),
    )


def downgrade() -> None:
    op.drop_table("query_variant")
