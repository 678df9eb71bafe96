"""What the commands share that get work done: submit a job, follow it here or leave it to the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import BenchcoeError, UnfinishedError

from .command import Session
from .stuck_job_hints import note_hints

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from benchcoe_jobs.dispatch.base import Dispatcher
    from benchcoe_jobs.store.job_queue.jobs import JobRow

waits = click.option("--wait", is_flag=True, help="Where a broker is configured: follow the job to its end.")


def get_done(
    session: Session,
    kind: str,
    request: Mapping[str, Any],
    *,
    what: str,
    wait: bool,
    before: Callable[[Connection], object] = lambda connection: None,
) -> JobRow | None:
    """Submit a job and follow it to its end, or with a broker and without `wait` show its number; None then.

    `before` is done in the transaction that submits. Raises what ended the job where nothing came of it.
    """
    from benchcoe_jobs.dispatch.base import dispatcher
    from benchcoe_jobs.job_queue.lifecycle import submit

    runner = dispatcher(session.store, session.settings)
    with session.store.writing() as connection:
        before(connection)
        job_id, is_new = submit(connection, kind, request)
    runner.announce()
    if runner.runs_here or wait:
        return follow(session, runner, job_id, what)
    show_queued(session, job_id, is_new=is_new)
    return None


def show_queued(session: Session, job_id: int, *, is_new: bool) -> None:
    """The job's number, for scripts the only output."""
    session.show({"job": job_id, "new": is_new}, lambda: click.echo(str(job_id)))
    session.note(f"job {job_id} {'is queued' if is_new else 'was queued before'}: benchcoe-jobs watch {job_id}")
    note_hints(session, job_id)


def follow(session: Session, runner: Dispatcher, job_id: int, what: str) -> JobRow:
    """A job to its end, with a bar. Raises BenchcoeError where it failed or was cancelled."""
    from benchcoe_jobs.store.job_queue import jobs

    if not runner.runs_here:
        note_hints(session, job_id)
    with session.store.reading() as connection:
        job_row = jobs.read_job(connection, job_id)
        shard_groups = jobs.shard_groups(connection, [job_id])
    n_processed = sum(shard_group.reused + shard_group.answered + shard_group.errors for shard_group in shard_groups)
    try:
        total = job_row.request.get("lines") or sum(shard_group.items for shard_group in shard_groups)
        with session.progress(what, total=total) as progress:
            progress(n_processed)
            job = runner.follow(job_id, progress)
    except KeyboardInterrupt:
        session.note(f"job {job_id} {_how_to_go_on(session, job_id, runs_here=runner.runs_here)}")
        raise
    require_end(job)
    return job


def require_end(job: JobRow) -> None:
    """Raise where a job came to nothing."""
    if job.state is JobState.CANCELLED:
        raise BenchcoeError(f"job {job.id} was cancelled; what it had stored stays")
    if job.state is JobState.FAILED:
        failed = BenchcoeError(job.error or f"job {job.id} failed")
        failed.exit_code = job.exit_code or BenchcoeError.exit_code
        raise failed


def require_all(job: JobRow) -> None:
    """Raise UnfinishedError where items of a job failed."""
    if job.state is JobState.PARTIAL:
        where = f"`benchcoe-jobs status {job.id}` counts them by expert"
        if job.kind == "batch":
            where = "the file of errors says why"
        raise UnfinishedError(
            f"some items of job {job.id} failed: {where}, `benchcoe-jobs retry {job.id}` does them again"
        )


def _how_to_go_on(session: Session, job_id: int, *, runs_here: bool) -> str:
    from benchcoe_jobs.store.job_queue import jobs

    if not runs_here:
        return f"goes on without you: benchcoe-jobs watch {job_id}"
    with session.store.reading() as connection:
        shard_groups = jobs.shard_groups(connection, [job_id])
    n_processed = sum(shard_group.reused + shard_group.answered for shard_group in shard_groups)
    n_items = sum(group.items for group in shard_groups)
    return f"has {n_processed} of {n_items} stored; the same command goes on from there"
