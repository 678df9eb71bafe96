"""The quality weight of `--quality-weight auto`, which is chosen when a router is trained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("router", sa.Column("auto_weight", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("router", "auto_weight")
