"""Jobs, and the shard groups and shards into which they are split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from benchcoe_jobs.domain import JobState, Queue, ShardState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup
from benchcoe_jobs.store.job_queue.turns import PRIORITY_S
from benchcoe_jobs.store.tables import Benchmark, Expert, now


@dataclass(frozen=True, slots=True)
class NewShardGroup:
    """A shard group to add. Each shard is its work, as JSON, and its number of items.

    `gpus` is the number of GPUs that a worker needs for it; 0 if one GPU or none is enough.
    """

    queue: Queue
    shards: Sequence[tuple[Mapping[str, Any], int]]
    expert_id: int | None = None
    benchmark_id: int | None = None
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Submission:
    """How a job is submitted: by whom, from which file if from one, and how urgently (0 is normal)."""

    by: str | None = None
    file: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class JobRow:
    """A stored job. `parent_id` is the job whose end submitted it."""

    id: int
    kind: str
    request: dict[str, Any]
    parent_id: int | None
    stage: int
    state: JobState
    report: dict[str, Any] | None
    error: str | None
    exit_code: int | None
    created_at: datetime
    cancelled_at: datetime | None
    finished_at: datetime | None
    submitted_by: str | None = None
    file: str | None = None
    priority: int = 0

    @property
    def is_open(self) -> bool:
        return self.state is JobState.OPEN


_PLAIN = Submission()

_COLUMNS = (
    Job.id,
    Job.kind,
    Job.request,
    Job.parent_id,
    Job.stage,
    Job.state,
    Job.report,
    Job.error,
    Job.exit_code,
    Job.created_at,
    Job.cancelled_at,
    Job.finished_at,
    Job.submitted_by,
    Job.file,
    Job.priority,
)


@dataclass(frozen=True, slots=True)
class ShardGroupRow:
    """A stored shard group, with the names of its expert and benchmark; the counts are those of the table."""

    job_id: int
    stage: int
    queue: str
    expert: str | None
    benchmark: str | None
    gpus: int
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int
    items: int
    reused: int
    answered: int
    errors: int
    loads: int
    seconds: float


def open_job(
    connection: Connection,
    kind: str,
    request: Mapping[str, Any],
    *,
    parent_id: int | None = None,
    submission: Submission = _PLAIN,
) -> tuple[int, bool]:
    """The id of the open job for exactly this request, and whether it is new.

    If the job is open already, it gets the priority of the submission if that is higher.
    """
    fingerprint = _fingerprint(kind, request)
    # Locked: if another transaction is closing the job, wait until it is closed; the request then gets a new job.
    same = select(Job.id).where(Job.fingerprint == fingerprint, Job.state == JobState.OPEN).with_for_update()
    if (found := connection.scalar(same)) is not None:
        _raise_priority(connection, found, submission.priority)
        return found, False
    values = {
        "kind": kind,
        "fingerprint": fingerprint,
        "request": dict(request),
        "parent_id": parent_id,
        "submitted_by": submission.by,
        "file": submission.file,
        "priority": submission.priority,
        "turn_at": turn_from_now(submission.priority),
    }
    try:
        with connection.begin_nested():
            new = connection.scalars(insert(Job).values(**values).returning(Job.id)).one()
    except IntegrityError:  # PostgreSQL has several writers: another one has just opened the same job
        return connection.scalars(same).one(), False
    return new, True


def lock_submission(connection: Connection) -> None:
    """Let no other transaction open or change a job before this one ends. SQLite has only one writer."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE job IN SHARE MODE"))


def turn_from_now(priority: Any) -> Any:
    """The `turn_at` of a job that is submitted or served now. `priority` is a number or a column."""
    return database_time() - PRIORITY_S * priority


def _raise_priority(connection: Connection, job_id: int, priority: int) -> None:
    raised = {"priority": priority, "turn_at": Job.turn_at - PRIORITY_S * (priority - Job.priority)}
    connection.execute(update(Job).where(Job.id == job_id, Job.priority < priority).values(**raised))


def newest_job(connection: Connection, kind: str, request: Mapping[str, Any]) -> JobRow | None:
    """The newest job for exactly this request in any state, locked until the end of the transaction; or None."""
    same = Job.fingerprint.startswith(_fingerprint(kind, request))  # also a cancelled one, see `flag_cancelled`
    newest = connection.scalar(select(Job.id).where(same).order_by(Job.id.desc()).limit(1))
    return None if newest is None else read_job(connection, newest, lock=True)


def add_shard_groups(connection: Connection, job_id: int, stage: int, shard_groups: Iterable[NewShardGroup]) -> None:
    """Add the shard groups of a job's stage; all their shards wait."""
    for shard_group in shard_groups:
        shard_group_id = connection.scalars(
            insert(ShardGroup)
            .values(
                job_id=job_id,
                stage=stage,
                queue=shard_group.queue.value,
                expert_id=shard_group.expert_id,
                benchmark_id=shard_group.benchmark_id,
                gpus=shard_group.gpus,
                waiting=len(shard_group.shards),
                items=sum(items for _, items in shard_group.shards),
            )
            .returning(ShardGroup.id)
        ).one()
        columns = ["shard_group_id", "state", "work", "items", "reused", "answered", "errors", "attempts", "fence"]
        rows = (
            (shard_group_id, ShardState.WAITING.value, json.dumps(work), items, 0, 0, 0, 0, 0)
            for work, items in shard_group.shards
        )
        bulk.insert(connection, Shard, columns, rows)


def read_job(connection: Connection, job_id: int, *, lock: bool = False) -> JobRow:
    """A job by its id. With `lock`, its row is locked until the end of the transaction. Raises UsageError."""
    query = select(*_COLUMNS).where(Job.id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise UsageError(f"there is no job {job_id}: `benchcoe-jobs jobs` lists all jobs")
    return _job(row)


def list_jobs(connection: Connection, *, limit: int | None = None, only_open: bool = False) -> list[JobRow]:
    """Jobs, newest first."""
    query = select(*_COLUMNS).order_by(Job.id.desc()).limit(limit)
    if only_open:
        query = query.where(Job.state == JobState.OPEN)
    return [_job(row) for row in connection.execute(query)]


def ended_before(connection: Connection, kind: str, time: datetime) -> list[JobRow]:
    """The jobs of a kind that ended before a time, by id."""
    query = select(*_COLUMNS).where(Job.kind == kind, Job.state != JobState.OPEN, Job.finished_at < time)
    return [_job(row) for row in connection.execute(query.order_by(Job.id))]


def followers(connection: Connection, job_id: int) -> list[int]:
    """The ids of all follow-up jobs of a job, and of their follow-up jobs in turn."""
    found: list[int] = []
    waiting = [job_id]
    while waiting:
        waiting = list(connection.scalars(select(Job.id).where(Job.parent_id.in_(waiting)).order_by(Job.id)))
        found += waiting
    return found


def shard_groups(connection: Connection, job_ids: Iterable[int], *, stage: int | None = None) -> list[ShardGroupRow]:
    """The shard groups of some jobs, of all stages or of one."""
    query = (
        select(
            ShardGroup.job_id,
            ShardGroup.stage,
            ShardGroup.queue,
            Expert.name.label("expert"),
            Benchmark.name.label("benchmark"),
            ShardGroup.gpus,
            ShardGroup.waiting,
            ShardGroup.running,
            ShardGroup.done,
            ShardGroup.failed,
            ShardGroup.cancelled,
            ShardGroup.items,
            ShardGroup.reused,
            ShardGroup.answered,
            ShardGroup.errors,
            ShardGroup.loads,
            ShardGroup.seconds,
        )
        .outerjoin(Expert, Expert.id == ShardGroup.expert_id)
        .outerjoin(Benchmark, Benchmark.id == ShardGroup.benchmark_id)
        .where(ShardGroup.job_id.in_(list(job_ids)))
        .order_by(ShardGroup.id)
    )
    if stage is not None:
        query = query.where(ShardGroup.stage == stage)
    return [ShardGroupRow(**row._asdict()) for row in connection.execute(query)]


def set_stage(connection: Connection, job_id: int, stage: int) -> None:
    """Set the current stage of a job."""
    connection.execute(update(Job).where(Job.id == job_id).values(stage=stage))


def note_error(connection: Connection, job_id: int, error: str, exit_code: int) -> None:
    """Store a failure with its job, unless an earlier one is stored."""
    connection.execute(
        update(Job).where(Job.id == job_id, Job.error.is_(None)).values(error=error, exit_code=exit_code)
    )


def set_report(connection: Connection, job_id: int, report: Mapping[str, Any]) -> None:
    """Store the report of a job that has a single shard, before the job is closed."""
    connection.execute(update(Job).where(Job.id == job_id).values(report=dict(report)))


def amend_request(connection: Connection, job_id: int, found: Mapping[str, Any]) -> None:
    """Add to a job's request what an early stage found and later stages need. The job's fingerprint stays."""
    request = read_job(connection, job_id).request | dict(found)
    connection.execute(update(Job).where(Job.id == job_id).values(request=request))


def close_job(connection: Connection, job_id: int, state: JobState, report: Mapping[str, Any] | None) -> None:
    """Set the final state and report of a job."""
    connection.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(state=state, report=None if report is None else dict(report), finished_at=now())
    )


def forget_stages_after(connection: Connection, job_id: int, stage: int) -> None:
    """Delete the shard groups of later stages; they are planned again when the stage is over."""
    later = select(ShardGroup.id).where(ShardGroup.job_id == job_id, ShardGroup.stage > stage)
    connection.execute(delete(Shard).where(Shard.shard_group_id.in_(later)))
    connection.execute(delete(ShardGroup).where(ShardGroup.job_id == job_id, ShardGroup.stage > stage))


def flag_cancelled(connection: Connection, job_id: int) -> None:
    """Mark an open job as cancelled: none of its shards is claimed, and running ones stop at the next micro-batch.

    Its fingerprint changes, so that the same request gets a new job immediately.
    """
    connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.OPEN, Job.cancelled_at.is_(None))
        .values(cancelled_at=now(), fingerprint=Job.fingerprint + f" cancelled {job_id}")
    )


def reopen(connection: Connection, job_id: int, request: Mapping[str, Any]) -> None:
    """Reopen a finished or cancelled job with a new request. Raises UsageError if another job for its work is open."""
    try:
        with connection.begin_nested():
            connection.execute(
                update(Job)
                .where(Job.id == job_id)
                .values(
                    state=JobState.OPEN,
                    fingerprint=func.substr(Job.fingerprint, 1, _FINGERPRINT),
                    request=dict(request),
                    cancelled_at=None,
                    error=None,
                    exit_code=None,
                    report=None,
                    finished_at=None,
                    turn_at=turn_from_now(Job.priority),
                )
            )
    except IntegrityError as error:
        raise UsageError("a job for the same work is open already: see `benchcoe-jobs jobs`") from error


_FINGERPRINT = 64
"""Characters of a SHA-256."""


def _fingerprint(kind: str, request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([kind, request], sort_keys=True).encode()).hexdigest()


def _job(row: Any) -> JobRow:
    values = row._asdict()
    return JobRow(**(values | {"state": JobState(values["state"])}))
