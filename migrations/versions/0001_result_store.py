"""The result store: benchmarks, experts, scores, labels, routers, decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from benchcoe_jobs.migrations.deploy import deploy_views

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

VIEWS = {
    "pool_expert": 1,
    "expert_coverage": 1,
    "expert_subject_score": 1,
    "expert_rank": 1,
    "subject_label": 1,
    "query_label": 1,
    "query_target": 1,
    "pool_summary": 1,
}


def upgrade() -> None:
    op.create_table(
        "benchmark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benchmark")),
        sa.UniqueConstraint("name", name=op.f("uq_benchmark_name")),
    )
    op.create_table(
        "embedding",
        sa.Column("encoder", sa.String(), nullable=False),
        sa.Column("text_hash", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("encoder", "text_hash", name=op.f("pk_embedding")),
    )
    op.create_table(
        "expert",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("revision", sa.String(), nullable=True),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expert")),
        sa.UniqueConstraint("name", name=op.f("uq_expert_name")),
    )
    op.create_table(
        "extraction",
        sa.Column("expert_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("query_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("stage", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("expert_id", "query_id", name=op.f("pk_extraction")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pool",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("min_coverage", sa.Double(), nullable=False),
        sa.CheckConstraint("min_coverage > 0 AND min_coverage <= 1", name=op.f("ck_pool_min_coverage")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool")),
        sa.UniqueConstraint("name", name=op.f("uq_pool_name")),
    )
    op.create_table(
        "query_best",
        sa.Column("pool_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("query_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("tied", sa.Integer(), nullable=False),
        sa.Column("runner_up", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("pool_id", "query_id", name=op.f("pk_query_best")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "response",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("latency_s", sa.Double(), nullable=True),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_response")),
        sa.UniqueConstraint("run_id", "query_id", name=op.f("uq_response_run_id_query_id")),
    )
    op.create_table(
        "score",
        sa.Column("expert_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("query_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("value >= 0 AND value <= 1", name=op.f("ck_score_value")),
        sa.PrimaryKeyConstraint("expert_id", "query_id", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "label_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("pool_id", sa.Integer(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("min_coverage", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_label_set_split")),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_label_set_benchmark_id")),
        sa.ForeignKeyConstraint(["pool_id"], ["pool.id"], name=op.f("fk_label_set_pool_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_set")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_label_set_fingerprint")),
    )
    op.create_table(
        "pool_member",
        sa.Column("pool_id", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_pool_member_expert_id")),
        sa.ForeignKeyConstraint(["pool_id"], ["pool.id"], name=op.f("fk_pool_member_pool_id")),
        sa.PrimaryKeyConstraint("pool_id", "expert_id", name=op.f("pk_pool_member")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_run_benchmark_id")),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_run_expert_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_run_fingerprint")),
    )
    op.create_table(
        "subject",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("shots", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_subject_benchmark_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject")),
        sa.UniqueConstraint("benchmark_id", "name", name=op.f("uq_subject_benchmark_id_name")),
    )
    op.create_table(
        "frozen_query_label",
        sa.Column("label_set_id", sa.Integer(), nullable=False),
        sa.Column("query_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["label_set_id"], ["label_set.id"], name=op.f("fk_frozen_query_label_label_set_id")),
        sa.PrimaryKeyConstraint("label_set_id", "query_id", name=op.f("pk_frozen_query_label")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "frozen_subject_label",
        sa.Column("label_set_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_frozen_subject_label_expert_id")),
        sa.ForeignKeyConstraint(["label_set_id"], ["label_set.id"], name=op.f("fk_frozen_subject_label_label_set_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_frozen_subject_label_subject_id")),
        sa.PrimaryKeyConstraint("label_set_id", "subject_id", name=op.f("pk_frozen_subject_label")),
    )
    op.create_table(
        "reported_score",
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_reported_score_expert_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_reported_score_subject_id")),
        sa.PrimaryKeyConstraint("expert_id", "subject_id", name=op.f("pk_reported_score")),
    )
    op.create_table(
        "router",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("pool_id", sa.Integer(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("label_set_id", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("n_queries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_router_benchmark_id")),
        sa.ForeignKeyConstraint(["label_set_id"], ["label_set.id"], name=op.f("fk_router_label_set_id")),
        sa.ForeignKeyConstraint(["pool_id"], ["pool.id"], name=op.f("fk_router_pool_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_router")),
        sa.UniqueConstraint("name", name=op.f("uq_router_name")),
    )
    op.create_table(
        "stratum",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("n_queries", sa.Integer(), nullable=False),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_stratum_split")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_stratum_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stratum")),
        sa.UniqueConstraint("subject_id", "split", name=op.f("uq_stratum_subject_id_split")),
    )
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("router_id", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_evaluation_benchmark_id")),
        sa.ForeignKeyConstraint(["router_id"], ["router.id"], name=op.f("fk_evaluation_router_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_evaluation_fingerprint")),
    )
    op.create_table(
        "pool_rank",
        sa.Column("pool_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_pool_rank_expert_id")),
        sa.ForeignKeyConstraint(["pool_id"], ["pool.id"], name=op.f("fk_pool_rank_pool_id")),
        sa.ForeignKeyConstraint(["stratum_id"], ["stratum.id"], name=op.f("fk_pool_rank_stratum_id")),
        sa.PrimaryKeyConstraint("pool_id", "stratum_id", "expert_id", name=op.f("pk_pool_rank")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "query",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.ForeignKeyConstraint(["benchmark_id"], ["benchmark.id"], name=op.f("fk_query_benchmark_id")),
        sa.ForeignKeyConstraint(["stratum_id"], ["stratum.id"], name=op.f("fk_query_stratum_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_query")),
        sa.UniqueConstraint("benchmark_id", "key", name=op.f("uq_query_benchmark_id_key")),
    )
    op.create_index(op.f("ix_query_stratum_id"), "query", ["stratum_id"], unique=False)
    op.create_table(
        "score_sum",
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("total_micro", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["expert_id"], ["expert.id"], name=op.f("fk_score_sum_expert_id")),
        sa.ForeignKeyConstraint(["stratum_id"], ["stratum.id"], name=op.f("fk_score_sum_stratum_id")),
        sa.PrimaryKeyConstraint("expert_id", "stratum_id", name=op.f("pk_score_sum")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "decision",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("query_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("expert_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_decision_evaluation_id")),
        sa.PrimaryKeyConstraint("evaluation_id", "query_id", name=op.f("pk_decision")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "query_content",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["query_id"], ["query.id"], name=op.f("fk_query_content_query_id")),
        sa.PrimaryKeyConstraint("query_id", name=op.f("pk_query_content")),
    )
    op.create_index(op.f("ix_query_content_content_hash"), "query_content", ["content_hash"], unique=False)
    op.create_table(
        "query_image",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["query.id"], name=op.f("fk_query_image_query_id")),
        sa.PrimaryKeyConstraint("query_id", "position", name=op.f("pk_query_image")),
    )
    op.execute("INSERT INTO pool (name, min_coverage) VALUES ('all', 0.95)")
    deploy_views(VIEWS)


def downgrade() -> None:
    deploy_views({}, replacing=VIEWS)
    op.drop_table("query_image")
    op.drop_index(op.f("ix_query_content_content_hash"), table_name="query_content")
    op.drop_table("query_content")
    op.drop_table("decision")
    op.drop_table("score_sum")
    op.drop_index(op.f("ix_query_stratum_id"), table_name="query")
    op.drop_table("query")
    op.drop_table("pool_rank")
    op.drop_table("evaluation")
    op.drop_table("stratum")
    op.drop_table("router")
    op.drop_table("reported_score")
    op.drop_table("frozen_subject_label")
    op.drop_table("frozen_query_label")
    op.drop_table("subject")
    op.drop_table("run")
    op.drop_table("pool_member")
    op.drop_table("label_set")
    op.drop_table("score")
    op.drop_table("response")
    op.drop_table("query_best")
    op.drop_table("pool")
    op.drop_table("extraction")
    op.drop_table("expert")
    op.drop_table("embedding")
    op.drop_table("benchmark")
