"""Jobs, and the shard_groups and shards that they are cut into."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from benchcoe_jobs.domain import JobState, Queue, ShardState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup
from benchcoe_jobs.store.tables import Benchmark, Expert, now


@dataclass(frozen=True, slots=True)
class NewShardGroup:
    """Shards to be added: what each is about (as JSON can hold it), and how many items are in it.

    `gpus` is how many of them a worker must have.
    """

    queue: Queue
    shards: Sequence[tuple[Mapping[str, Any], int]]
    expert_id: int | None = None
    benchmark_id: int | None = None
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it stands. `parent_id` is the job that it follows from."""

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

    @property
    def is_open(self) -> bool:
        return self.state is JobState.OPEN


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
)


@dataclass(frozen=True, slots=True)
class ShardGroupRow:
    """A shard_group with the names that it is about, and its counts (see the table)."""

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
    connection: Connection, kind: str, request: Mapping[str, Any], *, parent_id: int | None = None
) -> tuple[int, bool]:
    """The id of the open job for this very request, and whether it is new."""
    fingerprint = _fingerprint(kind, request)
    # Locked: a job that is about to be over is waited for, and is then not the one for a new request.
    mine = select(Job.id).where(Job.fingerprint == fingerprint, Job.state == JobState.OPEN).with_for_update()
    if (found := connection.scalar(mine)) is not None:
        return found, False
    values = {"kind": kind, "fingerprint": fingerprint, "request": dict(request), "parent_id": parent_id}
    try:
        with connection.begin_nested():
            new = connection.scalars(insert(Job).values(**values).returning(Job.id)).one()
    except IntegrityError:  # PostgreSQL has several writers: another one asked for the same just now
        return connection.scalars(mine).one(), False
    return new, True


def finished_job(connection: Connection, kind: str, request: Mapping[str, Any]) -> int | None:
    """The newest job for this very request that came to an end, where there is one."""
    return connection.scalar(
        select(Job.id)
        .where(Job.fingerprint == _fingerprint(kind, request), Job.state.in_([JobState.DONE, JobState.PARTIAL]))
        .order_by(Job.id.desc())
        .limit(1)
    )


def add_shard_groups(connection: Connection, job_id: int, stage: int, shard_groups: Iterable[NewShardGroup]) -> None:
    """Cut a job's stage into shards, all of them waiting."""
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
    """A job; with `lock`, no other transaction closes it before this one ends. Raises UsageError."""
    query = select(*_COLUMNS).where(Job.id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise UsageError(f"there is no job {job_id}: `benchcoe-jobs jobs` lists those that there are")
    return _job(row)


def list_jobs(connection: Connection, *, limit: int | None = None, only_open: bool = False) -> list[JobRow]:
    """Jobs, the newest first."""
    query = select(*_COLUMNS).order_by(Job.id.desc()).limit(limit)
    if only_open:
        query = query.where(Job.state == JobState.OPEN)
    return [_job(row) for row in connection.execute(query)]


def followers(connection: Connection, job_id: int) -> list[int]:
    """The jobs that followed from a job, and from those in turn."""
    found: list[int] = []
    waiting = [job_id]
    while waiting:
        waiting = list(connection.scalars(select(Job.id).where(Job.parent_id.in_(waiting)).order_by(Job.id)))
        found += waiting
    return found


def shard_groups(connection: Connection, job_ids: Iterable[int], *, stage: int | None = None) -> list[ShardGroupRow]:
    """The shard_groups of some jobs, of all stages or of one."""
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


def waiting_shards(connection: Connection, at_most: int) -> dict[str, int]:
    """Queue -> how many shards wait in it, of the queues where some do; it is not counted beyond `at_most`."""
    found = {}
    for queue in Queue:
        shard_groups = (
            select(ShardGroup.waiting)
            .join(Job, Job.id == ShardGroup.job_id)
            .where(
                ShardGroup.queue == queue,
                ShardGroup.waiting > 0,
                Job.state == JobState.OPEN,
                Job.cancelled_at.is_(None),
            )
            .order_by(ShardGroup.id)
            .limit(at_most)
            .subquery()
        )
        if n := connection.scalar(select(func.sum(shard_groups.c.waiting))):
            found[queue.value] = min(int(n), at_most)
    return found


def n_unfinished(connection: Connection, job_id: int) -> int:
    """How many shards of a job wait or run."""
    return (
        connection.scalar(select(func.sum(ShardGroup.waiting + ShardGroup.running)).where(ShardGroup.job_id == job_id))
        or 0
    )


def left_open(connection: Connection) -> list[int]:
    """Open jobs with nothing more to wait for: no shard is unfinished, or those that wait are cancelled."""
    of_job = select(ShardGroup.id).where(ShardGroup.job_id == Job.id)
    waits = of_job.where(ShardGroup.waiting > 0).exists()
    is_unfinished = of_job.where(
        or_(ShardGroup.waiting > 0, ShardGroup.running > 0)
    ).exists()  # the first such shard_group is enough
    left = or_(~is_unfinished, and_(Job.cancelled_at.is_not(None), waits))
    return list(connection.scalars(select(Job.id).where(Job.state == JobState.OPEN, left).order_by(Job.id)))


def set_stage(connection: Connection, job_id: int, stage: int) -> None:
    """The job goes on with another stage."""
    connection.execute(update(Job).where(Job.id == job_id).values(stage=stage))


def note_error(connection: Connection, job_id: int, error: str, exit_code: int) -> None:
    """Keep a failure with its job; the first one stays."""
    connection.execute(
        update(Job).where(Job.id == job_id, Job.error.is_(None)).values(error=error, exit_code=exit_code)
    )


def set_report(connection: Connection, job_id: int, report: Mapping[str, Any]) -> None:
    """Keep what a job of a single shard found, for its end."""
    connection.execute(update(Job).where(Job.id == job_id).values(report=dict(report)))


def amend_request(connection: Connection, job_id: int, found: Mapping[str, Any]) -> None:
    """Add to a job's request what an early stage found and later stages need. The job's fingerprint stays."""
    request = read_job(connection, job_id).request | dict(found)
    connection.execute(update(Job).where(Job.id == job_id).values(request=request))


def close_job(connection: Connection, job_id: int, state: JobState, report: Mapping[str, Any] | None) -> None:
    """The job is over."""
    connection.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(state=state, report=None if report is None else dict(report), finished_at=now())
    )


def forget_stages_after(connection: Connection, job_id: int, stage: int) -> None:
    """What came after a stage is planned anew when the stage is over again."""
    later = select(ShardGroup.id).where(ShardGroup.job_id == job_id, ShardGroup.stage > stage)
    connection.execute(delete(Shard).where(Shard.shard_group_id.in_(later)))
    connection.execute(delete(ShardGroup).where(ShardGroup.job_id == job_id, ShardGroup.stage > stage))


def flag_cancelled(connection: Connection, job_id: int) -> None:
    """From here on, whoever runs a shard of the job stops at its next micro-batch, and nobody claims one.

    It is not the job for its request any more: who asks for the same again gets a new one at once.
    """
    connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.OPEN, Job.cancelled_at.is_(None))
        .values(cancelled_at=now(), fingerprint=Job.fingerprint + f" cancelled {job_id}")
    )


def reopen(connection: Connection, job_id: int, request: Mapping[str, Any]) -> None:
    """A job that was over goes on, with what is asked of it now. Raises UsageError where its like is open."""
    try:
        with connection.begin_nested():
            connection.execute(
                update(Job)
                .where(Job.id == job_id)
                .values(
                    state=JobState.OPEN,
                    request=dict(request),
                    error=None,
                    exit_code=None,
                    report=None,
                    finished_at=None,
                )
            )
    except IntegrityError as error:
        raise UsageError("a job for the same work is open already: see `benchcoe-jobs jobs`") from error


def _fingerprint(kind: str, request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([kind, request], sort_keys=True).encode()).hexdigest()


def _job(row: Any) -> JobRow:
    values = row._asdict()
    return JobRow(**(values | {"state": JobState(values["state"])}))
