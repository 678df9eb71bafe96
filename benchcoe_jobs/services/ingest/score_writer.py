"""Score the matched rows of a result file and write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Result, ScoredAnswer, SkippedRow
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.query_matching import Match
from benchcoe_jobs.store.results import file_origins, responses
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.responses import NewScore


class ScoreWriter:
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
        self._values: dict[int, dict[int, float]] = {}
        self._names_experts = False

    def write(
        self, benchmark: str, benchmark_id: int, matches: Sequence[Match], expert: str, expert_ids: dict[str, int]
    ) -> None:
        by_expert: dict[str, list[Match]] = {}
        for match in matches:
            by_expert.setdefault(match[0].expert or expert, []).append(match)
            self._names_experts = self._names_experts or match[0].expert is not None
        for name, of_expert in by_expert.items():
            run_id, scored_by = self._run(expert_ids[name], benchmark_id)
            new = [match for match in of_expert if self._is_new(match, run_id, scored_by)]
            scores = [self._score(benchmark, *match) for match in new]
            responses.write_scores(self._connection, expert_ids[name], run_id, scores)
            self.changed |= {(expert_ids[name], score.stratum_id) for score in scores}
            if scores:
                self._summary.scored[name] += len(scores)

    def has_row(self, expert_id: int, benchmark_id: int, query_id: int) -> bool:
        """Whether an expert has a score on a query from this file."""
        if (expert_id, benchmark_id) not in self._runs:  # none of its rows was written
            return False
        run_id, scored_by = self._runs[expert_id, benchmark_id]
        return scored_by.get(query_id) in (run_id, _THIS_FILE)

    def run_id(self, expert_id: int, benchmark_id: int) -> int:
        """The run of an expert in this file."""
        return self._run(expert_id, benchmark_id)[0]

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
            run_id = responses.ensure_run(self._connection, expert_id, benchmark_id, self._provenance)
            self._runs[key] = run_id, responses.scored_by(self._connection, expert_id, benchmark_id)
        return self._runs[key]

    def _is_new(self, match: Match, run_id: int, scored_by: dict[int, int]) -> bool:
        row, query = match
        earlier = scored_by.get(query.id)
        if earlier is None or (self._replace and earlier not in (run_id, _THIS_FILE)):
            scored_by[query.id] = _THIS_FILE
            return True
        if earlier == run_id or (earlier != _THIS_FILE and self._repeats(row, query, run_id)):
            self._summary.unchanged += 1
        elif earlier == _THIS_FILE:
            self._summary.skipped.append(SkippedRow(row.line, "an earlier row of this file has the same query"))
        else:
            self._summary.skipped.append(
                SkippedRow(row.line, "an earlier import has a score for its query: --replace takes that of this file")
            )
        return False

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
        self._summary.disagreements += scored.extracted != row.claimed
        return scored


_THIS_FILE = -1
_scorers: dict[str, Any] = {}


def _scorer(benchmark: str) -> Any:
    if benchmark not in _scorers:
        _scorers[benchmark] = registry.load("benchmarks", benchmark)()
    return _scorers[benchmark]
