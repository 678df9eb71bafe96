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
from benchcoe_jobs.importers.source import Source
from benchcoe_jobs.importers.table import read_queries
from benchcoe_jobs.services.ingest.answer_update import AnswerUpdate, correct, is_correction
from benchcoe_jobs.services.ingest.contents import agrees, completed
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.known_questions import KnownQuestions
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.services.ingest.picture_checks import PictureChecks
from benchcoe_jobs.services.label_flips import flips
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.results import aggregates, catalog, imports, prompt_inputs
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_CONTENTS_AT_ONCE = 500


def add_benchmark(
    store: Store, name: str, path: Path, *, new_queries: bool = False, update: bool = False, dry_run: bool = False
) -> ImportSummary:
    """Create a benchmark with its queries, or add to it, from a file or folder.

    A built-in or plug-in benchmark is read from the files that it is published as, any other from a table. Stored
    queries are not changed, except that an unknown text or answer is filled in; a row that differs from the stored
    query with its key is listed as skipped. So is a row that is a copy of a stored query under another key, which the
    file does not have, unless `new_queries` is set. The worked examples of a benchmark replace the stored ones.

    With `update`, a row that differs from its stored query by the answer alone corrects it, and the responses to it are
    scored again; the summary reports what changed. `dry_run` stores nothing. Raises InputError if no row can be used.
    """
    summary = ImportSummary(path.name)
    with store.writing() as connection:
        record = imports.begin(connection, "add-benchmark", path.name, Source(path).digest())
        if update:
            catalog.find_benchmark(connection, name)
        benchmark_id = catalog.ensure_benchmark(connection, name, record.id)
        stored = catalog.stored_queries(connection, benchmark_id)
        new, differing, unchanged_keys = _compared(name, path, stored, summary)
        labels = live_labels.all_labels(connection, benchmark_id) if update else None
        met = unchanged_keys | {query.key for _, query in differing}
        summary.unchanged = len(unchanged_keys)
        if not new_queries:
            _leave_out_copies(KnownQuestions(connection, benchmark_id, stored), met, new, summary)
        corrected: dict[int, Query] = {}
        if update:
            corrected, differing = _corrections(connection, stored, differing)
            summary.update = AnswerUpdate(dry_run)
        _complete(connection, record, stored, differing, summary)
        catalog.add_queries(connection, benchmark_id, [query for _, query in new.values()], record.id)
        if name in registry.names("benchmarks"):
            _keep_shots(connection, record, benchmark_id, name, path, summary)
        summary.new_queries = len(new)
        changed = correct(connection, record, (benchmark_id, name), corrected, summary.update) if summary.update else ()
        summary.require_something()
        if stored and not met:
            summary.notes.append(f"none of the queries of {name} that were stored before is in the file")
        aggregates.refresh(connection, [benchmark_id], changed)
        if summary.update is not None and labels is not None:
            after = live_labels.all_labels(connection, benchmark_id)
            summary.update.subject_flips, summary.update.query_flips = flips(labels, after)
        if dry_run:
            connection.rollback()
        else:
            summary.finish(record, [name])
    return summary


def _compared(
    name: str, path: Path, stored: dict[str, StoredQuery], summary: ImportSummary
) -> tuple[dict[str, tuple[int, Query]], list[tuple[int, Query]], set[str]]:
    """The new rows of a file by key, those that differ from the stored query with their key, and the unchanged keys."""
    new: dict[str, tuple[int, Query]] = {}
    differing: list[tuple[int, Query]] = []
    unchanged_keys: set[str] = set()
    checks = PictureChecks()
    for row in _rows(name, path):
        if isinstance(row, Note):
            summary.notes.append(row.text)
            continue
        summary.read += 1
        if isinstance(row, SkippedRow):
            summary.skipped.append(row)
            continue
        line, query = row
        existing = stored.get(query.key)
        if fault := faulty_name(benchmark=name, subject=query.subject, key=query.key):
            summary.skipped.append(SkippedRow(line, fault))
        elif existing is not None and existing.is_like(query):
            unchanged_keys.add(query.key)
        elif fault := checks.fault(query):
            summary.skipped.append(SkippedRow(line, fault))
        elif existing is None and query.key not in new:
            new[query.key] = row
        elif existing is None:
            summary.skipped.append(SkippedRow(line, f"query {query.key!r} has an earlier row in this file"))
        else:
            differing.append(row)
    summary.notes += checks.notes()
    return new, differing, unchanged_keys


def _corrections(
    connection: Connection, stored: dict[str, StoredQuery], differing: list[tuple[int, Query]]
) -> tuple[dict[int, Query], list[tuple[int, Query]]]:
    """The rows that correct an answer, by the id of their stored query, and the other rows."""
    corrected: dict[int, Query] = {}
    others = []
    for start in range(0, len(differing), _CONTENTS_AT_ONCE):
        part = differing[start : start + _CONTENTS_AT_ONCE]
        known = prompt_inputs.contents(connection, [stored[query.key].id for _, query in part])
        for line, query in part:
            id_ = stored[query.key].id
            if id_ not in corrected and is_correction(known[id_], query):
                corrected[id_] = query
            else:
                others.append((line, query))
    return corrected, others


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
    record: ImportRecord,
    stored: dict[str, StoredQuery],
    differing: list[tuple[int, Query]],
    summary: ImportSummary,
) -> None:
    """Fill in what is unknown of stored queries, and leave those that are only written in another way; other
    differences are listed as skipped.
    """
    known = catalog.contents_by_key(connection, [stored[query.key].id for _, query in differing])
    contents: dict[int, Query] = {}
    for line, query in differing:
        existing, before = stored[query.key], known[query.key]
        merged = completed(before, query) if existing.subject == query.subject else None
        is_new = merged is not None and (merged.text, merged.answer) != (before.text, before.answer)
        if existing.subject == query.subject and not is_new and agrees(before, existing.content_hash, query):
            summary.unchanged += 1
        elif merged is None or not is_new or existing.id in contents:
            reason = f"query {query.key!r} is already stored with another content or subject"
            summary.skipped.append(SkippedRow(line, reason))
        else:
            contents[existing.id] = merged
    record.before_content(contents.keys(), {id_: len(query.images) for id_, query in contents.items()})
    catalog.fill_contents(connection, contents)
    summary.completed = len(contents)


def fetch_benchmark(name: str, revision: str | None) -> Path:
    """Download the files of a benchmark from the Hugging Face hub, by default at its pinned commit. Returns the folder.

    Raises UsageError for an unknown benchmark, and the errors of `hub.fetch`.
    """
    return hub.fetch(registry.load("benchmarks", name)(), revision)


def _keep_shots(
    connection: Connection, record: ImportRecord, benchmark_id: int, name: str, path: Path, summary: ImportSummary
) -> None:
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
    by_subject = {subject: asdict(found) for subject, found in shots.items()}
    changed = catalog.set_shots(connection, benchmark_id, by_subject, record)
    if changed:
        summary.notes.append(f"worked examples for {counted(changed, 'subject')}")


def _rows(name: str, path: Path) -> Iterator[tuple[int, Query] | SkippedRow | Note]:
    if name not in registry.names("benchmarks"):
        return read_queries(path, name)
    return enumerate(registry.load("benchmarks", name)().load(path), 1)
