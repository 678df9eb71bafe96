"""The command report: one HTML file about routers, experts and labels."""

from __future__ import annotations

from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from benchcoe_jobs.domain import ALL_POOL
from benchcoe_jobs.errors import UsageError

from .command import Command, Session
from .output import echo


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The HTML file. Needs the extra report.",
)
@click.option("--pool", default=ALL_POOL, show_default=True, help="The pool to report on.")
@click.option("--benchmark", metavar="NAME", help="The benchmark. [the only one in the store]")
@click.option(
    "--router",
    "routers",
    metavar="NAME",
    multiple=True,
    help="Report on this router. May be repeated. [all that were trained on the pool and the benchmark]",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="List the subject labels that moved since this time (UTC), and what moved them.",
)
@click.option("--against", metavar="URL", help="List the subject labels that differ from those in this other store.")
def report(
    session: Session,
    out: Path | None,
    pool: str,
    benchmark: str | None,
    routers: tuple[str, ...],
    since: datetime | None,
    against: str | None,
) -> None:
    """Write a report that can be forwarded.

    The file begins with one sentence: whether a router pays. Then follow the routers beside the best single
    expert and the oracles, accuracy against cost, the experts with their intervals, the experts by subject,
    how certain the labels are, the evaluations in and out of distribution, the findings of the audit, jobs
    and their costs, and the commands that repeat the figures. It loads nothing, and needs no JavaScript.

    Only stored results are read: run evaluate first. Experts are compared on the split test, labels are those
    of the split train. With --json, the figures are printed, and --out can be omitted.
    """
    from benchcoe_jobs.files import write_whole
    from benchcoe_jobs.services.report.figures import read_figures
    from benchcoe_jobs.services.report.page import page, require_jinja
    from benchcoe_jobs.store.session import open_store

    if out is None and not session.as_json:
        raise UsageError(
            "name the file to write with --out, such as --out report.html, or print the figures with --json"
        )
    if since is not None and against is not None:
        raise UsageError("give --since or --against, not both")
    if out is not None:
        require_jinja()
    with nullcontext() if against is None else closing(open_store(against)) as other:
        figures = read_figures(
            session.store,
            pool=pool,
            benchmark=benchmark,
            routers=routers,
            since=None if since is None else since.replace(tzinfo=UTC),
            against=other,
        )
    if out is not None:
        write_whole(out, page(figures).encode())
        session.note(f"{out} is written: open it in a browser")
    session.show(figures.as_json(), lambda: echo(figures.verdict.sentence))
