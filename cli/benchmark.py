"""Benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from benchcoe_jobs.errors import UsageError

from .command import Command, Session, new_name
from .results import show_summary


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--hub", is_flag=True, help="Fetch a known benchmark from the Hugging Face hub.")
@click.option("--revision", metavar="COMMIT", help="The commit to fetch, where none is pinned.")
def add_benchmark(session: Session, name: str, file: Path | None, hub: bool, revision: str | None) -> None:
    """Add a benchmark, with its queries.

    NAME is one that is known here (bbh, hellaswag, mmlu-pro, mmmu, mmstar, scienceqa, skills, winogrande), with
    FILE a file or folder in the shapes in which it is published, or --hub; or a name of your own, with
    FILE a CSV, JSONL or Parquet table with the columns text and subject, and where there are any key,
    choices (a JSON list), answer and split. Queries without a split are dealt 60/10/30 to train,
    validation and test. For recorded MMLU-Pro results none of this is needed: they bring the questions.
    """
    from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark, fetch_benchmark

    if hub and file is not None:
        raise UsageError("give FILE or --hub, not both")
    if revision is not None and not hub:
        raise UsageError("--revision goes with --hub")
    if file is None and not hub:
        raise UsageError(f"where are the queries of {name!r}? Give FILE, or --hub for one that is known here")
    show_summary(session, add_benchmark(session.store, name, file or fetch_benchmark(name, revision)))


@click.command(cls=Command)
def benchmarks(session: Session) -> None:
    """List benchmarks."""
    from benchcoe_jobs.store.results import catalog

    with session.store.reading() as connection:
        session.show_list("benchmarks", catalog.benchmarks(connection))
