"""Import the queries of a benchmark, from its published files or from a table."""

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
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.services.ingest.result_import import ImportSummary
from benchcoe_jobs.store.results import aggregates, catalog
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted


def add_benchmark(store: Store, name: str, path: Path) -> ImportSummary:
    """Create a benchmark with its queries, or add to it, from a file or folder.

    A built-in or plug-in benchmark is read from the files that it is published as, any other from a table. Stored
    queries are not changed; a row that differs from the stored query with its key is listed as skipped. The worked
    examples of a benchmark replace the stored ones. Raises InputError if no row can be used.
    """
    summary = ImportSummary(path.name)
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, name)
        stored = catalog.stored_queries(connection, benchmark_id)
        new: dict[str, Query] = {}
        for row in _rows(name, path):
            summary.read += 1
            if isinstance(row, SkippedRow):
                summary.skipped.append(row)
                continue
            line, query = row
            if fault := faulty_name(benchmark=name, subject=query.subject, key=query.key):
                summary.skipped.append(SkippedRow(line, fault))
                continue
            existing = stored.get(query.key)
            if existing is None and query.key not in new:
                new[query.key] = query
            elif existing is not None and existing.is_like(query):
                summary.unchanged += 1
            else:
                reason = f"query {query.key!r} is already stored with another content or subject"
                if existing is None:
                    reason = f"query {query.key!r} has an earlier row in this file"
                summary.skipped.append(SkippedRow(line, reason))
        catalog.add_queries(connection, benchmark_id, list(new.values()))
        if name in registry.names("benchmarks"):
            _keep_shots(connection, benchmark_id, name, path, summary)
        summary.new_queries = len(new)
        summary.require_something()
        aggregates.refresh(connection, [benchmark_id])
    return summary


def fetch_benchmark(name: str, revision: str | None) -> Path:
    """Download the files of a benchmark from the Hugging Face hub, by default at its pinned commit. Returns the folder.

    Raises UsageError for an unknown benchmark, and the errors of `hub.fetch`.
    """
    return hub.fetch(registry.load("benchmarks", name)(), revision)


def _keep_shots(connection: Connection, benchmark_id: int, name: str, path: Path, summary: ImportSummary) -> None:
    """Store the worked examples of a benchmark. If they cannot be read, the summary notes it: results can be imported
    without them.
    """
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
        summary.notes.append(f"worked examples for {counted(changed, 'subject')}")


def _rows(name: str, path: Path) -> Iterator[tuple[int, Query] | SkippedRow]:
    if name not in registry.names("benchmarks"):
        return read_queries(path, name)
    return enumerate(registry.load("benchmarks", name)().load(path), 1)
