"""Import published results: queries, responses and scores, in one transaction per file.

An importer reads each row, a Matcher finds its query, the benchmark's scorer scores a response without a score, and
rows are written in bulk. The aggregates behind the label views are refreshed before the commit.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import EVERY_EXPERT, Note, Result, Scale, SkippedRow
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.archive import file_digest
from benchcoe_jobs.services.ingest.file_majority import majority_note
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.services.ingest.query_matching import Matched, Matcher
from benchcoe_jobs.services.ingest.score_writer import ScoreWriter
from benchcoe_jobs.store.results import aggregates, catalog, experts, file_origins
from benchcoe_jobs.store.session import Store

ROWS_AT_ONCE = 20_000


def import_results(
    store: Store,
    expert: str,
    path: Path,
    *,
    form: str,
    benchmark: str | None = None,
    replace: bool = False,
    new_subjects: bool = False,
    new_queries: bool = False,
    scale: Scale = Scale.FRACTION,
    progress: Callable[[int], None] = lambda rows: None,
) -> ImportSummary:
    """Import one result file of `expert` ("all": of every expert that the file names).

    Rows that cannot be used are skipped and listed. So is a row for whose query the expert has a score from another
    file, unless `replace` is set, and a row that seems to copy a stored query under another key, unless `new_queries`
    is set. Importing the same file again changes nothing. `progress` is called with the number of rows of each part.
    Raises InputError if no row can be used, if no key of a file without texts is known to the benchmark, and if a
    score is not on `scale`; the store is then unchanged. Raises UsageError for a scale with another format than table.
    """
    summary = ImportSummary(path.name)
    with _no_garbage_collection(), store.writing() as connection:
        expert_ids = experts.expert_ids(connection)
        if expert != EVERY_EXPERT:
            expert_ids = {expert: experts.find_expert(connection, expert)}
        rows = _rows(path, form, benchmark, scale)
        provenance = {"format": form, "sha256": file_digest(path)}
        if scale is not Scale.FRACTION:
            provenance["scale"] = scale.value
        one_file = _FileImport(
            connection, summary, ScoreWriter(connection, summary, provenance, replace), expert, expert_ids
        )
        while part := list(islice(rows, ROWS_AT_ONCE)):
            usable = _of_known_experts(part, expert, expert_ids, summary)
            for name, group in groupby(sorted(usable, key=_benchmark), key=_benchmark):
                matcher = one_file.matcher(name, new_subjects=new_subjects, new_queries=new_queries)
                one_file.take(name, matcher.match(list(group)))
            progress(sum(not isinstance(row, Note) for row in part))
        one_file.finish()
    return summary


def _rows(path: Path, form: str, benchmark: str | None, scale: Scale) -> Iterator[Result | SkippedRow | Note]:
    read = registry.load("importers", form)
    if scale is Scale.FRACTION:
        rows: Iterator[Result | SkippedRow | Note] = read(path, benchmark)
    elif form == "table":
        rows = read(path, benchmark, scale)
    else:
        raise UsageError(f"--scale is for --format table; {form} has a scale of its own")
    return rows


class _FileImport:
    """The import of one file: a Matcher for each benchmark in it, and a writer."""

    def __init__(
        self,
        connection: Connection,
        summary: ImportSummary,
        writer: ScoreWriter,
        expert: str,
        expert_ids: dict[str, int],
    ) -> None:
        self._connection = connection
        self._summary = summary
        self._writer = writer
        self._expert = expert
        self._expert_ids = expert_ids
        self._benchmarks = {str(row["benchmark"]) for row in catalog.benchmarks(connection)}
        self._matchers: dict[str, Matcher] = {}

    def matcher(self, name: str, *, new_subjects: bool, new_queries: bool) -> Matcher:
        """The matcher of a benchmark, which is made on first use."""
        if name not in self._matchers:
            self._matchers[name] = Matcher(
                self._connection, name, may_add_subjects=new_subjects, new_queries=new_queries
            )
            if name not in self._benchmarks:
                self._summary.notes.append(f"{name} is a new benchmark")
        return self._matchers[name]

    def take(self, name: str, matched: Matched) -> None:
        """Score and write matched rows."""
        matches, skipped, n_new = matched
        self._summary.skipped += skipped
        self._summary.new_queries += n_new
        self._writer.write(name, self._matchers[name].benchmark_id, matches, self._expert, self._expert_ids)

    def finish(self) -> None:
        """Decide about rows that seemed to be copies, refuse the file if it must be, and refresh the aggregates."""
        for name, matcher in self._matchers.items():

            def has_row(row: Result, query_id: int, benchmark_id: int = matcher.benchmark_id) -> bool:
                expert_id = self._expert_ids[row.expert or self._expert]
                return self._writer.has_row(expert_id, benchmark_id, query_id)

            self.take(name, matcher.settle(has_row))
            if reason := matcher.reason_to_refuse():
                raise InputError(f"{self._summary.file}: nothing was imported: {reason}")
            self._summary.completed += len(matcher.filled)
        self._summary.require_something()
        for matcher in self._matchers.values():
            self._add_notes(matcher)
        ids = [matcher.benchmark_id for matcher in self._matchers.values()]
        aggregates.refresh(self._connection, ids, self._writer.changed)

    def _add_notes(self, matcher: Matcher) -> None:
        notes = self._summary.notes
        if note := matcher.note():
            notes.append(note)
        if matcher.differing:
            differing = {stored.id: row.query.content_hash for row, stored in matcher.differing}
            runs = [
                self._writer.run_id(self._expert_ids[row.expert or self._expert], matcher.benchmark_id)
                for row, _ in matcher.differing
            ]  # a list: no statement may run while PostgreSQL copies rows
            file_origins.write_variants(
                self._connection,
                (
                    (run_id, stored.id, row.query.content_hash)
                    for run_id, (row, stored) in zip(runs, matcher.differing, strict=True)
                ),
            )
            notes.append(majority_note(self._connection, matcher.benchmark_id, differing))
        if self._expert != EVERY_EXPERT:
            notes += self._writer.same_file_notes(self._expert_ids[self._expert], matcher.benchmark_id)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Turn off the garbage collector: rows have no reference cycles, and its search took a seventh of an import."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _benchmark(row: Result) -> str:
    return row.benchmark


def _of_known_experts(
    rows: Sequence[Result | SkippedRow | Note], expert: str, expert_ids: dict[str, int], summary: ImportSummary
) -> list[Result]:
    summary.read += len(rows)
    usable = []
    for row in rows:
        if isinstance(row, Note):
            summary.read -= 1
            summary.notes.append(row.text)
        elif isinstance(row, SkippedRow):
            summary.skipped.append(row)
        elif row.expert is None and expert == EVERY_EXPERT:
            summary.skipped.append(SkippedRow(row.line, "neither the row nor the command names its expert"))
        elif row.expert is not None and row.expert not in expert_ids:
            reason = "unknown expert" if expert == EVERY_EXPERT else "a row of another expert"
            summary.skipped.append(SkippedRow(row.line, f"{reason}: {row.expert!r}"))
        elif fault := faulty_name(benchmark=row.benchmark, subject=row.query.subject, key=row.query.key):
            summary.skipped.append(SkippedRow(row.line, fault))
        else:
            usable.append(row)
    return usable
