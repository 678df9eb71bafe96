"""Files of prompts: submitted, and their results fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command, Session
from .job import job_argument
from .job_commands import follow, require_all, show_queued, waits

if TYPE_CHECKING:
    from benchcoe_jobs.store.job_queue.jobs import JobRow

_FILE = click.Path(path_type=Path, dir_okay=False)

output_option = click.option(
    "--output", type=_FILE, help="Where the answers go. [FILE.output.jsonl, job-N.output.jsonl]"
)
errors_option = click.option("--errors", type=_FILE, help="Where the rest goes. [as --output, with errors]")


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--router", metavar="NAME", help="May be left out where there is only one.")
@output_option
@errors_option
@waits
def submit(
    session: Session, file: Path, router: str | None, output: Path | None, errors: Path | None, wait: bool
) -> None:
    """Route a file of prompts, and write the answers.

    FILE is in OpenAI's batch format: JSONL of custom_id, method, url (/v1/chat/completions or
    /v1/completions) and body; up to 50,000 lines, all checked before anything is asked. Every line ends
    in exactly one line of the answers or of the errors, in the order of FILE, with the expert that was
    chosen and why. Stop it at any time: the same command goes on where it stopped. With a broker
    configured, workers do it, the job's number is printed, and results fetches what is there.
    """
    from benchcoe_jobs.dispatch.base import dispatcher
    from benchcoe_jobs.services.batch.job import submit_file
    from benchcoe_jobs.services.batch.result_files import check_places

    stem = file.with_suffix("") if file.suffix == ".jsonl" else file
    output, errors = output or Path(f"{stem}.output.jsonl"), errors or Path(f"{stem}.errors.jsonl")
    runner = dispatcher(session.store, session.settings)
    if runner.runs_here or wait:
        check_places(output, errors)
    job_id, is_new = submit_file(session.store, file, router)
    runner.announce()
    if not (runner.runs_here or wait):
        show_queued(session, job_id, is_new=is_new)
        return
    job = follow(session, runner, job_id, f"asking {file.name}")
    _write(session, job, output, errors)


@click.command(cls=Command)
@job_argument
@output_option
@errors_option
def results(session: Session, job: int, output: Path | None, errors: Path | None) -> None:
    """Write what a submitted file has come to so far.

    While the job runs, lines that are not answered yet are in neither file.
    """
    from benchcoe_jobs.store.job_queue import jobs

    with session.store.reading() as connection:
        row = jobs.read_job(connection, job)
    _write(session, row, output or Path(f"job-{job}.output.jsonl"), errors or Path(f"job-{job}.errors.jsonl"))


def _write(session: Session, job: JobRow, output: Path, errors: Path) -> None:
    from benchcoe_jobs.services.batch.result_files import write_results

    n_output, n_errors = write_results(session.store, job.id, output, errors)
    data = {
        "job": job.id,
        "state": str(job.state),
        "lines": job.request["lines"],
        "output": {"file": str(output), "lines": n_output},
        "errors": {"file": str(errors), "lines": n_errors},
        "report": job.report,
    }
    session.show(
        data,
        lambda: click.echo(
            f"job {job.id}, {job.state}: {n_output} of {job.request['lines']} lines answered in {output}, "
            f"{n_errors} failed in {errors}"
        ),
    )
    require_all(job)
