"""The import of one file: its rows are matched, scored and written, and the aggregates are refreshed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection

from benchcoe_jobs.domain import Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, TaskMean
from benchcoe_jobs.importers.source import Source
from benchcoe_jobs.services.ingest.file_majority import majority_note
from benchcoe_jobs.services.ingest.import_summary import Earlier, ImportSummary
from benchcoe_jobs.services.ingest.mean_guard import MeanGuard
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.services.ingest.query_matching import Matched, Matcher
from benchcoe_jobs.services.ingest.row_experts import EVERY_EXPERT, RowExperts
from benchcoe_jobs.services.ingest.score_writer import ScoreWriter
from benchcoe_jobs.store.results import aggregates, catalog, file_origins, imports


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command allows an import to do."""

    replace: bool = False
    new_subjects: bool = False
    new_queries: bool = False
    create_experts: bool = False


class FileImport:
    """The import of one file: a Matcher for each benchmark in it, and a writer."""

    def __init__(
        self,
        connection: Connection,
        source: Source,
        form: str,
        expert: str,
        provenance: dict[str, str],
        choices: Choices,
        earlier: Earlier,
    ) -> None:
        self.summary = ImportSummary(source.path.name, format=form)
        self.row_experts = RowExperts(connection, expert, self.summary, earlier, create=choices.create_experts)
        self.record = imports.begin(connection, "import-results", source.path.name, provenance["sha256"], form)
        self.writer = ScoreWriter(connection, self.summary, provenance, choices.replace, self.record)
        self._connection = connection
        self.expert = expert
        self._choices = choices
        self._earlier = earlier
        self._guard = MeanGuard(self.summary.file)
        self._benchmarks = {str(row["benchmark"]) for row in catalog.benchmarks(connection)}
        self._matchers: dict[str, Matcher] = {}

    def take_part(self, items: Sequence[Item]) -> None:
        """Match, score and write the rows of a part of a file."""
        usable = self.row_experts.settle(_checked(items, self.summary, self._guard))
        for name, group in groupby(sorted(usable, key=_benchmark), key=_benchmark):
            self._take(name, self.matcher(name).match(list(group)))

    def expert_id(self, row: Result) -> int:
        """The id of the expert of a settled row."""
        return self.row_experts.ids[row.expert or self.expert]

    def matcher(self, name: str) -> Matcher:
        """The matcher of a benchmark, which is made on first use."""
        if name not in self._matchers:
            self._matchers[name] = Matcher(
                self._connection,
                name,
                self.record,
                may_add_subjects=self._choices.new_subjects or name in self._earlier.benchmarks,
                new_queries=self._choices.new_queries,
            )
            if name not in self._benchmarks:
                self.summary.notes.append(f"{name} is a new benchmark")
        return self._matchers[name]

    def _take(self, name: str, matched: Matched) -> None:
        """Score and write matched rows."""
        matches, skipped, n_new = matched
        self.summary.skipped += skipped
        self.summary.new_queries += n_new
        self.writer.write(name, self._matchers[name].benchmark_id, matches, self.expert, self.row_experts.ids)

    def finish(self) -> ImportSummary:
        """Decide about rows that seemed to be copies, refuse the file if it must be, and refresh the aggregates."""
        self.summary.notes += self._guard.check()
        self.record.brought_experts(self.summary.created)
        for name, matcher in self._matchers.items():

            def has_row(row: Result, query_id: int, benchmark_id: int = matcher.benchmark_id) -> bool:
                expert_id = self.expert_id(row)
                return self.writer.has_row(expert_id, benchmark_id, query_id)

            self._take(name, matcher.settle(has_row))
            if reason := matcher.reason_to_refuse():
                raise InputError(f"{self.summary.file}: nothing was imported: {reason}")
            self.summary.completed += len(matcher.filled)
        self.summary.require_something()
        for matcher in self._matchers.values():
            self._add_notes(matcher)
        ids = [matcher.benchmark_id for matcher in self._matchers.values()]
        aggregates.refresh(self._connection, ids, self.writer.changed, self.writer.grids)
        self.summary.finish(self.record, list(self._matchers))
        return self.summary

    def remember(self) -> None:
        """Note for later files of the command what this one brought, after it is stored."""
        self._earlier.benchmarks |= self._matchers.keys() - self._benchmarks
        self._earlier.model = self._earlier.model or self.row_experts.alias

    def _add_notes(self, matcher: Matcher) -> None:
        notes = self.summary.notes
        notes += matcher.notes()
        if matcher.differing:
            differing = {stored.id: row.query.content_hash for row, stored in matcher.differing}
            runs = [
                self.writer.run_id(self.expert_id(row), matcher.benchmark_id) for row, _ in matcher.differing
            ]  # a list: no statement may run while PostgreSQL copies rows
            variants = [
                (run_id, stored.id, row.query.content_hash)
                for run_id, (row, stored) in zip(runs, matcher.differing, strict=True)
            ]
            file_origins.write_variants(self._connection, variants, self.record)
            notes.append(majority_note(self._connection, matcher.benchmark_id, differing))
        notes += self.writer.other_choices_notes(matcher.benchmark_id)
        if self.expert != EVERY_EXPERT:
            notes += self.writer.same_file_notes(self.row_experts.ids[self.expert], matcher.benchmark_id)


def _benchmark(row: Result) -> str:
    return row.benchmark


def _checked(part: Sequence[Item], summary: ImportSummary, guard: MeanGuard) -> list[Result]:
    """The results of a part of a file whose names can be stored. The rest goes to the summary and to the guard."""
    usable = []
    for item in part:
        if isinstance(item, Result):
            summary.read += 1
            guard.add(item)
            if fault := faulty_name(benchmark=item.benchmark, subject=item.query.subject, key=item.query.key):
                summary.skipped.append(SkippedRow(item.line, fault, item.file))
            else:
                usable.append(item)
        elif isinstance(item, SkippedRow):
            summary.read += 1
            guard.add_skipped()
            summary.skipped.append(item)
        elif isinstance(item, TaskMean):
            guard.add_mean(item)
        else:
            summary.notes.append(item.text)
    return usable
