"""The decisions of `serve`, what became of them, and the scores that clients report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "served_decision",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("snapshot_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("prompt_hash", sa.String(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("familiarity", sa.Double(), nullable=True),
        sa.Column("fell_back", sa.Boolean(), nullable=False),
        sa.Column("chosen_id", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["snapshot_id"], ["routing_snapshot.id"], name=op.f("fk_served_decision_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_served_decision")),
    )
    op.create_index(op.f("ix_served_decision_decided_at"), "served_decision", ["decided_at"], unique=False)
    op.create_index(op.f("ix_served_decision_snapshot_id"), "served_decision", ["snapshot_id"], unique=False)
    op.create_table(
        "served_outcome",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("first_byte_s", sa.Double(), nullable=True),
        sa.Column("latency_s", sa.Double(), nullable=False),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["decision_id"], ["served_decision.id"], name=op.f("fk_served_outcome_decision_id")),
        sa.PrimaryKeyConstraint("decision_id", "attempt", name=op.f("pk_served_outcome")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "served_score",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("value >= 0 AND value <= 1", name=op.f("ck_served_score_value")),
        sa.ForeignKeyConstraint(["decision_id"], ["served_decision.id"], name=op.f("fk_served_score_decision_id")),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_served_score")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("served_score")
    op.drop_table("served_outcome")
    op.drop_index(op.f("ix_served_decision_snapshot_id"), table_name="served_decision")
    op.drop_index(op.f("ix_served_decision_decided_at"), table_name="served_decision")
    op.drop_table("served_decision")
