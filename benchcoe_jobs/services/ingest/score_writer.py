"""Score the matched rows of a result file and write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Result, ScoredAnswer, SkippedRow
from benchcoe_jobs.importers.base import NotPlainError
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.query_matching import Match
from benchcoe_jobs.services.ingest.stored_queries import with_stored_queries
from benchcoe_jobs.store.results import file_origins, responses
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.store.results.responses import NewScore

if TYPE_CHECKING:
    from benchcoe_jobs.arrays import Floats
    from benchcoe_jobs.store.results.score_grid import ScoreGrid


class ScoreWriter:
    """Scores matched rows and writes the new ones.

    `changed` has the (expert id, stratum id) of each new score. `grids` has the scores, by benchmark, of the experts
    that had none on it before, if they were written in columns.
    """

    def __init__(
        self,
        connection: Connection,
        summary: ImportSummary,
        provenance: dict[str, str],
        replace: bool,
        record: ImportRecord,
    ) -> None:
        self.changed: set[tuple[int, int]] = set()
        self.grids: dict[int, ScoreGrid] = {}
        self._connection = connection
        self._summary = summary
        self._provenance = provenance
        self._replace = replace
        self._record = record
        self._replaced: list[int] = []
        self._runs: dict[tuple[int, int], tuple[int, dict[int, int]]] = {}
        self._values: dict[int, dict[int, float]] = {}
        self._names_experts = False

    def write(
        self, benchmark: str, benchmark_id: int, matches: Sequence[Match], expert: str, expert_ids: dict[str, int]
    ) -> None:
        by_expert: dict[str, list[Match]] = {}
        for match in matches:
            by_expert.setdefault(match[0].expert or expert, []).append(match)
            self._names_experts = self._names_experts or match[0].expert is not None
        has_scorer = benchmark in registry.names("benchmarks")
        for name, of_expert in by_expert.items():
            if has_scorer:
                of_expert, skipped = with_stored_queries(self._connection, of_expert)
                self._summary.skipped += skipped
            else:
                of_expert = self._scored_by_the_file(of_expert)
            run_id, scored_by = self._run(expert_ids[name], benchmark_id)
            new = [match for match in of_expert if self._is_new(match, run_id, scored_by)]
            scores = [self._score(benchmark, *match) for match in new]
            self._record.before_scores(expert_ids[name], run_id, [score.query_id for score in scores], self._replaced)
            responses.forget_extractions(self._connection, expert_ids[name], self._replaced)
            self._replaced = []
            responses.write_scores(self._connection, expert_ids[name], run_id, scores)
            self.changed |= {(expert_ids[name], score.stratum_id) for score in scores}
            if scores:
                self._summary.scored[name] += len(scores)

    def write_grid(self, benchmark_id: int, grid: ScoreGrid, names: Mapping[int, str], *, named: bool) -> None:
        """Write the scores of a file in columns; its run ids are set here.

        `names` has the names of the experts by id, and `named` tells whether they are those in the file. Raises
        NotPlainError if a row must be skipped.
        """
        self._names_experts = self._names_experts or named
        fresh = []
        places = {expert_id: place for place, expert_id in enumerate(grid.expert_ids.tolist())}
        for expert_id in filter(places.__contains__, names):  # in the order of the file
            place = places[expert_id]
            scores = grid.values[:, place]
            run_id, scored_by = self._run(expert_id, benchmark_id)
            grid.run_ids[place] = run_id
            if scored_by:
                self._leave_unchanged(grid.query_ids.tolist(), scores, expert_id, run_id, scored_by)
            else:
                fresh.append(expert_id)
            if n := grid.count(place):
                self._summary.scored[names[expert_id]] += n
        grid.write(self._connection)
        self.changed |= grid.changed()
        self.grids[benchmark_id] = grid.of_experts(fresh)

    def _leave_unchanged(
        self, query_ids: Sequence[int], scores: Floats, expert_id: int, run_id: int, scored_by: dict[int, int]
    ) -> None:
        """Take the scores that are stored already out of the new ones of an expert, in place."""
        new, replaced = [], []
        for place, (query_id, score) in enumerate(zip(query_ids, scores.tolist(), strict=True)):
            if math.isnan(score):  # no row
                continue
            earlier = scored_by.get(query_id)
            if earlier == run_id:
                scores[place] = float("nan")
                self._summary.unchanged += 1
                continue
            if earlier is not None and not self._replace:
                raise NotPlainError
            new.append(query_id)
            if earlier is not None:
                replaced.append(query_id)
        self._record.before_scores(expert_id, run_id, new, replaced)
        responses.forget_extractions(self._connection, expert_id, replaced)

    def has_row(self, expert_id: int, benchmark_id: int, query_id: int) -> bool:
        """Whether an expert has a score on a query from this file."""
        if (expert_id, benchmark_id) not in self._runs:  # none of its rows was written
            return False
        run_id, scored_by = self._runs[expert_id, benchmark_id]
        return scored_by.get(query_id) in (run_id, _THIS_FILE)

    def run_id(self, expert_id: int, benchmark_id: int) -> int:
        """The run of an expert in this file."""
        return self._run(expert_id, benchmark_id)[0]

    def other_choices_notes(self, benchmark_id: int) -> list[str]:
        """A remark if an expert has scores from the same file by other options, such as another --metric."""
        if self._replace:
            return []
        own = {
            expert_id: run_id for (expert_id, benchmark), (run_id, _) in self._runs.items() if benchmark == benchmark_id
        }
        earlier = [
            run
            for run in file_origins.import_runs(self._connection, benchmark_id).values()
            if run.sha256 == self._provenance["sha256"] and own.get(run.expert_id, run.id) != run.id
        ]
        if not earlier:
            return []
        names = ", ".join(dict.fromkeys(run.expert for run in earlier))
        options = {name: value for name, value in earlier[0].choices.items() if name != "format"}
        by = ", ".join(f"{name} {value}" for name, value in options.items()) or "no option"
        return [
            f"the same file was imported for {names} with other options ({by}): the scores of that import stay; "
            "--replace takes those of this one"
        ]

    def same_file_notes(self, expert_id: int, benchmark_id: int) -> list[str]:
        """A remark if the same file was imported for another expert, which is probably a slip."""
        others = [
            run.expert
            for run in file_origins.import_runs(self._connection, benchmark_id).values()
            if run.sha256 == self._provenance["sha256"] and run.expert_id != expert_id
        ]
        if not others or self._names_experts:
            return []
        return [f"the same file was imported for {', '.join(dict.fromkeys(others))}: check whose results it has"]

    def _run(self, expert_id: int, benchmark_id: int) -> tuple[int, dict[int, int]]:
        key = (expert_id, benchmark_id)
        if key not in self._runs:
            run_id = responses.ensure_run(self._connection, expert_id, benchmark_id, self._provenance, self._record.id)
            self._runs[key] = run_id, responses.scored_by(self._connection, expert_id, benchmark_id)
        return self._runs[key]

    def _is_new(self, match: Match, run_id: int, scored_by: dict[int, int]) -> bool:
        row, query = match
        earlier = scored_by.get(query.id)
        if earlier is None or (self._replace and earlier not in (run_id, _THIS_FILE)):
            if earlier is not None:
                self._replaced.append(query.id)
            scored_by[query.id] = _THIS_FILE
            return True
        if earlier == run_id or (earlier != _THIS_FILE and self._repeats(row, query, run_id)):
            self._summary.unchanged += 1
        elif earlier == _THIS_FILE:
            self._skip(row, "an earlier row of this file has the same query")
        else:
            self._skip(row, "an earlier import has a score for its query: --replace takes that of this file")
        return False

    def _scored_by_the_file(self, matches: list[Match]) -> list[Match]:
        """Of rows of a benchmark that has no scorer here, those for which the file has a score."""
        scored = []
        for row, query in matches:
            if row.score is None and row.file_score is None:
                self._skip(row, f"it has no score, and benchmark {row.benchmark!r} has no scorer here")
            else:
                scored.append((row if row.score is not None else row._replace(score=row.file_score), query))
        return scored

    def _skip(self, row: Result, reason: str) -> None:
        self._summary.skipped.append(SkippedRow(row.line, reason, row.file))

    def _repeats(self, row: Result, query: StoredQuery, run_id: int) -> bool:
        """Whether a row has nothing but the score that is stored from another file: the same table, saved anew."""
        if row.score is None or (row.text, row.completion_tokens, row.cost) != (None, None, None):
            return False
        if run_id not in self._values:
            self._values[run_id] = responses.values(self._connection, run_id)
        return self._values[run_id].get(query.id) == row.score

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
        if row.file_score is not None:
            self._summary.differing_scores += abs(scored.score - row.file_score) > _ROUNDING
        if row.claimed is not None:
            self._summary.claims += 1
        self._summary.disagreements += scored.extracted != row.claimed
        return scored


_THIS_FILE = -1
_ROUNDING = 1e-6
_scorers: dict[str, Any] = {}


def _scorer(benchmark: str) -> Any:
    if benchmark not in _scorers:
        _scorers[benchmark] = registry.load("benchmarks", benchmark)()
    return _scorers[benchmark]
