"""Benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from .command import Command, Session, new_name
from .results import show_summary


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def add_benchmark(session: Session, name: str, file: Path | None) -> None:
    """Add a benchmark, with its queries from a table file.

    FILE is CSV, JSONL or Parquet with the columns text and subject, and where there are any key,
    choices (a JSON list), answer and split. Queries without a split are dealt 60/10/30 to train,
    validation and test. MMLU-Pro needs none of this: its result files bring the questions.
    """
    from benchcoe_jobs.jobs.benchmarks import add_benchmark

    show_summary(session, add_benchmark(session.store, name, file))


@click.command(cls=Command)
def benchmarks(session: Session) -> None:
    """List benchmarks."""
    from benchcoe_jobs.store import catalog

    with session.store.reading() as connection:
        session.show_list("benchmarks", catalog.benchmarks(connection))
