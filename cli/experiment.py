"""The command experiment: many routers, trained and evaluated from one file."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs.errors import MissingError, UnfinishedError, UsageError
from benchcoe_jobs.files import write_whole
from benchcoe_jobs.wording import counted

from .command import Command, Session, table
from .output import echo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchcoe_jobs.services.experiments.plan import Experiment
    from benchcoe_jobs.services.experiments.report import TrialSummary
    from benchcoe_jobs.services.experiments.run import Progress


@click.command(cls=Command)
@click.argument("file", type=click.Path(readable=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results. [FILE without its suffix]")
def experiment(session: Session, file: Path, out: Path | None) -> None:
    """Train and evaluate routers over pools, protocols and seeds.

    FILE is TOML with these entries: benchmark; protocols, a list of naive, in-distribution,
    held-out-subjects, held-out-sources and other-benchmark (which needs other_benchmark); a table pools
    (name = a list of experts, or an empty list for the pool of that name in the store); one [[routers]] per
    router with a name and settings of train-router; seeds, a list of numbers. Seed 0 is the assignment of
    queries to splits in the store; any other number assigns them anew.

    A trial is one router trained and evaluated for one protocol, held-out part, seed and pool, as
    train-router and evaluate do it, on a temporary store. Finished trials are kept under --out and are not
    repeated, so a stopped run continues where it stopped. Writes a table (table.md, results.json) and, with
    the extra plots, gains.png and gains.svg.
    """
    from benchcoe_jobs.services.experiments.plan import read_experiment
    from benchcoe_jobs.services.experiments.report import COLUMNS, cells_of, gap_notes, summarise

    plan = read_experiment(file)
    folder = out or file.with_suffix("")
    if folder == file:
        raise UsageError(f"{file} has no suffix to remove: name the folder for the results with --out")
    progress = _run(session, plan, folder)
    if not progress.outcomes:
        trials = counted(len(progress.failed), "trial")
        raise UsageError(f"no trial of {trials} succeeded; the first failed because {progress.failed[0][1]}")
    rows = summarise(progress.outcomes)
    files = _write(session, rows, plan.title, folder)
    done_now = len(progress.outcomes) - progress.done_before
    data = {
        "rows": [row.as_json() for row in rows],
        "done_before": progress.done_before,
        "done_now": done_now,
        "failed": [{"trial": str(trial), "reason": reason} for trial, reason in progress.failed],
        "files": [str(file) for file in files],
    }

    def human() -> None:
        table([cells_of(row) for row in rows], COLUMNS)
        names = ", ".join(map(str, files))
        echo(f"{counted(done_now, 'trial')} done now, {progress.done_before} done before: {names}")
        for note in gap_notes(progress.outcomes):
            session.note(f"note: {note}")

    session.show(data, human)
    if progress.failed:
        trial, reason = progress.failed[0]
        raise UnfinishedError(f"{counted(len(progress.failed), 'trial')} failed, the first ({trial}): {reason}")


def _write(session: Session, rows: Sequence[TrialSummary], title: str, folder: Path) -> list[Path]:
    """Write the table, its JSON and, if matplotlib is installed, the plots. Returns the files."""
    from benchcoe_jobs.services.experiments.gains_plot import plot_gains
    from benchcoe_jobs.services.experiments.report import markdown

    files = [folder / "table.md", folder / "results.json"]
    write_whole(files[0], markdown(rows).encode())
    write_whole(files[1], json.dumps([row.as_json() for row in rows], indent=1).encode())
    try:
        files += plot_gains(rows, title, folder)
    except MissingError as error:
        session.note(f"note: {error}")
    return files


def _run(session: Session, plan: Experiment, folder: Path) -> Progress:
    from benchcoe_jobs.services.experiments.run import run_experiment

    with ExitStack() as stack:
        advance: list[Callable[[int], None]] = []
        return run_experiment(
            session.store,
            plan,
            folder,
            planned=lambda trials: advance.append(stack.enter_context(session.progress("experiment", trials))),
            progress=lambda trials: advance[0](trials),
        )
