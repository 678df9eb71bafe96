"""The commands profile and rescore: score an expert's responses, new or stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UnfinishedError, UsageError
from benchcoe_jobs.wording import counted, percent

from .command import Command, Finite, Session, cell, table
from .job_commands import priority_option, require_complete, run_job, wait_option
from .label import SPLITS
from .output import echo
from .quotes import show_quote, took
from .settling import (
    confidence_option,
    print_settled,
    require_rounds,
    run_until_settled,
    until_settled_option,
    worthwhile_option,
)

if TYPE_CHECKING:
    from benchcoe_jobs.services.inference.plan import Forecast
    from benchcoe_jobs.services.rescore import Rescored
    from benchcoe_jobs.store.job_queue.jobs import JobRow

_AT_MOST = "note: --until-settled stops earlier where it is settled who wins; this is the most it asks"


@click.command(cls=Command)
@click.argument("expert")
@click.option("--benchmark", "names", metavar="NAME", multiple=True, help="Ask only this benchmark. May be repeated.")
@click.option("--split", type=SPLITS, help="Ask only this split.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask only N queries of each benchmark.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked; load and store nothing.")
@click.option(
    "--quote",
    is_flag=True,
    help="Show what it would take, with intervals, and ask nothing but a probe of 20 queries if nothing is known.",
)
@click.option(
    "--max-cost",
    type=Finite(min=0),
    metavar="COST",
    help="Send no more queries once the answers of this run have cost so much, in the unit of the expert's prices.",
)
@click.option("--retry-errors", is_flag=True, help="Ask again the queries that ended in an error.")
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    metavar="N",
    help="Afterwards ask N queries of each benchmark again, and keep how many answers are the same for verify-expert.",
)
@until_settled_option
@confidence_option
@worthwhile_option
@priority_option
@wait_option
def profile(
    session: Session,
    expert: str,
    names: tuple[str, ...],
    split: str | None,
    limit: int | None,
    dry_run: bool,
    quote: bool,
    max_cost: float | None,
    retry_errors: bool,
    repeat: int | None,
    until_settled: bool,
    confidence: float | None,
    worthwhile: float | None,
    priority: int,
    wait: bool,
) -> None:
    """Ask an expert the queries that it has not answered yet.

    The queries of every known benchmark in the store are asked with the benchmark's official prompt, except
    those on which the expert has an imported score. Each
    micro-batch of answers is scored and stored in one transaction, which also updates the labels. If the
    command is stopped, the same command continues where it stopped. With a broker configured, workers run
    the job, and the command prints the job's number. --limit selects the same N queries each time, spread
    over the subjects. If a query cannot be answered, its error is stored and the exit code is 3.

    --until-settled asks the split train in rounds. It stops on a subject when it is settled whether the
    expert beats the best other expert there, by a test that holds however often it looks. The label of
    the subject then rests on an estimate of the mean, with bounds. The other splits are not asked: the
    command without the option asks them, and the rest of train, in full.
    """
    from benchcoe_jobs.services.inference.expert_settings import settings_of
    from benchcoe_jobs.services.inference.job import profile_request
    from benchcoe_jobs.services.inference.plan import forecast, prompt_plans, without_imported
    from benchcoe_jobs.store.results import experts

    if max_cost is not None and repeat is not None:
        raise UsageError("--max-cost does not limit what --repeat asks: omit one of the two")
    require_rounds(until_settled, split, limit, max_cost, confidence, worthwhile)
    split = Split.TRAIN if until_settled else split
    if dry_run:
        with session.store.reading() as connection:
            expert_id, row = experts.read_expert(connection, expert)
            settings_of(row)
            plans = without_imported(connection, expert_id, prompt_plans(connection, names, split=split, limit=limit))
        forecasts = [forecast(session.store, expert_id, row, plan, retry_errors=retry_errors) for plan in plans]
        _show_forecasts(session, expert, forecasts)
        if until_settled:
            session.note(_AT_MOST)
        return
    if quote:
        _quote(session, expert, names, split, limit, retry_errors)
        if until_settled:
            session.note(_AT_MOST)
        return
    if until_settled:
        job = run_until_settled(
            session,
            expert,
            names,
            confidence=confidence,
            worthwhile=worthwhile,
            retry_errors=retry_errors,
            priority=priority,
            wait=wait,
        )
    else:
        request = profile_request(expert, names, split=split, limit=limit, retry_errors=retry_errors, max_cost=max_cost)
        job = run_job(session, "profile", request, what=f"profiling {expert}", wait=wait, priority=priority)
    if job is not None:
        report = dict(job.report or {})
        if repeat is not None:
            from .verify_expert import repeated

            report["repeated"] = repeated(session, expert, names, repeat)
        session.show(report, lambda: print_profile(session, report))
        require_all_queries(job)
    elif repeat is not None:
        session.note("note: --repeat was not done: give the command again with --wait when the job is done")


def print_profile(session: Session, report: Mapping[str, Any]) -> None:
    """Print one row per benchmark, and how often the expert was loaded; until settled, one row per subject."""
    if "split" in report:
        print_settled(session, report)
        _print_repeated(report)
        return
    columns = ["benchmark", "queries", "reused", "answered", "errors", "truncated", "mean", "seconds"]
    table([[_cell(name, row[name]) for name in columns] for row in report["benchmarks"]], columns)
    for row in report["benchmarks"]:
        if len(rules := row.get("rules", {})) > 1:
            listed = ", ".join(f"{rule!r} {count}" for rule, count in rules.items())
            echo(f"{row['benchmark']}: answers extracted by rule: {listed}")
    echo(f"{report['expert']}: loaded {counted(report['loads'], 'time')}")
    answered = sum(row["answered"] for row in report["benchmarks"])
    if sentence := took(report.get("quote"), answered, sum(row["seconds"] for row in report["benchmarks"])):
        echo(sentence)
    if left := report.get("left"):
        n_left = counted(left, "query is", "queries are")
        echo(f"stopped at the highest cost: {n_left} left, and the same command goes on with them")
    _print_repeated(report)


def _print_repeated(report: Mapping[str, Any]) -> None:
    for row in report.get("repeated", []):
        again = counted(row["n"], "query", "queries")
        echo(f"{row['benchmark']}: of {again} that were asked again, {row['agreed']} have the same answer")


def require_all_queries(job: JobRow) -> None:
    """Raise UnfinishedError if a query has an error, or was not asked because its shard failed."""
    report = job.report or {"benchmarks": []}
    if errors := sum(row["errors"] for row in report["benchmarks"]):
        raise UnfinishedError(
            f"{counted(errors, 'query', 'queries')} ended in an error instead of an answer (column error of table "
            f"response): `benchcoe-jobs profile {report['expert']} --retry-errors` asks again"
        )
    require_complete(job)


def _quote(
    session: Session, expert: str, names: tuple[str, ...], split: str | None, limit: int | None, retry_errors: bool
) -> None:
    """Print the quote of a profile, after a probe of each benchmark of which nothing is known."""
    from benchcoe_jobs.services.inference.expert_settings import settings_of
    from benchcoe_jobs.services.inference.job import profile_request
    from benchcoe_jobs.services.inference.placement import engine_traits, placement
    from benchcoe_jobs.services.inference.plan import profile_quote, prompt_plans, without_imported
    from benchcoe_jobs.services.quote.quote import ENOUGH, Quote
    from benchcoe_jobs.store.job_queue import workers
    from benchcoe_jobs.store.results import experts

    def quoted() -> tuple[Quote, int, bool]:
        with session.store.reading() as connection:
            expert_id, row = experts.read_expert(connection, expert)
            queue, _ = placement(settings_of(row))
            plans = without_imported(connection, expert_id, prompt_plans(connection, names, split=split, limit=limit))
            found = profile_quote(connection, expert_id, row, plans, retry_errors=retry_errors)
            return found, workers.n_serving(connection, queue), engine_traits(row.engine).needs_gpu

    found, n_workers, needs_gpu = quoted()
    if unknown := [part.benchmark for part in found.parts if not part.is_known and part.benchmark]:
        session.note(f"nothing is known of {expert} on {', '.join(unknown)}: a probe asks {ENOUGH} queries of each")
        probe = profile_request(expert, unknown, split=split, limit=ENOUGH)
        if run_job(session, "profile", probe, what=f"probing {expert}", wait=True) is not None:
            found, n_workers, needs_gpu = quoted()
    show_quote(session, found, n_workers, needs_gpu)


def _show_forecasts(session: Session, expert: str, forecasts: Sequence[Forecast]) -> None:
    """Print one row per benchmark: the stored queries, those that would be asked, and an estimate of the effort."""
    rows = [asdict(forecast) for forecast in forecasts]

    def human() -> None:
        table([[cell(value) for value in row.values()] for row in rows], [name.replace("_", " ") for name in rows[0]])
        echo("estimates: prompt tokens are characters / 4; seconds are from earlier answers of the expert")

    session.show({"expert": expert, "dry_run": True, "benchmarks": rows}, human)


@click.command(cls=Command)
@click.argument("benchmark")
@click.option("--dry-run", is_flag=True, help="Show what would change; store nothing.")
def rescore(session: Session, benchmark: str, dry_run: bool) -> None:
    """Score stored responses again, without an engine.

    Reports how many scores change and which labels change with them. Imported scores without a response are
    not changed.
    """
    from benchcoe_jobs.services.rescore import rescore

    with session.progress(f"scoring {benchmark}") as progress:
        report = rescore(session.store, benchmark, dry_run=dry_run, progress=progress)
    session.show(report.as_json(), lambda: _print_rescored(report))


def _print_rescored(report: Rescored) -> None:
    changed = "would change" if report.dry_run else "changed"
    responses, scores = counted(report.scored, "response"), counted(report.changed, "score")
    echo(f"{report.benchmark}: {responses} scored, {scores} {changed}")
    flips = report.subject_flips
    table(
        [[flip.pool, flip.split, flip.subject, cell(flip.before), cell(flip.after)] for flip in flips],
        ["pool", "split", "subject", "before", "after"],
    )
    for pool, count in report.query_flips.items():
        echo(f"{counted(count, 'query label')} {changed} in pool {pool}")


def _cell(name: str, value: Any) -> str:
    return percent(value) if name == "mean" and value is not None else cell(value)
