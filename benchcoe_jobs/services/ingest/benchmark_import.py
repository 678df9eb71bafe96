"""Import the queries of a benchmark, from its published files or from a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks import hub
from benchcoe_jobs.benchmarks.base import Benchmark
from benchcoe_jobs.domain import Note, Query, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.table import read_queries
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.known_questions import KnownQuestions, completed
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.store.results import aggregates, catalog
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted


def add_benchmark(store: Store, name: str, path: Path, *, new_queries: bool = False) -> ImportSummary:
    """Create a benchmark with its queries, or add to it, from a file or folder.

    A built-in or plug-in benchmark is read from the files that it is published as, any other from a table. Stored
    queries are not changed, except that an unknown text or answer is filled in; a row that differs from the stored
    query with its key is listed as skipped. So is a row that is a copy of a stored query under another key, which the
    file does not have, unless `new_queries` is set. The worked examples of a benchmark replace the stored ones. Raises
    InputError if no row can be used.
    """
    summary = ImportSummary(path.name)
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, name)
        stored = catalog.stored_queries(connection, benchmark_id)
        new: dict[str, tuple[int, Query]] = {}
        differing: list[tuple[int, Query]] = []
        unchanged_keys: set[str] = set()
        for row in _rows(name, path):
            if isinstance(row, Note):
                summary.notes.append(row.text)
                continue
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
                new[query.key] = row
            elif existing is None:
                summary.skipped.append(SkippedRow(line, f"query {query.key!r} has an earlier row in this file"))
            elif existing.is_like(query):
                unchanged_keys.add(query.key)
            else:
                differing.append(row)
        met = unchanged_keys | {query.key for _, query in differing}
        summary.unchanged = len(unchanged_keys)
        if not new_queries:
            _leave_out_copies(KnownQuestions(connection, benchmark_id, stored), met, new, summary)
        _complete(connection, stored, differing, summary)
        catalog.add_queries(connection, benchmark_id, [query for _, query in new.values()])
        if name in registry.names("benchmarks"):
            _keep_shots(connection, benchmark_id, name, path, summary)
        summary.new_queries = len(new)
        summary.require_something()
        if stored and not met:
            summary.notes.append(f"none of the queries of {name} that were stored before is in the file")
        aggregates.refresh(connection, [benchmark_id])
    return summary


def _leave_out_copies(
    known: KnownQuestions, met: set[str], new: dict[str, tuple[int, Query]], summary: ImportSummary
) -> None:
    """Take the copies of stored queries out of `new`, and list them as skipped.

    If the file has the stored query too (its key is in `met`), the benchmark has the question twice.
    """
    reasons: dict[str, str] = {}
    copies = {key: copy for key, (_, query) in new.items() if (copy := known.copied_by(query))}
    for key, copy in copies.items():
        if met.isdisjoint(copy.keys):
            line, _ = new.pop(key)
            reason = reasons.setdefault(copy.reason, copy.explained(line, key))
            summary.skipped.append(SkippedRow(line, reason))


def _complete(
    connection: Connection,
    stored: dict[str, StoredQuery],
    differing: list[tuple[int, Query]],
    summary: ImportSummary,
) -> None:
    """Fill in what is unknown of stored queries; other differences are listed as skipped."""
    ids = [stored[query.key].id for _, query in differing]
    incomplete = catalog.incomplete_queries(connection, ids) if ids else {}
    contents: dict[int, Query] = {}
    for line, query in differing:
        existing, known = stored[query.key], incomplete.get(query.key)
        merged = completed(known, query) if known is not None and existing.subject == query.subject else None
        if merged is None or existing.id in contents:
            reason = f"query {query.key!r} is already stored with another content or subject"
            summary.skipped.append(SkippedRow(line, reason))
        else:
            contents[existing.id] = merged
    catalog.fill_contents(connection, contents)
    summary.completed = len(contents)


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


def _rows(name: str, path: Path) -> Iterator[tuple[int, Query] | SkippedRow | Note]:
    if name not in registry.names("benchmarks"):
        return read_queries(path, name)
    return enumerate(registry.load("benchmarks", name)().load(path), 1)
