"""Take corrected answers of stored queries, and score the stored responses to them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks.base import Benchmark
from benchcoe_jobs.domain import Query, ScoredAnswer
from benchcoe_jobs.services.label_flips import Flip
from benchcoe_jobs.store.results import catalog, prompt_inputs, rescoring
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.store.results.rescoring import Change
from benchcoe_jobs.store.tables import Extraction, Score

_BATCH = 500


class CorrectedAnswer(NamedTuple):
    """An answer that was replaced."""

    key: str
    before: str
    after: str


class MovedScore(NamedTuple):
    """A score that changed with an answer."""

    key: str
    expert: str
    before: float
    after: float


@dataclass
class AnswerUpdate:
    """Which answers were corrected, and what changed with them.

    `scored` is the number of responses that were scored again. `kept` counts, by expert, the scores of these queries
    that no scorer here computed: whether their file had the corrected answers is not known.
    """

    dry_run: bool
    answers: list[CorrectedAnswer] = field(default_factory=list)
    scored: int = 0
    scores: list[MovedScore] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    subject_flips: list[Flip] = field(default_factory=list)
    query_flips: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return {
            **asdict(self),
            "answers": [row._asdict() for row in self.answers],
            "scores": [row._asdict() for row in self.scores],
        }


def is_correction(known: Query, query: Query) -> bool:
    """Whether a row has another answer than the stored query, and nothing else."""
    if known.answer is None or query.answer in (None, known.answer) or query.subject != known.subject:
        return False
    return replace(query, answer=known.answer).content_hash == known.content_hash


def correct(
    connection: Connection,
    record: ImportRecord,
    benchmark: tuple[int, str],
    queries: Mapping[int, Query],
    report: AnswerUpdate,
) -> set[tuple[int, int]]:
    """Replace the answers of stored queries, by id, by those of `queries`, and score the responses to them again.

    Adds all but the labels to the report. Returns the (expert id, stratum id) of the scores that changed, whose
    aggregates the caller refreshes.
    """
    changed: set[tuple[int, int]] = set()
    ids = sorted(queries)
    for start in range(0, len(ids), _BATCH):
        part = {id_: queries[id_] for id_ in ids[start : start + _BATCH]}
        before = prompt_inputs.contents(connection, part)
        record.before_content(part, {})
        catalog.set_answers(connection, part)
        report.answers += [
            CorrectedAnswer(query.key, before[id_].answer or "", query.answer or "") for id_, query in part.items()
        ]
        changed |= _score_again(connection, record, benchmark, part, report)
    return changed


def _score_again(
    connection: Connection,
    record: ImportRecord,
    benchmark: tuple[int, str],
    queries: Mapping[int, Query],
    report: AnswerUpdate,
) -> set[tuple[int, int]]:
    benchmark_id, name = benchmark
    kept = Counter(rescoring.score_counts(connection, queries))
    changes: dict[tuple[int, str], list[Change]] = {}
    if name in registry.names("benchmarks"):
        scorer: Benchmark = registry.load("benchmarks", name)()
        for run_id, expert_id, expert in rescoring.expert_runs(connection, benchmark_id):
            rows = rescoring.scored(connection, run_id, queries)
            report.scored += len(rows)
            kept[expert] -= len(rows)
            for row in rows:
                new = scorer.score(row.text, queries[row.query_id])
                if new != ScoredAnswer(row.value, row.answer, row.rule):
                    change = Change(row.expert_id, row.query_id, row.stratum_id, run_id, row.value, new)
                    changes.setdefault((expert_id, expert), []).append(change)
    for (expert_id, expert), of_expert in changes.items():
        ids = [change.query_id for change in of_expert]
        record.keep(Score, ids, expert_id=expert_id)
        record.keep(Extraction, ids, expert_id=expert_id)
        rescoring.apply(connection, of_expert)
        report.scores += [
            MovedScore(queries[change.query_id].key, expert, change.was, change.scored_answer.score)
            for change in of_expert
            if change.changes_score
        ]
    report.kept = dict(+(Counter(report.kept) + kept))
    return {(c.expert_id, c.stratum_id) for of_expert in changes.values() for c in of_expert if c.changes_score}
