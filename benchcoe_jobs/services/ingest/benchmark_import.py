"""A benchmark's queries: from the files that it is published as, or from a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks import hub
from benchcoe_jobs.benchmarks.base import Benchmark
from benchcoe_jobs.domain import Query, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.table import read_queries
from benchcoe_jobs.services.ingest.result_import import ImportSummary
from benchcoe_jobs.store.results import aggregates, catalog
from benchcoe_jobs.store.session import Store


def add_benchmark(store: Store, name: str, path: Path) -> ImportSummary:
    """Create a benchmark with its queries, or add to it, from a file or folder.

    A benchmark that this program knows is read in the shapes in which it is published, any other from
    a table. Queries that are stored already stay as they are; one whose content differs is listed. The
    worked examples of a known benchmark come along and replace those stored.
    """
    summary = ImportSummary(path.name)
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, name)
        stored = catalog.stored_queries(connection, benchmark_id)
        fresh: dict[str, Query] = {}
        for row in _rows(name, path):
            summary.read += 1
            if isinstance(row, SkippedRow):
                summary.skipped.append(row)
                continue
            line, query = row
            earlier = stored.get(query.key)
            if earlier is None and query.key not in fresh:
                fresh[query.key] = query
            elif earlier is not None and earlier.is_like(query):
                summary.unchanged += 1
            else:
                what = "content or subject"
                summary.skipped.append(SkippedRow(line, f"query {query.key!r} is there already, with another {what}"))
        catalog.add_queries(connection, benchmark_id, list(fresh.values()))
        if name in registry.names("benchmarks"):
            _keep_shots(connection, benchmark_id, name, path, summary)
        summary.new_queries = len(fresh)
        summary.require_something()
        aggregates.refresh(connection, [benchmark_id])
    return summary


def fetch_benchmark(name: str, revision: str | None) -> Path:
    """The folder of a known benchmark's files from the Hugging Face hub, at a pinned commit.

    Raises UsageError for a benchmark that this program does not know, else as `hub.fetch` does.
    """
    return hub.fetch(registry.load("benchmarks", name)(), revision)


def _keep_shots(connection: Connection, benchmark_id: int, name: str, path: Path, summary: ImportSummary) -> None:
    """The queries are of use without worked examples, to import results for: their lack is only noted."""
    benchmark: Benchmark = registry.load("benchmarks", name)()
    if not benchmark.n_shots:
        return
    try:
        shots = benchmark.shots(path)
    except InputError as error:
        summary.notes.append(f"no worked examples, which profiling needs: {error}")
        return
    changed = catalog.set_shots(connection, benchmark_id, {subject: asdict(found) for subject, found in shots.items()})
    if changed:
        summary.notes.append(f"worked examples for {changed} subjects")


def _rows(name: str, path: Path) -> Iterator[tuple[int, Query] | SkippedRow]:
    if name not in registry.names("benchmarks"):
        return read_queries(path, name)
    return enumerate(registry.load("benchmarks", name)().load(path), 1)
