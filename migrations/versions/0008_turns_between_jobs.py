"""Turns between jobs: their priority, and when they were last served; who submitted a job, and from which file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OPEN = sa.text("state = 'open'")


def upgrade() -> None:
    op.add_column("job", sa.Column("submitted_by", sa.String(), nullable=True))
    op.add_column("job", sa.Column("file", sa.String(), nullable=True))
    op.add_column("job", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.add_column("job", sa.Column("turn_at", sa.Double(), server_default="0", nullable=False))
    op.create_index(op.f("ix_job_turn_at"), "job", ["turn_at"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def downgrade() -> None:
    op.drop_index(op.f("ix_job_turn_at"), table_name="job")
    for name in ("turn_at", "priority", "file", "submitted_by"):
        op.drop_column("job", name)
