"""Label policies as views; what an audit needs: a file's own claim, and a query's source."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from benchcoe_jobs.migrations.deploy import deploy_views

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = {
    "pool_expert": 1,
    "expert_coverage": 1,
    "expert_subject_score": 1,
    "expert_rank": 1,
    "subject_label": 1,
    "query_label": 1,
    "query_target": 1,
    "pool_summary": 1,
}
AFTER = {
    "pool_expert": 1,
    "expert_coverage": 1,
    "expert_subject_score": 1,
    "expert_rank": 1,
    "best_single": 1,
    "subject_label": 1,
    "subject_label_cheapest": 1,
    "subject_label_abstain": 1,
    "query_label": 1,
    "query_target": 1,
    "pool_summary": 2,
}


def upgrade() -> None:
    op.add_column("label_set", sa.Column("policy", sa.String(), nullable=False, server_default="best"))
    op.add_column("extraction", sa.Column("claimed", sa.Text(), nullable=True))
    op.add_column("query_content", sa.Column("source", sa.String(), nullable=True))
    deploy_views(AFTER, replacing=BEFORE)


def downgrade() -> None:
    deploy_views(BEFORE, replacing=AFTER)
    op.drop_column("query_content", "source")
    op.drop_column("extraction", "claimed")
    op.drop_column("label_set", "policy")
