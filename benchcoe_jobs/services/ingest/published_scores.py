"""Import published per-subject scores, for experts without per-query results."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from benchcoe_jobs.domain import Note, Scale, SkippedRow
from benchcoe_jobs.importers.reading.archive import file_digest
from benchcoe_jobs.importers.reported import ReportedScore, read_reported
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.services.ingest.query_matching import unknown_subject
from benchcoe_jobs.services.ingest.row_experts import EVERY_EXPERT
from benchcoe_jobs.store.results import aggregates, catalog, experts, imports, responses
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.store.session import Store


def import_scores(
    store: Store, expert: str, path: Path, *, benchmark: str | None = None, scale: Scale = Scale.FRACTION
) -> ImportSummary:
    """Import published per-subject scores of `expert` ("all": of every expert that the file names).

    If the benchmark has queries, each subject must be one of theirs. Raises InputError if no row can be used, and if a
    score is not on `scale`.
    """
    summary = ImportSummary(path.name)
    with store.writing() as connection:
        record = imports.begin(connection, "import-scores", path.name, file_digest(path))
        experts.hold_experts(connection, None if expert == EVERY_EXPERT else [expert])
        expert_ids = experts.expert_ids(connection)
        if expert != EVERY_EXPERT:
            expert_ids = {expert: experts.find_expert(connection, expert)}
        rows: dict[str, list[ReportedScore]] = {}
        for row in read_reported(path, benchmark, scale):
            if isinstance(row, Note):
                summary.notes.append(row.text)
                continue
            summary.read += 1
            if isinstance(row, SkippedRow):
                summary.skipped.append(row)
            elif (row.expert or expert) not in expert_ids:
                summary.skipped.append(
                    SkippedRow(row.line, f"a row of another or unknown expert: {row.expert or expert!r}")
                )
            elif fault := faulty_name(benchmark=row.benchmark, subject=row.subject):
                summary.skipped.append(SkippedRow(row.line, fault))
            else:
                rows.setdefault(row.benchmark, []).append(row)
        for name, of_benchmark in rows.items():
            _write(connection, record, name, of_benchmark, expert, expert_ids, summary)
        summary.require_something()
        summary.finish(record, list(rows))
    return summary


def _write(
    connection: Connection,
    record: ImportRecord,
    benchmark: str,
    rows: list[ReportedScore],
    expert: str,
    expert_ids: dict[str, int],
    summary: ImportSummary,
) -> None:
    benchmark_id = catalog.ensure_benchmark(connection, benchmark, record.id)
    subjects = catalog.subject_ids(connection, benchmark_id)
    if catalog.has_queries(connection, benchmark_id):
        summary.skipped += [
            SkippedRow(row.line, unknown_subject(row.subject, set(subjects)))
            for row in rows
            if row.subject not in subjects
        ]
        rows = [row for row in rows if row.subject in subjects]
    subjects = catalog.add_subjects(connection, benchmark_id, [row.subject for row in rows], record.id)
    scores = [(expert_ids[row.expert or expert], subjects[row.subject], row.score, row.n) for row in rows]
    responses.write_reported(connection, scores, record)
    summary.scored.update(row.expert or expert for row in rows)
    aggregates.refresh(connection, [benchmark_id])
