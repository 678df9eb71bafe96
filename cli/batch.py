"""The commands submit and results: route a file of prompts, and write its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.wording import counted

from .command import Command, Finite, Session
from .drift_notes import note_drifted_of_router
from .job import job_argument
from .job_commands import follow, priority_option, require_complete, show_queued, wait_option
from .output import echo
from .quotes import show_quote_of_experts
from .routing_options import router_option

if TYPE_CHECKING:
    from benchcoe_jobs.store.job_queue.jobs import JobRow

_FILE = click.Path(path_type=Path, dir_okay=False)


def _result_files(stem: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options `output` and `errors`; the help names their defaults, which begin with `stem`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        output = click.option("--output", type=_FILE, help=f"File for the answered lines. [{stem}.output.jsonl]")
        errors = click.option("--errors", type=_FILE, help=f"File for the failed lines. [{stem}.errors.jsonl]")
        return output(errors(command))

    return decorate


@click.command(cls=Command)
@click.argument("file", type=click.Path(readable=False, path_type=Path))
@router_option
@_result_files("FILE")
@click.option(
    "--budget",
    type=Finite(min=0),
    metavar="COST",
    help="Assign all lines together: the best expected score whose expected cost is at most this, in the unit of the "
    "experts' costs.",
)
@click.option("--quote", is_flag=True, help="Route the lines and show what they would take; submit nothing.")
@priority_option
@wait_option
def submit(
    session: Session,
    file: Path,
    router: str | None,
    output: Path | None,
    errors: Path | None,
    budget: float | None,
    quote: bool,
    priority: int,
    wait: bool,
) -> None:
    """Route a file of prompts and write the answers.

    FILE is in OpenAI's batch format: JSON lines with custom_id, method, url (/v1/chat/completions or
    /v1/completions) and body. It holds up to 50,000 lines, which are all checked before the first expert
    is asked. Each line results in exactly one line of the output file or of the error file, in the order of
    FILE, with the chosen expert and the reason. The same command given again continues after a stop or a
    cancel, and repeats the lines that failed; answered lines are not asked again. If the router or its labels
    have changed, the file is routed and asked anew. With a broker configured, workers run the job: the command
    prints the job's number, and `results` writes the files.
    """
    from benchcoe_jobs.dispatch.base import dispatcher
    from benchcoe_jobs.services.batch.job import submit_file
    from benchcoe_jobs.services.batch.result_files import require_result_files

    if quote:
        from benchcoe_jobs.services.batch.quote import quote_file

        show_quote_of_experts(session, quote_file(session.store, session.settings.home, file, router, budget))
        return
    stem = file.with_suffix("") if file.suffix == ".jsonl" else file
    output, errors = output or Path(f"{stem}.output.jsonl"), errors or Path(f"{stem}.errors.jsonl")
    runner = dispatcher(session.store, session.settings)
    if runner.runs_here or wait:
        require_result_files(output, errors)
    job_id, is_new = submit_file(session.store, file, router, priority=priority, budget=budget)
    note_drifted_of_router(session, router)
    runner.announce()
    if not (runner.runs_here or wait):
        show_queued(session, job_id, is_new=is_new)
        return
    job = follow(session, runner, job_id, f"asking {file.name}")
    _write_results(session, job, output, errors)


@click.command(cls=Command)
@job_argument
@_result_files("job-N")
def results(session: Session, job: int, output: Path | None, errors: Path | None) -> None:
    """Write the results of a submitted file.

    While the job runs, lines that have not been answered yet are in neither file.
    """
    from benchcoe_jobs.store.job_queue import jobs

    with session.store.reading() as connection:
        row = jobs.read_job(connection, job)
    _write_results(session, row, output or Path(f"job-{job}.output.jsonl"), errors or Path(f"job-{job}.errors.jsonl"))


def _write_results(session: Session, job: JobRow, output: Path, errors: Path) -> None:
    from benchcoe_jobs.services.batch.result_files import write_results

    if (budget := (job.report or {}).get("budget")) is not None:
        expected = (job.report or {}).get("expected_cost") or 0.0
        session.note(f"expected cost of all lines: {expected:.4g}, of a budget of {budget:g}")
    n_output, n_errors = write_results(session.store, job.id, output, errors)
    lines = job.request["lines"]
    data = {
        "job": job.id,
        "state": str(job.state),
        "lines": lines,
        "output": {"file": str(output), "lines": n_output},
        "errors": {"file": str(errors), "lines": n_errors},
        "report": job.report,
    }
    session.show(
        data,
        lambda: echo(
            f"job {job.id}, {job.state}: {n_output} of {counted(lines, 'line')} answered in {output}, "
            f"{n_errors} failed in {errors}"
        ),
    )
    require_complete(job)
