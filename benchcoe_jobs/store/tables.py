"""The tables, for SQLite and PostgreSQL. docs/store.md describes every table and view.

Tables with a row per query (response, score, extraction, query_best, frozen_query_label, decision) declare no foreign
keys to queries, experts, strata or runs: their rows are made from joins with the parents, which are removed together
with them, and the checks would cost several look-ups for each row of a new expert. An `import_id` names the import
that added a row; it is null if no import did.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Tie-breaks end with the name, so names must sort by bytes on both databases.
Name = String().with_variant(String(collation="C"), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")
WITHOUT_ROWID = {"sqlite_with_rowid": False}
SPLITS = "split IN ('train', 'validation', 'test')"


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """A time with its time zone. SQLite stores UTC without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The base class of all tables. Its naming convention gives constraints the same names on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# --- benchmarks and queries ------------------------------------------------------------------


class Benchmark(Base):
    __tablename__ = "benchmark"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    import_id: Mapped[int | None] = mapped_column(Integer)


class Subject(Base):
    """A part of a benchmark. `origin_id` is the subject that the questions are from if `add-subjects` made this one.

    It is no foreign key: the origin may be removed while a label set still names the cluster.
    """

    __tablename__ = "subject"
    __table_args__ = (UniqueConstraint("benchmark_id", "name"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    name: Mapped[str] = mapped_column(Name)
    shots: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    import_id: Mapped[int | None] = mapped_column(Integer)
    origin_id: Mapped[int | None] = mapped_column(Integer)


class Stratum(Base):
    """A subject within a split: the unit of coverage, of sums and of ranks."""

    __tablename__ = "stratum"
    __table_args__ = (UniqueConstraint("subject_id", "split"), CheckConstraint(SPLITS, name="split"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"))
    split: Mapped[str] = mapped_column(String)
    n_queries: Mapped[int] = mapped_column(Integer, default=0)


class Query(Base):
    """A query without its content, which is in `query_content`: imports and training read the whole table."""

    __tablename__ = "query"
    __table_args__ = (UniqueConstraint("benchmark_id", "key"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), index=True)
    key: Mapped[str] = mapped_column(Name)
    import_id: Mapped[int | None] = mapped_column(Integer)


class QueryContent(Base):
    __tablename__ = "query_content"
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(String, index=True)
    text: Mapped[str] = mapped_column(Text)
    choices: Mapped[list[str]] = mapped_column(JSON)
    answer: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(String)


class Picture(Base):
    """An encoded picture, unchanged from its source. `hash` is its SHA-256 (hex), `size` its length in bytes."""

    __tablename__ = "picture"
    hash: Mapped[str] = mapped_column(String, primary_key=True)
    media_type: Mapped[str] = mapped_column(String)
    size: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class QueryPicture(Base):
    """A picture of a query, in the order in which the text names them. Other queries may have the same picture."""

    __tablename__ = "query_picture"
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    picture_hash: Mapped[str] = mapped_column(ForeignKey("picture.hash"), index=True)


# --- experts and pools -----------------------------------------------------------------------


class Expert(Base):
    __tablename__ = "expert"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    engine: Mapped[str] = mapped_column(String)
    model: Mapped[str | None] = mapped_column(String)
    revision: Mapped[str | None] = mapped_column(String)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    cost: Mapped[float | None] = mapped_column(Double)
    price_in: Mapped[float | None] = mapped_column(Double)
    price_out: Mapped[float | None] = mapped_column(Double)
    price_gpu_second: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    retired_at: Mapped[datetime | None] = mapped_column(UtcTime)
    import_id: Mapped[int | None] = mapped_column(Integer)
    drifted_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Pool(Base):
    __tablename__ = "pool"
    __table_args__ = (CheckConstraint("min_coverage > 0 AND min_coverage <= 1", name="min_coverage"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    min_coverage: Mapped[float] = mapped_column(Double, default=0.95)


class PoolMember(Base):
    """The members of pools. The pool `all` has no rows here: the view `pool_expert` derives its members."""

    __tablename__ = "pool_member"
    pool_id: Mapped[int] = mapped_column(ForeignKey("pool.id"), primary_key=True)
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"), primary_key=True)


# --- responses and scores --------------------------------------------------------------------


class Run(Base):
    """Provenance of responses. `fingerprint` is the SHA-256 of everything that can change an answer."""

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String, unique=True)
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"))
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    provenance: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    import_id: Mapped[int | None] = mapped_column(Integer)


class Response(Base):
    """A response of an expert. Responses are never changed."""

    __tablename__ = "response"
    __table_args__ = (UniqueConstraint("run_id", "query_id"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    run_id: Mapped[int] = mapped_column(Integer)
    query_id: Mapped[int] = mapped_column(Integer)
    text: Mapped[str | None] = mapped_column(Text)
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    completion_tokens: Mapped[int | None] = mapped_column(Integer)
    latency_s: Mapped[float | None] = mapped_column(Double)
    finish_reason: Mapped[str | None] = mapped_column(String)
    error: Mapped[str | None] = mapped_column(Text)
    cost: Mapped[float | None] = mapped_column(Double)


class Score(Base):
    """The score of an expert on a query.

    The query's stratum is repeated, so that sums and labels need no join with `query` (measured with a million
    queries: 0.7 of the time for sums, 0.4 for labels; one byte a row).
    """

    __tablename__ = "score"
    __table_args__ = (
        CheckConstraint("value >= 0 AND value <= 1", name="value"),
        WITHOUT_ROWID,
    )
    expert_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    query_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    stratum_id: Mapped[int] = mapped_column(Integer)
    value: Mapped[float] = mapped_column(Double)
    run_id: Mapped[int] = mapped_column(Integer)


class Extraction(Base):
    """The answer extracted from a scored response. It is a separate table so that `score` stays narrow."""

    __tablename__ = "extraction"
    __table_args__ = WITHOUT_ROWID
    expert_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    query_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    answer: Mapped[str | None] = mapped_column(Text)
    rule: Mapped[str] = mapped_column(String)
    claimed: Mapped[str | None] = mapped_column(Text)


class QueryVariant(Base):
    """The content that an imported file had for a query instead of the stored one. Its row was skipped."""

    __tablename__ = "query_variant"
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(String)


class ReportedScore(Base):
    __tablename__ = "reported_score"
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), primary_key=True)
    value: Mapped[float] = mapped_column(Double)
    n: Mapped[int | None] = mapped_column(Integer)


# --- aggregates, kept up to date by results/aggregates.py ------------------------------------


class ScoreSum(Base):
    """The sum of an expert's scores in a stratum, in micro-units."""

    __tablename__ = "score_sum"
    __table_args__ = WITHOUT_ROWID
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"), primary_key=True)
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), primary_key=True)
    n: Mapped[int] = mapped_column(Integer)
    total_micro: Mapped[int] = mapped_column(BigInteger)


class PoolRank(Base):
    """The ranking with which `query_best` was last computed: its tie-break."""

    __tablename__ = "pool_rank"
    __table_args__ = WITHOUT_ROWID
    pool_id: Mapped[int] = mapped_column(ForeignKey("pool.id"), primary_key=True)
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), primary_key=True)
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"), primary_key=True)
    rank: Mapped[int] = mapped_column(Integer)


class QueryBest(Base):
    """The best eligible expert of every query in every pool: the rows of the view `query_label`."""

    __tablename__ = "query_best"
    __table_args__ = WITHOUT_ROWID
    pool_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    query_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    stratum_id: Mapped[int] = mapped_column(Integer)
    expert_id: Mapped[int] = mapped_column(Integer)
    value: Mapped[float] = mapped_column(Double)
    tied: Mapped[int] = mapped_column(Integer)
    runner_up: Mapped[float | None] = mapped_column(Double)


class Repair(Base):
    """A repair of an audit, so that it can be undone. `moves` is described in store/results/repairs.py."""

    __tablename__ = "repair"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    expert_id: Mapped[int | None] = mapped_column(ForeignKey("expert.id"))
    moves: Mapped[list[list[int]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    undone_at: Mapped[datetime | None] = mapped_column(UtcTime)


# --- frozen labels ---------------------------------------------------------------------------


class LabelSet(Base):
    __tablename__ = "label_set"
    __table_args__ = (CheckConstraint(SPLITS, name="split"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String, unique=True)
    level: Mapped[str] = mapped_column(String)
    pool_id: Mapped[int] = mapped_column(ForeignKey("pool.id"))
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    split: Mapped[str] = mapped_column(String)
    min_coverage: Mapped[float] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    policy: Mapped[str] = mapped_column(String, server_default="best")


class FrozenSubjectLabel(Base):
    __tablename__ = "frozen_subject_label"
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), primary_key=True)
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"))


class FrozenQueryLabel(Base):
    __tablename__ = "frozen_query_label"
    __table_args__ = WITHOUT_ROWID
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"), primary_key=True)
    query_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    expert_id: Mapped[int] = mapped_column(Integer)
