"""Checks whether an expert is still the one that was profiled, and the mark of one that is not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("expert", sa.Column("drifted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "expert_check",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("agreed", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_expert_check_benchmark_id")),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_expert_check_expert_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expert_check")),
    )


def downgrade() -> None:
    op.drop_table("expert_check")
    op.drop_column("expert", "drifted_at")
