"""Tables that bring no per-query results: a benchmark's queries, and published per-subject scores."""

from __future__ import annotations

from pathlib import Path

from benchcoe_jobs.domain import Fault, Query
from benchcoe_jobs.importers.reported import read_reported
from benchcoe_jobs.importers.table import read_queries
from benchcoe_jobs.jobs.imports import EVERY_EXPERT, ImportSummary
from benchcoe_jobs.jobs.matching import unknown_subject
from benchcoe_jobs.store import catalog, experts, results, standings
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
            elif there is not None and (there.content_hash, there.subject) == (
                query.content_hash,
                query.subject,
            ):
                summary.unchanged += 1
            else:
                summary.skipped.append(Fault(line, f"query {query.key!r} is there already, with another content"))
        catalog.add_queries(connection, benchmark_id, list(fresh.values()))
        summary.new_queries = len(fresh)
        summary.insist_on_something()
        standings.refresh(connection, [benchmark_id])
    return summary


def import_scores(store: Store, expert: str, path: Path, *, benchmark: str | None = None) -> ImportSummary:
    """Bring published per-subject scores into the store, for experts with no per-query results.

    A subject must be one of the benchmark's, unless the benchmark has no queries yet.
    """
    summary = ImportSummary(path.name)
    with store.writing() as connection:
        known = experts.expert_ids(connection)
        if expert != EVERY_EXPERT:
            known = {expert: experts.find_expert(connection, expert)}
        accepted: dict[tuple[int, int], tuple[float, int | None]] = {}
        benchmark_ids: set[int] = set()
        for row in read_reported(path, benchmark):
            summary.read += 1
            if isinstance(row, Fault):
                summary.skipped.append(row)
                continue
            name = row.expert or expert
            benchmark_id = catalog.ensure_benchmark(connection, row.benchmark)
            subjects = catalog.subject_ids(connection, benchmark_id)
            if name not in known:
                summary.skipped.append(Fault(row.line, f"a row of another or unknown expert: {name!r}"))
            elif row.subject not in subjects and catalog.has_queries(connection, benchmark_id):
                summary.skipped.append(Fault(row.line, unknown_subject(row.subject, set(subjects))))
            else:
                subjects = catalog.add_subjects(connection, benchmark_id, [row.subject])
                accepted[known[name], subjects[row.subject]] = row.score, row.n
                benchmark_ids.add(benchmark_id)
                summary.scored[name] += 1
        summary.insist_on_something()
        results.write_reported(connection, ((*key, *value) for key, value in accepted.items()))
        standings.refresh(connection, sorted(benchmark_ids))
    return summary
