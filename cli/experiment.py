"""experiment: the paper's three stages from one file."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs.errors import MissingError, UnfinishedError, UsageError

from .command import Command, Session, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchcoe_jobs.services.experiments.plan import Experiment
    from benchcoe_jobs.services.experiments.run import Progress


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where outcomes are kept. [FILE without its ending]")
def experiment(session: Session, file: Path, out: Path | None) -> None:
    """Train and evaluate routers over pools, stages and seeds.

    FILE is TOML: benchmark, protocols (naive, in-distribution, held-out-subjects, held-out-sources,
    other-benchmark with other_benchmark), a table pools (name = list of experts, or an empty list for
    the store's pool of that name), one [[routers]] per router with a name and the settings of
    train-router, and seeds: 0 is the deal of queries to splits that stands in the store, every other
    number deals them anew.

    Every cell (protocol, what is held out, seed, pool, router) is trained and evaluated as train-router
    and evaluate do it, on a scratch store. What is done is kept under --out and not done again: a run
    that was stopped goes on where it was. Ends with a table (table.md, results.json) and, with the extra
    plots, gains.png and gains.svg.
    """
    from benchcoe_jobs.services.experiments.gains_plot import plot_gains
    from benchcoe_jobs.services.experiments.plan import read_experiment
    from benchcoe_jobs.services.experiments.report import COLUMNS, cells_of, markdown, summarise

    plan = read_experiment(file)
    folder = out or file.with_suffix("")
    if folder == file:
        raise UsageError(f"{file} has no ending: say with --out where its outcomes are to be kept")
    done = _run(session, plan, folder)
    if not done.outcomes:
        raise UsageError(f"none of {len(done.failed)} cells could be done, the first because {done.failed[0][1]}")
    rows = summarise(done.outcomes)
    (folder / "table.md").write_text(markdown(rows), encoding="utf-8")
    results = [row.as_json() for row in rows]
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    files = [folder / "table.md", folder / "results.json"]
    try:
        files += plot_gains(rows, plan.title, folder)
    except MissingError as error:
        session.note(f"note: {error}")
    data = {
        "rows": results,
        "done_before": done.done_before,
        "done_now": len(done.outcomes) - done.done_before,
        "failed": [{"cell": str(cell), "reason": reason} for cell, reason in done.failed],
        "files": [str(file) for file in files],
    }

    def human() -> None:
        table([cells_of(row) for row in rows], COLUMNS)
        click.echo(f"{data['done_now']} cells done, {done.done_before} were there: {', '.join(map(str, files))}")

    session.show(data, human)
    if done.failed:
        cell, reason = done.failed[0]
        raise UnfinishedError(f"{len(done.failed)} cells could not be done, the first ({cell}): {reason}")


def _run(session: Session, plan: Experiment, folder: Path) -> Progress:
    from benchcoe_jobs.services.experiments.run import run_experiment

    with ExitStack() as stack:
        advance: list[Callable[[int], None]] = []
        return run_experiment(
            session.store,
            plan,
            folder,
            planned=lambda cells: advance.append(stack.enter_context(session.progress("experiment", cells))),
            progress=lambda cells: advance[0](cells),
        )
