"""What a repair moved, so that it can be undone; subject labels that no expert earns are null."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from benchcoe_jobs.migrations.deploy import deploy_views

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BEFORE = {
    "pool_expert": 1,
    "expert_coverage": 1,
    "expert_subject_score": 1,
    "expert_rank": 1,
    "expert_beaten_by_best": 1,
    "best_single": 1,
    "subject_label": 2,
    "subject_label_cheapest": 2,
    "subject_label_abstain": 2,
    "query_label": 2,
    "query_target": 1,
    "pool_summary": 3,
}
AFTER = BEFORE | {"expert_rank": 2, "subject_label": 3, "subject_label_cheapest": 3, "subject_label_abstain": 3}


def upgrade() -> None:
    op.create_table(
        "repair",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=True),
        sa.Column("moves", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_repair_benchmark_id")),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_repair_expert_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repair")),
    )
    deploy_views(AFTER, replacing=BEFORE)


def downgrade() -> None:
    deploy_views(BEFORE, replacing=AFTER)
    op.drop_table("repair")
