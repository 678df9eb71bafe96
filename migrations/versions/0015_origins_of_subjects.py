"""Which subject had the questions of a cluster before `add-subjects` made it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("subject", sa.Column("origin_id", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("subject", "origin_id")
