"""The tables of the job queue. docs/store.md describes them, docs/jobs.md how they change."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Double, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from benchcoe_jobs.store.tables import Base, BigId, UtcTime, now

_OPEN = text("state = 'open'")
_CLAIMABLE = text("waiting > 0")
_RUNNING = text("state = 'running'")


class Job(Base):
    """A request for work. Fingerprints are unique among open jobs: the same work requested twice is one job.

    `stage` is the current stage, from 0. `error` is the first failure; `exit_code` is the exit code of a command that
    waits for the job. `turn_at` is when a shard of the job was last claimed, less an hour for each level of `priority`:
    the open job with the smallest one comes first (`turns`).
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("uq_job_open_fingerprint", "fingerprint", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index(None, "turn_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    fingerprint: Mapped[str] = mapped_column(String)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)
    stage: Mapped[int] = mapped_column(Integer, default=0)
    state: Mapped[str] = mapped_column(String, default="open")
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    submitted_by: Mapped[str | None] = mapped_column(String)
    file: Mapped[str | None] = mapped_column(String)
    priority: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    turn_at: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")


class ShardGroup(Base):
    """The shards of a job's stage with the same expert and benchmark, and their counts.

    The counts change in the same transaction as the shards, so a status and a claim cost the same with a million
    shards as with a thousand. The first five count shards; the next four count items (queries or lines): all items,
    those answered before the job, those answered by it, and those that ended in an error.
    """

    __tablename__ = "shard_group"
    __table_args__ = (
        Index(None, "job_id", "stage"),
        Index(None, "queue", "id", sqlite_where=_CLAIMABLE, postgresql_where=_CLAIMABLE),
        Index(None, "expert_id", "id", sqlite_where=_CLAIMABLE, postgresql_where=_CLAIMABLE),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    stage: Mapped[int] = mapped_column(Integer)
    queue: Mapped[str] = mapped_column(String)
    expert_id: Mapped[int | None] = mapped_column(ForeignKey("expert.id"))
    benchmark_id: Mapped[int | None] = mapped_column(ForeignKey("benchmark.id"))
    gpus: Mapped[int] = mapped_column(Integer)
    waiting: Mapped[int] = mapped_column(Integer, default=0)
    running: Mapped[int] = mapped_column(Integer, default=0)
    done: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    cancelled: Mapped[int] = mapped_column(Integer, default=0)
    items: Mapped[int] = mapped_column(Integer, default=0)
    reused: Mapped[int] = mapped_column(Integer, default=0)
    answered: Mapped[int] = mapped_column(Integer, default=0)
    errors: Mapped[int] = mapped_column(Integer, default=0)
    loads: Mapped[int] = mapped_column(Integer, default=0)
    seconds: Mapped[float] = mapped_column(Double, default=0.0)


class Shard(Base):
    """A unit of work that one worker claims. `fence` grows with every claim, which invalidates earlier claims.

    The id of a deleted shard is never given to another one, so a claim of it stays invalid.
    """

    __tablename__ = "shard"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name="state"),
        Index(None, "shard_group_id", "state", "id"),
        Index(None, "lease_until", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    shard_group_id: Mapped[int] = mapped_column(ForeignKey("shard_group.id"))
    state: Mapped[str] = mapped_column(String)
    work: Mapped[dict[str, Any]] = mapped_column(JSON)
    items: Mapped[int] = mapped_column(Integer)
    reused: Mapped[int] = mapped_column(Integer, default=0)
    answered: Mapped[int] = mapped_column(Integer, default=0)
    errors: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    fence: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str | None] = mapped_column(String)
    lease_until: Mapped[float | None] = mapped_column(Double)
    error: Mapped[str | None] = mapped_column(Text)


class Worker(Base):
    """A process that runs shards. `seen_at` is the time of its last heartbeat by the clock of the database."""

    __tablename__ = "worker"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    queues: Mapped[str] = mapped_column(String)
    gpus: Mapped[str | None] = mapped_column(String)
    seen_at: Mapped[float] = mapped_column(Double)
    expert_id: Mapped[int | None] = mapped_column(ForeignKey("expert.id"))


class BatchLine(Base):
    """A line of a submitted file and its result: in the end, exactly one of `text` and `error` is set.

    `body` is the request as submitted. `expert_id` and `why` are set when the line is routed.
    """

    __tablename__ = "batch_line"
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    line: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    custom_id: Mapped[str] = mapped_column(String)
    url: Mapped[str] = mapped_column(String)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    expert_id: Mapped[int | None] = mapped_column(Integer)
    why: Mapped[str | None] = mapped_column(Text)
    text: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    finish_reason: Mapped[str | None] = mapped_column(String)
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    completion_tokens: Mapped[int | None] = mapped_column(Integer)
    answered_at: Mapped[datetime | None] = mapped_column(UtcTime)
