"""Prices of experts: per million tokens in and out, and per second of a GPU."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PRICES = ("price_in", "price_out", "price_gpu_second")


def upgrade() -> None:
    for price in PRICES:
        op.add_column("expert", sa.Column(price, sa.Double(), nullable=True))


def downgrade() -> None:
    for price in reversed(PRICES):
        op.drop_column("expert", price)
