"""Jobs: what is queued, how far it is, and how to end it or do it again."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .command import Command, Session, cell, percent, table
from .job_commands import follow, require_all, require_end
from .stuck_job_hints import hints, note_hints

if TYPE_CHECKING:
    from benchcoe_jobs.store.job_queue.jobs import JobRow, ShardGroupRow

_LOOK_S = 0.5
_SHOWN_FAILURES = 10
_SHOWN_OF_ERROR = 40

_MOST_SHOWN = 1_000_000

# No id is beyond what its column holds.
job_argument = click.argument("job", type=click.IntRange(1, 2**31 - 1))


@click.command(cls=Command)
@click.option("--open", "only_open", is_flag=True, help="Only those that are not over.")
@click.option(
    "--limit", type=click.IntRange(1, _MOST_SHOWN), default=50, show_default=True, metavar="N", help="The newest N."
)
def jobs(session: Session, only_open: bool, limit: int) -> None:
    """List jobs, the newest first."""
    from benchcoe_jobs.store.job_queue import jobs

    with session.store.reading() as connection:
        found = jobs.list_jobs(connection, limit=limit, only_open=only_open)
        shard_groups = jobs.shard_groups(connection, [job.id for job in found])
    of_job: dict[int, list[ShardGroupRow]] = {}
    for shard_group in shard_groups:
        of_job.setdefault(shard_group.job_id, []).append(shard_group)
    rows = [_summary(job, of_job.get(job.id, [])) for job in found]
    shown = rows if session.as_json else [_in_brief(row) for row in rows]
    session.show_list("jobs", shown, none="no job is open" if only_open else None)


@click.command(cls=Command)
@job_argument
def status(session: Session, job: int) -> None:
    """How far a job is, and what failed in it.

    Comes from the database alone; a broker that does not answer is named besides.
    """
    from benchcoe_jobs.dispatch.broker import fault_of
    from benchcoe_jobs.store.job_queue import jobs, transitions, workers

    with session.store.reading() as connection:
        row = jobs.read_job(connection, job)
        shard_groups = jobs.shard_groups(connection, [job])
        failures = transitions.failures(connection, job, _SHOWN_FAILURES)
        followers = jobs.followers(connection, job)
        crew = workers.workers(connection)
    fault = None if session.settings.broker_url is None else fault_of(session.settings)
    data = _summary(row, shard_groups) | {
        "request": row.request,
        "report": row.report,
        "shard_groups": [asdict(shard_group) for shard_group in shard_groups],
        "failures": [{"shard": shard, "error": error} for shard, error in failures],
        "followed_by": followers,
        "workers": [asdict(worker) for worker in crew],
        "broker_fault": fault,
    }

    def human() -> None:
        click.echo(f"job {job}: {row.kind}, {row.state}" + (f", from job {row.parent_id}" if row.parent_id else ""))
        columns = ["stage", "queue", "expert", "benchmark", "waiting", "running", "done", "failed", "cancelled"]
        items = ["items", "reused", "answered", "errors"]
        table(
            [[cell(getattr(shard_group, name)) for name in [*columns, *items]] for shard_group in shard_groups],
            [*columns, *items],
        )
        for shard, error in failures:
            click.echo(f"shard {shard} failed: {error}")
        if row.error:
            click.echo(f"error: {row.error}")
        if followers:
            click.echo(f"followed by job {', '.join(map(str, followers))}")
        if fault:
            session.note(f"note: {fault}")
        for hint in hints(row, shard_groups, crew, session.settings):
            session.note(f"note: {hint}")

    session.show(data, human)


def _summary(job: JobRow, shard_groups: list[ShardGroupRow]) -> dict[str, Any]:
    items = sum(shard_group.items for shard_group in shard_groups)
    progress = sum(shard_group.reused + shard_group.answered + shard_group.errors for shard_group in shard_groups)
    return {
        "job": job.id,
        "kind": job.kind,
        "about": str(job.request.get("expert") or job.request.get("router") or "-"),
        "state": str(job.state),
        "progress": percent(progress / items) if items else "-",
        "errors": sum(shard_group.errors for shard_group in shard_groups),
        "running": sum(shard_group.running for shard_group in shard_groups),
        "waiting": sum(shard_group.waiting for shard_group in shard_groups),
        "created": f"{job.created_at:%Y-%m-%d %H:%M:%S}",
        "error": job.error,
    }


def _in_brief(summary: dict[str, Any]) -> dict[str, Any]:
    """What fits a line; status has the rest."""
    error = summary["error"] and textwrap.shorten(summary["error"], _SHOWN_OF_ERROR, placeholder=" ...")
    left_out = ("errors", "running", "waiting", "error")
    return {name: value for name, value in summary.items() if name not in left_out} | {"error": error}


@click.command(cls=Command)
@job_argument
def watch(session: Session, job: int) -> None:
    """Follow a job to its end.

    Shows live bars for it and for the workers at it; without a terminal it only waits. Ends as the
    command that began the job would have ended.
    """
    import sys

    note_hints(session, job)
    if session.quiet or not sys.stderr.isatty():
        ended = _until_over(session, job)
    else:
        from .live_progress import show_bars

        with closing(_snapshots(session, job)) as snapshots:
            show_bars(snapshots)
        ended = _until_over(session, job)
    session.show(
        {"job": ended.id, "state": str(ended.state), "report": ended.report},
        lambda: click.echo(f"job {ended.id}: {ended.state}"),
    )
    require_end(ended)
    require_all(ended)


def _until_over(session: Session, job_id: int) -> JobRow:
    """Only looks, also where this process could do the work."""
    from benchcoe_jobs.job_queue.lease import retry_until_available
    from benchcoe_jobs.job_queue.lifecycle import family

    store = session.store
    while True:
        job, _, is_open = retry_until_available(lambda: family(store, job_id))
        if not is_open:
            return job
        time.sleep(_LOOK_S)


def _snapshots(session: Session, job_id: int) -> Generator[Any]:
    from benchcoe_jobs.job_queue.lease import retry_until_available
    from benchcoe_jobs.job_queue.lifecycle import family
    from benchcoe_jobs.store.job_queue import jobs, workers

    store = session.store

    def look() -> tuple[bool, Any]:
        _, ids, is_open = family(store, job_id)
        with store.reading() as connection:
            return is_open, (jobs.shard_groups(connection, ids), workers.workers(connection))

    is_open = True
    while is_open:
        is_open, snapshot = retry_until_available(look)
        yield snapshot
        time.sleep(_LOOK_S)


@click.command(cls=Command)
@job_argument
def cancel(session: Session, job: int) -> None:
    """End a job.

    Nothing more of it is begun, and who is at it stops after the micro-batch under way. What it has
    stored stays, and the command that began it goes on from there.
    """
    from benchcoe_jobs.job_queue.lifecycle import cancel

    row = cancel(session.store, job)
    session.show(
        {"job": job, "state": str(row.state)},
        lambda: click.echo(f"job {job}: {'stopping' if row.is_open else row.state}"),
    )


@click.command(cls=Command)
@job_argument
@click.option("--failed", is_flag=True, help="What failed; there is nothing else to retry, so it may be left out.")
@click.option("--wait", is_flag=True, help="Where a broker is configured: follow the job to its end.")
def retry(session: Session, job: int, failed: bool, wait: bool) -> None:
    """Do again what failed in a job.

    That is failed shards, and items that ended in an error.
    """
    from benchcoe_jobs.dispatch.base import dispatcher
    from benchcoe_jobs.job_queue.lifecycle import retry

    runner = dispatcher(session.store, session.settings)
    n = retry(session.store, job)
    runner.announce()
    if not (runner.runs_here or wait):
        session.show({"job": job, "shards": n}, lambda: click.echo(f"job {job}: {n} shards wait again"))
        return
    ended = follow(session, runner, job, f"job {job}")
    session.show(
        {"job": job, "shards": n, "state": str(ended.state), "report": ended.report},
        lambda: click.echo(f"job {job}: {ended.state}"),
    )
    require_all(ended)
