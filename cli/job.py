"""The commands of jobs: jobs, status, watch, cancel, retry."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.masking import masked
from benchcoe_jobs.wording import counted, percent

from .command import Command, Session, cell, table
from .job_commands import follow, require_complete, require_success, wait_option
from .output import echo
from .quotes import took
from .stuck_job_hints import hints, note_hints

if TYPE_CHECKING:
    from benchcoe_jobs.store.job_queue.jobs import JobRow, ShardGroupRow

_POLL_S = 0.5
_MAX_FAILURES = 10
_ERROR_WIDTH = 40
_MAX_JOBS = 1_000_000

JOB_ID = click.IntRange(1, 2**31 - 1)
"""The range of the column of ids."""

job_argument = click.argument("job", type=JOB_ID)


@click.command(cls=Command)
@click.option("--open", "only_open", is_flag=True, help="List only jobs that have not ended.")
@click.option(
    "--limit",
    type=click.IntRange(1, _MAX_JOBS),
    default=50,
    show_default=True,
    metavar="N",
    help="List the newest N jobs.",
)
def jobs(session: Session, only_open: bool, limit: int) -> None:
    """List jobs, newest first.

    Shows what a job is about (for a submitted file its name), who submitted it, and how long it has taken
    so far, or took in all. Jobs are served in turn, see --priority of the commands that start them.
    """
    from benchcoe_jobs.store.job_queue import jobs

    with session.store.reading() as connection:
        found = jobs.list_jobs(connection, limit=limit, only_open=only_open)
        shard_groups = jobs.shard_groups(connection, [job.id for job in found])
    of_job: dict[int, list[ShardGroupRow]] = {}
    for group in shard_groups:
        of_job.setdefault(group.job_id, []).append(group)
    rows = [_summary(job, of_job.get(job.id, [])) for job in found]
    shown = rows if session.as_json else [_brief(row) for row in rows]
    session.show_list("jobs", shown, none="no job is open" if only_open else None)


@click.command(cls=Command)
@job_argument
def status(session: Session, job: int) -> None:
    """Show the progress of a job and what failed in it.

    The information comes from the database. A note reports a broker that does not answer.
    """
    from benchcoe_jobs.dispatch.broker import fault_of
    from benchcoe_jobs.store.job_queue import jobs, transitions, workers

    with session.store.reading() as connection:
        row = jobs.read_job(connection, job)
        shard_groups = jobs.shard_groups(connection, [job])
        failures = transitions.failures(connection, job, _MAX_FAILURES)
        followers = jobs.followers(connection, job)
        all_workers = workers.workers(connection)
    fault = None if session.settings.broker_url is None else fault_of(session.settings)
    data = _summary(row, shard_groups) | {
        "request": row.request,
        "report": row.report,
        "shard_groups": [asdict(group) for group in shard_groups],
        "failures": [{"shard": shard, "error": error} for shard, error in failures],
        "followed_by": followers,
        "workers": [asdict(worker) for worker in all_workers],
        "broker_fault": fault,
    }

    def human() -> None:
        from_job = f", from job {row.parent_id}" if row.parent_id else ""
        of_file = f", file {row.file}" if row.file else ""
        echo(f"job {job}: {row.kind}, {row.state}{from_job}{of_file}")
        columns = ["stage", "queue", "expert", "benchmark", "waiting", "running", "done", "failed", "cancelled"]
        items = ["items", "reused", "answered", "errors"]
        table(
            [[cell(getattr(group, name)) for name in [*columns, *items]] for group in shard_groups],
            [*columns, *items],
        )
        answered, seconds = (sum(getattr(group, name) for group in shard_groups) for name in ("answered", "seconds"))
        if sentence := took(row.request.get("quote"), answered, seconds):
            echo(sentence)
        for shard, error in failures:
            echo(f"shard {shard} failed: {masked(error)}")
        if row.error:
            echo(f"error: {masked(row.error)}")
        if followers:
            echo(f"followed by job {', '.join(map(str, followers))}")
        if fault:
            session.note(f"note: {fault}")
        for hint in hints(row, shard_groups, all_workers, session.settings):
            session.note(f"note: {hint}")

    session.show(data, human)


def _summary(job: JobRow, shard_groups: list[ShardGroupRow]) -> dict[str, Any]:
    from benchcoe_jobs.store.tables import now

    items = sum(group.items for group in shard_groups)
    processed = sum(group.reused + group.answered + group.errors for group in shard_groups)
    return {
        "job": job.id,
        "kind": job.kind,
        "about": str(job.request.get("expert") or job.request.get("router") or "-"),
        "file": job.file,
        "by": job.submitted_by,
        "priority": job.priority,
        "state": str(job.state),
        "progress": percent(processed / items) if items else "-",
        "errors": sum(group.errors for group in shard_groups),
        "running": sum(group.running for group in shard_groups),
        "waiting": sum(group.waiting for group in shard_groups),
        "created": f"{job.created_at:%Y-%m-%d %H:%M:%S}",
        "seconds": round(((job.finished_at or now()) - job.created_at).total_seconds(), 1),
        "error": job.error,
    }


def _brief(summary: dict[str, Any]) -> dict[str, Any]:
    """The part of a summary that fits on a line; the command status shows the rest."""
    error = summary["error"] and textwrap.shorten(masked(summary["error"]), _ERROR_WIDTH, placeholder=" ...")
    left_out = ("errors", "running", "waiting", "error", "file", "priority", "seconds")
    about = summary["about"] if summary["file"] is None else Path(summary["file"]).name
    shown = {name: value for name, value in summary.items() if name not in left_out}
    return shown | {"about": about, "took": str(timedelta(seconds=round(summary["seconds"]))), "error": error}


@click.command(cls=Command)
@job_argument
def watch(session: Session, job: int) -> None:
    """Follow a job to its end.

    Shows progress bars of the job and the state of the workers; without a terminal it only waits. The exit
    code is that of the command that started the job.
    """
    note_hints(session, job)
    if not session.quiet and sys.stderr.isatty():
        from .live_progress import show_job_bars

        with closing(_snapshots(session, job)) as snapshots:
            show_job_bars(snapshots)
    ended = _wait_for_end(session, job)
    session.show(
        {"job": ended.id, "state": str(ended.state), "report": ended.report},
        lambda: echo(f"job {ended.id}: {ended.state}"),
    )
    require_success(ended)
    require_complete(ended)


def _wait_for_end(session: Session, job_id: int) -> JobRow:
    """Poll the job until it and its follow-up jobs have ended. Does no work of the job."""
    from benchcoe_jobs.job_queue.lease import retry_until_available
    from benchcoe_jobs.job_queue.lifecycle import family

    store = session.store
    while True:
        job, _, is_open = retry_until_available(lambda: family(store, job_id))
        if not is_open:
            return job
        time.sleep(_POLL_S)


def _snapshots(session: Session, job_id: int) -> Generator[Any]:
    """Poll (shard groups, workers) until the job has ended."""
    from benchcoe_jobs.job_queue.lease import retry_until_available
    from benchcoe_jobs.job_queue.lifecycle import family
    from benchcoe_jobs.store.job_queue import jobs, workers

    store = session.store

    def read() -> tuple[bool, Any]:
        _, ids, is_open = family(store, job_id)
        with store.reading() as connection:
            return is_open, (jobs.shard_groups(connection, ids), workers.workers(connection))

    is_open = True
    while is_open:
        is_open, snapshot = retry_until_available(read)
        yield snapshot
        time.sleep(_POLL_S)


@click.command(cls=Command)
@job_argument
def cancel(session: Session, job: int) -> None:
    """Cancel a job.

    No further shard is started, and a worker that runs one stops after the current micro-batch. Stored
    results are kept: `retry`, or the command that started the job, continues from them.
    """
    from benchcoe_jobs.job_queue.lifecycle import cancel

    row = cancel(session.store, job)
    session.show(
        {"job": job, "state": str(row.state)},
        lambda: echo(f"job {job}: {'stopping' if row.is_open else row.state}"),
    )


@click.command(cls=Command)
@job_argument
@click.option("--failed", is_flag=True, help="Repeat what is unfinished. This is the default and the only choice.")
@wait_option
def retry(session: Session, job: int, failed: bool, wait: bool) -> None:
    """Continue a job that failed or was cancelled.

    A job with failed items can be continued, too. It runs the failed and the cancelled shards, and asks the items that
    ended in an error again. What is answered is not asked again.
    """
    from benchcoe_jobs.dispatch.base import dispatcher
    from benchcoe_jobs.job_queue.lifecycle import retry

    runner = dispatcher(session.store, session.settings)
    n = retry(session.store, job)
    runner.announce()
    if not (runner.runs_here or wait):
        session.show({"job": job, "shards": n}, lambda: echo(f"job {job}: {counted(n, 'shard')} queued again"))
        return
    ended = follow(session, runner, job, f"job {job}")
    session.show(
        {"job": job, "shards": n, "state": str(ended.state), "report": ended.report},
        lambda: echo(f"job {job}: {ended.state}"),
    )
    require_complete(ended)
