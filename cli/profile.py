"""Profile an expert with its engine; judge stored responses anew without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.errors import UnfinishedError

from .command import Command, Session, cell, percent, table
from .job_commands import get_done, require_all, waits
from .label import SPLITS

if TYPE_CHECKING:
    from benchcoe_jobs.services.inference.plan import Forecast
    from benchcoe_jobs.services.rescore import Rescored
    from benchcoe_jobs.store.job_queue.jobs import JobRow


@click.command(cls=Command)
@click.argument("expert")
@click.option("--benchmark", "names", metavar="NAME", multiple=True, help="Only this one; may be repeated.")
@click.option("--split", type=SPLITS, help="Only this split.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only N queries of each benchmark.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked; load nothing, store nothing.")
@click.option("--retry-errors", is_flag=True, help="Ask those again that ended in an error.")
@waits
def profile(
    session: Session,
    expert: str,
    names: tuple[str, ...],
    split: str | None,
    limit: int | None,
    dry_run: bool,
    retry_errors: bool,
    wait: bool,
) -> None:
    """Ask an expert what it has not answered yet.

    Every stored benchmark that is known here is asked with its official prompt, and every answer is
    scored and stored, batch by batch; the labels follow with each. Stop it at any time: the same command
    goes on where it stopped. With a broker configured, workers do it, and the job's number is printed.
    --limit takes the same N queries each time, spread over the subjects. A query that cannot be answered
    keeps its error, and the command then ends with exit code 3.
    """
    from benchcoe_jobs.services.inference.expert_settings import settings_of
    from benchcoe_jobs.services.inference.job import profile_request
    from benchcoe_jobs.services.inference.plan import forecast, prompt_plans
    from benchcoe_jobs.store.results import experts

    if dry_run:
        with session.store.reading() as connection:
            expert_id, row = experts.read_expert(connection, expert)
            settings_of(row)
            plans = prompt_plans(connection, names, split=split, limit=limit)
        forecasts = [forecast(session.store, expert_id, row, plan, retry_errors=retry_errors) for plan in plans]
        show_forecasts(session, expert, forecasts)
        return
    request = profile_request(expert, names, split=split, limit=limit, retry_errors=retry_errors)
    job = get_done(session, "profile", request, what=f"profiling {expert}", wait=wait)
    if job is not None:
        report = job.report or {}
        session.show(report, lambda: print_profile(report))
        require_all_queries(job)


def print_profile(report: Mapping[str, Any]) -> None:
    """One row per benchmark, and how often the expert was loaded."""
    columns = ["benchmark", "queries", "reused", "answered", "errors", "mean", "seconds"]
    table([[_shown(name, row[name]) for name in columns] for row in report["benchmarks"]], columns)
    click.echo(f"{report['expert']}: loaded {report['loads']} time{'s' if report['loads'] != 1 else ''}")


def require_all_queries(job: JobRow) -> None:
    """Raise UnfinishedError where a query has an error row, or was not asked because its shard was given up."""
    report = job.report or {"benchmarks": []}
    if errors := sum(row["errors"] for row in report["benchmarks"]):
        raise UnfinishedError(
            f"{errors} queries have an error in the place of an answer (column error of table response): "
            f"`benchcoe-jobs profile {report['expert']} --retry-errors` asks them again"
        )
    require_all(job)


def show_forecasts(session: Session, expert: str, forecasts: Sequence[Forecast]) -> None:
    """One row per benchmark: what there is, what would be asked, and what that may take."""
    rows = [asdict(forecast) for forecast in forecasts]

    def human() -> None:
        table([[cell(value) for value in row.values()] for row in rows], [name.replace("_", " ") for name in rows[0]])
        click.echo("prompt tokens are an estimate: characters / 4; seconds go by the expert's own earlier answers")

    session.show({"expert": expert, "dry_run": True, "benchmarks": rows}, human)


@click.command(cls=Command)
@click.argument("benchmark")
@click.option("--dry-run", is_flag=True, help="Say what would change; store nothing.")
def rescore(session: Session, benchmark: str, dry_run: bool) -> None:
    """Judge stored responses anew, without an engine.

    Says how many scores change and which labels flip with them. Scores that were imported ready-made
    stay as they are.
    """
    from benchcoe_jobs.services.rescore import rescore

    with session.progress(f"judging {benchmark}") as progress:
        report = rescore(session.store, benchmark, dry_run=dry_run, progress=progress)
    session.show(report.as_json(), lambda: _print_rescored(report))


def _print_rescored(report: Rescored) -> None:
    would = "would change" if report.dry_run else "changed"
    click.echo(f"{report.benchmark}: {report.scored} responses scored, {report.changed} scores {would}")
    flips = report.subject_flips
    table(
        [[flip.pool, flip.split, flip.subject, cell(flip.before), cell(flip.after)] for flip in flips],
        ["pool", "split", "subject", "before", "after"],
    )
    for pool, count in report.query_flips.items():
        click.echo(f"{count} query labels {'would flip' if report.dry_run else 'flipped'} in pool {pool}")


def _shown(name: str, value: Any) -> str:
    return percent(value) if name == "mean" and value is not None else cell(value)
