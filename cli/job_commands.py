"""Submit a job and follow it in the foreground, or leave it to the workers. Shared by the commands that start jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import BenchcoeError, UnfinishedError

from .command import Session
from .output import echo
from .stuck_job_hints import note_hints

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from benchcoe_jobs.dispatch.base import Dispatcher
    from benchcoe_jobs.store.job_queue.jobs import JobRow

wait_option = click.option("--wait", is_flag=True, help="With a broker configured: follow the job to its end.")

priority_option = click.option(
    "--priority",
    type=click.IntRange(-10, 10),
    default=0,
    show_default=True,
    help="Order among jobs, higher first; each level counts as an hour of waiting.",
)


def run_job(
    session: Session,
    kind: str,
    request: Mapping[str, Any] | Callable[[Connection], Mapping[str, Any]],
    *,
    what: str,
    wait: bool,
    priority: int = 0,
    before: Callable[[Connection], object] = lambda connection: None,
) -> JobRow | None:
    """Submit a job and follow it to its end. With a broker and without `wait`, print its number and return None.

    `before`, and `request` if it is a function, are called in the transaction that submits the job. Raises
    BenchcoeError if the job fails or is cancelled.
    """
    from benchcoe_jobs.dispatch.base import dispatcher
    from benchcoe_jobs.job_queue.lifecycle import new_submission, submit
    from benchcoe_jobs.store.job_queue import transitions

    runner = dispatcher(session.store, session.settings)
    with session.store.writing() as connection:
        before(connection)
        work = request(connection) if callable(request) else request
        job_id, is_new = submit(connection, kind, work, submission=new_submission(priority=priority))
    if runner.runs_here and not is_new:  # the user goes on with what was killed, perhaps three times
        with session.store.writing() as connection:  # shards are locked before their job, which `submit` has locked
            transitions.renew_attempts(connection, job_id)
    runner.announce()
    if runner.runs_here or wait:
        return follow(session, runner, job_id, what)
    show_queued(session, job_id, is_new=is_new)
    return None


def show_queued(session: Session, job_id: int, *, is_new: bool) -> None:
    """Print the job's number, which is the only output on stdout, and notes on how to follow it."""
    from benchcoe_jobs.store.job_queue import jobs

    session.show({"job": job_id, "new": is_new}, lambda: echo(str(job_id)))
    with session.store.reading() as connection:
        job = jobs.read_job(connection, job_id)
    if not job.is_open:  # only a submitted file is the same job after its end
        session.note(f"job {job_id} is {job.state}: `benchcoe-jobs results {job_id}` writes its results")
        return
    state = "is queued" if is_new else "was already queued"
    session.note(f"job {job_id} {state}: `benchcoe-jobs watch {job_id}` follows it")
    note_hints(session, job_id)


def follow(session: Session, runner: Dispatcher, job_id: int, what: str) -> JobRow:
    """Follow a job to its end, with a progress bar. Raises BenchcoeError if it fails or is cancelled."""
    from benchcoe_jobs.store.job_queue import jobs

    if not runner.runs_here:
        note_hints(session, job_id)
    with session.store.reading() as connection:
        job_row = jobs.read_job(connection, job_id)
        shard_groups = jobs.shard_groups(connection, [job_id])
    n_processed = sum(group.reused + group.answered + group.errors for group in shard_groups)
    try:
        total = job_row.request.get("lines") or sum(group.items for group in shard_groups)
        if "worthwhile" in job_row.request:  # how many rounds follow is not known
            total = None
        with session.progress(what, total=total) as progress:
            progress(n_processed)
            job = runner.follow(job_id, progress)
    except KeyboardInterrupt:
        session.note(_interruption_note(session, job_id, runs_here=runner.runs_here))
        raise
    require_success(job)
    return job


def require_success(job: JobRow) -> None:
    """Raise BenchcoeError if a job failed or was cancelled."""
    if job.state is JobState.CANCELLED:
        raise BenchcoeError(
            f"job {job.id} was cancelled; the results that it had stored are kept, and `benchcoe-jobs retry {job.id}` "
            "continues from them"
        )
    if job.state is JobState.FAILED:
        failed = BenchcoeError(job.error or f"job {job.id} failed")
        failed.exit_code = job.exit_code or BenchcoeError.exit_code
        raise failed


def require_complete(job: JobRow) -> None:
    """Raise UnfinishedError if some items of a job failed."""
    if job.state is JobState.PARTIAL:
        where = f"`benchcoe-jobs status {job.id}` counts them by expert"
        if job.kind == "batch":
            where = "the error file has the reasons"
        raise UnfinishedError(
            f"some items of job {job.id} failed: {where}, `benchcoe-jobs retry {job.id}` repeats them"
        )


def _interruption_note(session: Session, job_id: int, *, runs_here: bool) -> str:
    from benchcoe_jobs.store.job_queue import jobs

    if not runs_here:
        return f"job {job_id} continues on the workers: `benchcoe-jobs watch {job_id}` follows it"
    with session.store.reading() as connection:
        shard_groups = jobs.shard_groups(connection, [job_id])
    n_stored = sum(group.reused + group.answered for group in shard_groups)
    n_items = sum(group.items for group in shard_groups)
    return f"job {job_id} has {n_stored} of {n_items} stored; the same command continues from there"
