"""Import published results: queries, responses and scores, in one transaction per file.

An importer reads each row, a Matcher finds its query, the benchmark's scorer scores a response without a score, and
rows are written in bulk. The aggregates behind the label views are refreshed before the commit.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import EVERY_EXPERT, Result, ScoredAnswer, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.archive import open_file
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.services.ingest.query_matching import Match, Matcher
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

ROWS_AT_ONCE = 20_000


@dataclass
class ImportSummary:
    """The result of an import. Each row that was read is scored, unchanged or skipped."""

    file: str
    read: int = 0
    scored: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    new_queries: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    disagreements: int = 0
    notes: list[str] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        return {**vars(self), "skipped": [asdict(row) for row in self.skipped]}

    def require_something(self) -> None:
        """Raise InputError if no row could be used."""
        if not (self.scored or self.unchanged or self.new_queries):
            why = ""
            if self.skipped:
                reason, n = Counter(row.reason for row in self.skipped).most_common(1)[0]
                line = min(row.line for row in self.skipped if row.reason == reason)
                why = f"; {n} rows, the first of them row {line}: {reason}" if n > 1 else f"; row {line}: {reason}"
            raise InputError(f"{self.file}: none of {counted(self.read, 'row')} can be used{why}")


def import_results(
    store: Store,
    expert: str,
    path: Path,
    *,
    form: str,
    benchmark: str | None = None,
    replace: bool = False,
    new_subjects: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> ImportSummary:
    """Import one result file of `expert` ("all": of every expert that the file names).

    Rows that cannot be used are skipped and listed. So is a row for whose query the expert has a score from another
    file, unless `replace` is set. Importing the same file again changes nothing. `progress` is called with the number
    of rows of each part. Raises InputError if no row can be used; the store is then unchanged.
    """
    read = registry.load("importers", form)
    summary = ImportSummary(path.name)
    with _no_garbage_collection(), store.writing() as connection:
        expert_ids = experts.expert_ids(connection)
        if expert != EVERY_EXPERT:
            expert_ids = {expert: experts.find_expert(connection, expert)}
        rows = read(path, benchmark)
        writer = _Writer(connection, summary, {"format": form, "sha256": _digest(path)}, replace)
        matchers: dict[str, Matcher] = {}
        benchmarks = {str(row["benchmark"]) for row in catalog.benchmarks(connection)}
        while part := list(islice(rows, ROWS_AT_ONCE)):
            usable = _of_known_experts(part, expert, expert_ids, summary)
            for name, group in groupby(sorted(usable, key=_benchmark), key=_benchmark):
                if name not in matchers:
                    matchers[name] = Matcher(connection, name, may_add_subjects=new_subjects)
                    if name not in benchmarks:
                        summary.notes.append(f"{name} is a new benchmark")
                matches, skipped, n_new = matchers[name].match(list(group))
                summary.skipped += skipped
                summary.new_queries += n_new
                writer.write(name, matchers[name].benchmark_id, matches, expert, expert_ids)
            progress(len(part))
        summary.require_something()
        aggregates.refresh(connection, [matcher.benchmark_id for matcher in matchers.values()], writer.changed)
    return summary


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


class _Writer:
    """Scores matched rows and writes the new ones. `changed` has the (expert id, stratum id) of each new score."""

    def __init__(
        self, connection: Connection, summary: ImportSummary, provenance: dict[str, str], replace: bool
    ) -> None:
        self.changed: set[tuple[int, int]] = set()
        self._connection = connection
        self._summary = summary
        self._provenance = provenance
        self._replace = replace
        self._runs: dict[tuple[int, int], tuple[int, dict[int, int]]] = {}

    def write(
        self, benchmark: str, benchmark_id: int, matches: Sequence[Match], expert: str, expert_ids: dict[str, int]
    ) -> None:
        by_expert: dict[str, list[Match]] = {}
        for match in matches:
            by_expert.setdefault(match[0].expert or expert, []).append(match)
        for name, of_expert in by_expert.items():
            run_id, scored_by = self._run(expert_ids[name], benchmark_id)
            new = [match for match in of_expert if self._is_new(match, run_id, scored_by)]
            scores = [self._score(benchmark, *match) for match in new]
            responses.write_scores(self._connection, expert_ids[name], run_id, scores)
            self.changed |= {(expert_ids[name], score.stratum_id) for score in scores}
            if scores:
                self._summary.scored[name] += len(scores)

    def _run(self, expert_id: int, benchmark_id: int) -> tuple[int, dict[int, int]]:
        key = (expert_id, benchmark_id)
        if key not in self._runs:
            run_id = responses.ensure_run(self._connection, expert_id, benchmark_id, self._provenance)
            self._runs[key] = run_id, responses.scored_by(self._connection, expert_id, benchmark_id)
        return self._runs[key]

    def _is_new(self, match: Match, run_id: int, scored_by: dict[int, int]) -> bool:
        row, query = match
        earlier = scored_by.get(query.id)
        if earlier is None or (self._replace and earlier not in (run_id, _THIS_FILE)):
            scored_by[query.id] = _THIS_FILE
            return True
        if earlier == run_id:
            self._summary.unchanged += 1
        elif earlier == _THIS_FILE:
            self._summary.skipped.append(SkippedRow(row.line, "an earlier row of this file has the same query"))
        else:
            self._summary.skipped.append(
                SkippedRow(row.line, "an earlier import has a score for its query: --replace takes that of this file")
            )
        return False

    def _score(self, benchmark: str, row: Result, query: StoredQuery) -> NewScore:
        scored = self._score_text(benchmark, row) if row.score is None else None
        return NewScore(
            query_id=query.id,
            stratum_id=query.stratum_id,
            value=scored.score if scored else row.score or 0.0,
            extracted=scored.extracted if scored else None,
            rule=scored.rule if scored else None,
            text=row.text,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            cost=row.cost,
            claimed=row.claimed,
        )

    def _score_text(self, benchmark: str, row: Result) -> ScoredAnswer:
        scored: ScoredAnswer = _scorer(benchmark).score(row.text or "", row.query)
        self._summary.rules[scored.rule] += 1
        self._summary.disagreements += scored.extracted != row.claimed
        return scored


_THIS_FILE = -1
_scorers: dict[str, Any] = {}


def _scorer(benchmark: str) -> Any:
    if benchmark not in _scorers:
        _scorers[benchmark] = registry.load("benchmarks", benchmark)()
    return _scorers[benchmark]


def _benchmark(row: Result) -> str:
    return row.benchmark


def _of_known_experts(
    rows: Sequence[Result | SkippedRow], expert: str, expert_ids: dict[str, int], summary: ImportSummary
) -> list[Result]:
    summary.read += len(rows)
    usable = []
    for row in rows:
        if isinstance(row, SkippedRow):
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


def _digest(path: Path) -> str:
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
