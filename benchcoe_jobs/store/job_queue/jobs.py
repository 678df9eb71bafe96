"""Jobs, and the lots and shards that they are cut into."""

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
from benchcoe_jobs.store.job_queue.tables import Job, Lot, Shard
from benchcoe_jobs.store.tables import Benchmark, Expert, now


@dataclass(frozen=True, slots=True)
class NewLot:
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
class LotRow:
    """A lot with the names that it is about, and its counts (see the table)."""

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
    there: int
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


def add_lots(connection: Connection, job_id: int, stage: int, lots: Iterable[NewLot]) -> None:
    """Cut a job's stage into shards, all of them waiting."""
    for lot in lots:
        lot_id = connection.scalars(
            insert(Lot)
            .values(
                job_id=job_id,
                stage=stage,
                queue=lot.queue.value,
                expert_id=lot.expert_id,
                benchmark_id=lot.benchmark_id,
                gpus=lot.gpus,
                waiting=len(lot.shards),
                items=sum(items for _, items in lot.shards),
            )
            .returning(Lot.id)
        ).one()
        columns = ["lot_id", "state", "work", "items", "there", "answered", "errors", "attempts", "fence"]
        rows = (
            (lot_id, ShardState.WAITING.value, json.dumps(work), items, 0, 0, 0, 0, 0) for work, items in lot.shards
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


def lots(connection: Connection, job_ids: Iterable[int], *, stage: int | None = None) -> list[LotRow]:
    """The lots of some jobs, of all stages or of one."""
    query = (
        select(
            Lot.job_id,
            Lot.stage,
            Lot.queue,
            Expert.name.label("expert"),
            Benchmark.name.label("benchmark"),
            Lot.gpus,
            Lot.waiting,
            Lot.running,
            Lot.done,
            Lot.failed,
            Lot.cancelled,
            Lot.items,
            Lot.there,
            Lot.answered,
            Lot.errors,
            Lot.loads,
            Lot.seconds,
        )
        .outerjoin(Expert, Expert.id == Lot.expert_id)
        .outerjoin(Benchmark, Benchmark.id == Lot.benchmark_id)
        .where(Lot.job_id.in_(list(job_ids)))
        .order_by(Lot.id)
    )
    if stage is not None:
        query = query.where(Lot.stage == stage)
    return [LotRow(**row._asdict()) for row in connection.execute(query)]


def waiting_shards(connection: Connection, at_most: int) -> dict[str, int]:
    """Queue -> how many shards wait in it, of the queues where some do; it is not counted beyond `at_most`."""
    found = {}
    for queue in Queue:
        lots = (
            select(Lot.waiting)
            .join(Job, Job.id == Lot.job_id)
            .where(Lot.queue == queue, Lot.waiting > 0, Job.state == JobState.OPEN, Job.cancelled_at.is_(None))
            .order_by(Lot.id)
            .limit(at_most)
            .subquery()
        )
        if n := connection.scalar(select(func.sum(lots.c.waiting))):
            found[queue.value] = min(int(n), at_most)
    return found


def n_unfinished(connection: Connection, job_id: int) -> int:
    """How many shards of a job wait or run."""
    return connection.scalar(select(func.sum(Lot.waiting + Lot.running)).where(Lot.job_id == job_id)) or 0


def left_open(connection: Connection) -> list[int]:
    """Open jobs with nothing more to wait for: no shard is unfinished, or those that wait are cancelled."""
    of_job = select(Lot.id).where(Lot.job_id == Job.id)
    waits = of_job.where(Lot.waiting > 0).exists()
    is_unfinished = of_job.where(or_(Lot.waiting > 0, Lot.running > 0)).exists()  # the first such lot is enough
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


def close_job(connection: Connection, job_id: int, state: JobState, report: Mapping[str, Any] | None) -> None:
    """The job is over."""
    connection.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(state=state, report=None if report is None else dict(report), finished_at=now())
    )


def forget_stages_after(connection: Connection, job_id: int, stage: int) -> None:
    """What came after a stage is planned anew when the stage is over again."""
    later = select(Lot.id).where(Lot.job_id == job_id, Lot.stage > stage)
    connection.execute(delete(Shard).where(Shard.lot_id.in_(later)))
    connection.execute(delete(Lot).where(Lot.job_id == job_id, Lot.stage > stage))


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
