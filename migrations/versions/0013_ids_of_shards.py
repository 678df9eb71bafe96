"""SQLite gives the number of a deleted shard to no other shard, as PostgreSQL does.

A retry deletes the shards of later stages and plans them again. A lease names its shard by number, so a worker that
lost such a shard must not find another one under the same number.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _recreate(is_autoincrement=True)


def downgrade() -> None:
    _recreate(is_autoincrement=False)


def _recreate(*, is_autoincrement: bool) -> None:
    """Copy `shard` into a table with or without AUTOINCREMENT, which SQLite cannot add to a table that exists."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for index in ("ix_shard_lease_until", "ix_shard_shard_group_id_state_id"):
        op.drop_index(op.f(index), table_name="shard")
    op.rename_table("shard", "shard_before")
    shard = op.create_table(
        "shard",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("shard_group_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("work", sa.JSON(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("reused", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_shard_state")
        ),
        sa.ForeignKeyConstraint(["shard_group_id"], ["shard_group.id"], name=op.f("fk_shard_shard_group_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shard")),
        sqlite_autoincrement=is_autoincrement,
    )
    names = shard.columns.keys()
    before = sa.table("shard_before", *map(sa.column, names))
    op.execute(shard.insert().from_select(names, sa.select(before)))
    op.drop_table("shard_before")
    running = sa.text("state = 'running'")
    op.create_index(op.f("ix_shard_lease_until"), "shard", ["lease_until"], sqlite_where=running)
    op.create_index(op.f("ix_shard_shard_group_id_state_id"), "shard", ["shard_group_id", "state", "id"])
