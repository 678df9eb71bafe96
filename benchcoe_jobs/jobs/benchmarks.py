"""A benchmark's queries from a table file."""

from __future__ import annotations

from pathlib import Path

from benchcoe_jobs.domain import Fault, Query
from benchcoe_jobs.importers.table import read_queries
from benchcoe_jobs.jobs.imports import ImportSummary
from benchcoe_jobs.store import catalog, standings
from benchcoe_jobs.store.session import Store


def add_benchmark(store: Store, name: str, path: Path | None) -> ImportSummary:
    """Create a benchmark, with the queries of a table file where one is given.

    Queries that are stored already stay as they are; one whose content differs is listed.
    """
    summary = ImportSummary(path.name if path else name)
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, name)
        if path is None:
            return summary
        stored = catalog.stored_queries(connection, benchmark_id)
        fresh: dict[str, Query] = {}
        for row in read_queries(path, name):
            summary.read += 1
            if isinstance(row, Fault):
                summary.skipped.append(row)
                continue
            line, query = row
            there = stored.get(query.key)
            if there is None and query.key not in fresh:
                fresh[query.key] = query
            elif there is not None and there.is_like(query):
                summary.unchanged += 1
            else:
                what = "content or subject"
                summary.skipped.append(Fault(line, f"query {query.key!r} is there already, with another {what}"))
        catalog.add_queries(connection, benchmark_id, list(fresh.values()))
        summary.new_queries = len(fresh)
        summary.insist_on_something()
        standings.refresh(connection, [benchmark_id])
    return summary
