"""Standard names for tables, columns and stored JSON keys; routing snapshots; a view for McNemar's test.

lot -> shard_group, shard.lot_id -> shard_group_id, there -> reused, extraction.stage -> rule, and in the views
nobody_right -> all_wrong. Stored reports follow: stage -> distribution, asked -> inference,
there -> reused, curve -> history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from benchcoe_jobs.migrations.deploy import deploy_views

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BEFORE = {
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
AFTER = {
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

_CLAIMABLE = sa.text("waiting > 0")


def upgrade() -> None:
    deploy_views({}, replacing=BEFORE)
    _rename_queue_tables("lot", "shard_group", "there", "reused")
    op.alter_column("extraction", "stage", new_column_name="rule")
    op.create_table(
        "routing_snapshot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("router_id", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["router_id"], ["router.id"], name=op.f("fk_routing_snapshot_router_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_snapshot")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_routing_snapshot_fingerprint")),
    )
    op.create_index(op.f("ix_routing_snapshot_router_id"), "routing_snapshot", ["router_id"], unique=False)
    reference = sa.ForeignKey("routing_snapshot.id", name=op.f("fk_evaluation_snapshot_id"))
    if op.get_bind().dialect.name == "sqlite":  # it adds a reference only together with its column, and unnamed
        op.execute("ALTER TABLE evaluation ADD COLUMN snapshot_id INTEGER REFERENCES routing_snapshot (id)")
    else:
        op.add_column("evaluation", sa.Column("snapshot_id", sa.Integer(), reference, nullable=True))
    op.add_column("decision", sa.Column("fell_back", sa.Boolean(), nullable=True))
    _rename_keys(_NEW_KEYS)
    deploy_views(AFTER)


def downgrade() -> None:
    deploy_views({}, replacing=AFTER)
    _rename_keys({kind: {new: old for old, new in keys.items()} for kind, keys in _NEW_KEYS.items()})
    op.drop_column("decision", "fell_back")
    if op.get_bind().dialect.name == "sqlite":
        _drop_snapshot_id_on_sqlite()
    else:
        op.drop_column("evaluation", "snapshot_id")
    op.drop_index(op.f("ix_routing_snapshot_router_id"), table_name="routing_snapshot")
    op.drop_table("routing_snapshot")
    op.alter_column("extraction", "rule", new_column_name="stage")
    _rename_queue_tables("shard_group", "lot", "reused", "there")
    deploy_views(BEFORE)


def _drop_snapshot_id_on_sqlite() -> None:
    """Rebuild the table: SQLite cannot drop a column with a reference, nor a table to which rows refer."""
    op.execute("CREATE TEMPORARY TABLE kept_decision AS SELECT * FROM decision")
    op.execute("DELETE FROM decision")
    with op.batch_alter_table("evaluation") as batch:
        batch.drop_column("snapshot_id")
    op.execute("INSERT INTO decision SELECT * FROM kept_decision")
    op.execute("DROP TABLE kept_decision")


def _rename_queue_tables(old: str, new: str, old_count: str, new_count: str) -> None:
    for name in ("job_id_stage", "queue_id", "expert_id_id"):
        op.drop_index(op.f(f"ix_{old}_{name}"), table_name=old)
    op.drop_index(op.f(f"ix_shard_{old}_id_state_id"), table_name="shard")
    op.rename_table(old, new)
    op.alter_column(new, old_count, new_column_name=new_count)
    op.alter_column("shard", f"{old}_id", new_column_name=f"{new}_id")
    op.alter_column("shard", old_count, new_column_name=new_count)
    op.create_index(op.f(f"ix_{new}_job_id_stage"), new, ["job_id", "stage"], unique=False)
    for column, name in (("queue", f"ix_{new}_queue_id"), ("expert_id", f"ix_{new}_expert_id_id")):
        op.create_index(
            op.f(name), new, [column, "id"], unique=False, sqlite_where=_CLAIMABLE, postgresql_where=_CLAIMABLE
        )
    op.create_index(op.f(f"ix_shard_{new}_id_state_id"), "shard", [f"{new}_id", "state", "id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":  # SQLite cannot rename constraints, and does not use their names
        for constraint in ("pk_{}", "fk_{}_benchmark_id", "fk_{}_expert_id", "fk_{}_job_id"):
            op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT {constraint.format(old)} TO {constraint.format(new)}")
        op.execute(f"ALTER TABLE shard RENAME CONSTRAINT fk_shard_{old}_id TO fk_shard_{new}_id")
        op.execute(f"ALTER SEQUENCE {old}_id_seq RENAME TO {new}_id_seq")


# Kind of job -> old key -> new key. Evaluations store the report of their `evaluate` job.
_NEW_KEYS: Mapping[str, Mapping[str, str]] = {
    "evaluate": {"stage": "distribution", "asked": "inference"},
    "profile": {"there": "reused"},
    "train-router": {"curve": "history"},
}


def _rename_keys(keys: Mapping[str, Mapping[str, str]]) -> None:
    job = sa.table("job", sa.column("id"), sa.column("kind"), sa.column("report", sa.JSON))
    evaluation = sa.table("evaluation", sa.column("id"), sa.column("report", sa.JSON))
    for kind, renamed in keys.items():
        _rewrite(job, job.c.kind == kind, renamed)
    _rewrite(evaluation, sa.true(), keys["evaluate"])


def _rewrite(table: sa.TableClause, which: sa.ColumnElement[bool], keys: Mapping[str, str]) -> None:
    connection = op.get_bind()
    for id_, report in connection.execute(sa.select(table.c.id, table.c.report).where(which)).all():
        if isinstance(report, dict) and (changed := _renamed(report, keys)) != report:
            connection.execute(sa.update(table).where(table.c.id == id_).values(report=changed))


def _renamed(report: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """The report with its top-level keys renamed, and those of each row of `benchmarks`."""
    found = {keys.get(key, key): value for key, value in report.items()}
    if isinstance(found.get("benchmarks"), list):
        found["benchmarks"] = [{keys.get(key, key): value for key, value in row.items()} for row in found["benchmarks"]]
    return found
