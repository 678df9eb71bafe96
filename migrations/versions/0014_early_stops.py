"""Where profiling stopped early: estimates in place of means, and the rounds of jobs that lead to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from benchcoe_jobs.migrations.deploy import deploy_views

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BEFORE = {
    "pool_expert": 1,
    "expert_coverage": 1,
    "expert_subject_score": 1,
    "expert_rank": 2,
    "expert_beaten_by_best": 1,
    "best_single": 1,
    "subject_label": 3,
    "subject_label_cheapest": 3,
    "subject_label_abstain": 3,
    "query_label": 2,
    "query_target": 1,
    "pool_summary": 3,
}
AFTER = BEFORE | {
    "expert_coverage": 2,
    "expert_subject_score": 2,
    "expert_rank": 3,
    "expert_beaten_by_best": 2,
    "subject_label": 4,
    "subject_label_cheapest": 4,
    "subject_label_abstain": 4,
}


def upgrade() -> None:
    op.create_table(
        "stratum_estimate",
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_stratum_estimate_expert_id")),
        sa.ForeignKeyConstraint(["stratum_id"], ["stratum.id"], name=op.f("fk_stratum_estimate_stratum_id")),
        sa.PrimaryKeyConstraint("expert_id", "stratum_id", name=op.f("pk_stratum_estimate")),
    )
    op.create_table(
        "settling_round",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_settling_round_job_id")),
        sa.ForeignKeyConstraint(["stratum_id"], ["stratum.id"], name=op.f("fk_settling_round_stratum_id")),
        sa.PrimaryKeyConstraint("job_id", "stage", "stratum_id", name=op.f("pk_settling_round")),
    )
    deploy_views(AFTER, replacing=BEFORE)


def downgrade() -> None:
    deploy_views(BEFORE, replacing=AFTER)
    op.drop_table("settling_round")
    op.drop_table("stratum_estimate")
