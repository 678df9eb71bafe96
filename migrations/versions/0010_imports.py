"""Imports: what each file brought, and the rows as they were before it, so that it can be removed again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BROUGHT = ("benchmark", "subject", "query", "expert", "run")


def upgrade() -> None:
    op.create_table(
        "import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=True),
        sa.Column("benchmarks", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "earlier_row",
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["import_id"], ["import.id"], name=op.f("fk_earlier_row_import_id")),
        sa.PrimaryKeyConstraint("import_id", "table_name", "key", name=op.f("pk_earlier_row")),
    )
    for table in _BROUGHT:
        op.add_column(table, sa.Column("import_id", sa.Integer(), nullable=True))


def downgrade() -> None:
    for table in reversed(_BROUGHT):
        op.drop_column(table, "import_id")
    op.drop_table("earlier_row")
    op.drop_table("import")
