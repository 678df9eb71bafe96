"""Checks of stored results. Each finding names a command that repairs it or shows its details."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.services.audit.row_order import UnrelatedExpert, unrelated_experts
from benchcoe_jobs.services.score_matrix import ScoreMatrix, read_matrix
from benchcoe_jobs.store.results import catalog, experts, repairs, score_table
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

FEWEST_ANSWERS = 30
SAME_ANSWER = 0.5
"""An expert that gives one answer to this share of questions, and TOO_OFTEN times as often as it is right, gets a
warning ..."""
TOO_OFTEN = 1.5
SAME_ANSWER_SURE = 0.9
"""... and from this share on an error."""
DIFFERENT_SCORES = 0.02
"""A file with a larger share of scores that differ from the stored ones gets a warning, otherwise a note."""


class Severity(StrEnum):
    """An error makes figures wrong, a warning may make them wrong, a note is for information."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem in stored results. `command` repairs it, or shows more for a note. `keys` are those of its queries."""

    severity: Severity
    kind: str
    benchmark: str
    expert: str | None
    what: str
    command: str
    keys: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The finding as one JSON object."""
        return asdict(self)


def audit(store: Store, benchmark: str | None) -> list[Finding]:
    """The findings on one benchmark, or on all of them, most severe first. The store is not changed."""
    with store.reading() as connection:
        names = (
            [str(row["benchmark"]) for row in catalog.benchmarks(connection)]
            if benchmark is None
            else [catalog.find_benchmark(connection, benchmark)[1]]
        )
        found = [finding for name in names for finding in _of_benchmark(connection, name)]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _of_benchmark(connection: Connection, benchmark: str) -> Iterator[Finding]:
    benchmark_id, _ = catalog.find_benchmark(connection, benchmark)
    names = experts.expert_ids(connection)
    yield from _duplicates(benchmark, score_table.queries(connection, benchmark_id))
    matrix = read_matrix(connection, benchmark_id, names)
    matrix = matrix.without(matrix.without_scores())
    if not matrix.experts:
        return
    for expert in unrelated_experts(matrix):
        yield _unrelated(benchmark, expert)
    answers = repairs.extracted_answers(connection, benchmark_id)
    yield from _constant(benchmark, matrix, names, answers)
    yield from _never_right(benchmark, matrix, answers)
    yield from _disagreements(benchmark, names, matrix, answers)


# --- duplicates ------------------------------------------------------------------------------


def duplicates_across_splits(queries: Sequence[tuple[int, Query]]) -> list[list[tuple[int, Query]]]:
    """Groups of equal queries (id, query) in more than one split; case, blanks and the order of choices are ignored.

    Queries without a text are left out.
    """
    groups: dict[object, list[tuple[int, Query]]] = {}
    for id_, query in queries:
        if query.text:
            content = _normalised(query.text), tuple(sorted(map(_normalised, query.choices)))
            groups.setdefault(content, []).append((id_, query))
    return [group for group in groups.values() if len({query.split for _, query in group}) > 1]


def _normalised(text: str) -> str:
    return " ".join(text.lower().split())


def _duplicates(benchmark: str, queries: Sequence[tuple[int, Query]]) -> Iterator[Finding]:
    groups = duplicates_across_splits(queries)
    if groups:
        tested = [query.key for group in groups for _, query in group if query.split is Split.TEST]
        trained = sum(Split.TRAIN in {query.split for _, query in group} for group in groups)
        yield Finding(
            Severity.ERROR,
            "duplicates",
            benchmark,
            None,
            f"more than one split has copies of {counted(len(groups), 'question')}, {trained} of them in train: "
            "routers are tested on questions that they were trained on",
            f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --repair duplicates",
            tested,
        )


# --- row order -------------------------------------------------------------------------------


def _unrelated(benchmark: str, found: UnrelatedExpert) -> Finding:
    what = f"its scores correlate with no other expert ({found.correlation:+.2f}; the others {found.usual:.2f})"
    if found.order is None:
        return Finding(
            Severity.WARNING,
            "unrelated",
            benchmark,
            found.expert,
            f"{what}. It answers at random, or its rows are in an unknown order: import a corrected file with "
            "--replace, or retire the expert",
            f"benchcoe-jobs retire {shlex.quote(found.expert)}",
        )
    order = found.order
    return Finding(
        Severity.ERROR,
        "order",
        benchmark,
        found.expert,
        f"{what}. Read as the log of {order.workers} workers, {order.layout} (by {order.by}, over {order.over} rows, "
        f"within each {order.within}), the correlation is {found.restored:.2f}",
        f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --repair order --expert {shlex.quote(found.expert)}",
    )


# --- answers ---------------------------------------------------------------------------------


def _constant(benchmark: str, matrix: ScoreMatrix, names: dict[str, int], answers: Sequence[Any]) -> Iterator[Finding]:
    """Experts that give one answer too often, or whose scores are all equal."""
    given: dict[int, Counter[str]] = {}
    right: Counter[str] = Counter()
    for row in answers:
        if row.answer is not None:
            given.setdefault(row.expert_id, Counter())[row.answer] += 1
            right[row.right] += 1
    for name in matrix.experts:
        scores = matrix.column(name)[~np.isnan(matrix.column(name))]
        counts = given.get(names[name], Counter())
        answer, n = counts.most_common(1)[0] if counts else ("", 0)
        share = n / max(counts.total(), 1)
        usual = right[answer] / max(right.total(), 1)
        if counts.total() >= FEWEST_ANSWERS and share >= SAME_ANSWER and share >= TOO_OFTEN * usual:
            severity = Severity.ERROR if share >= SAME_ANSWER_SURE else Severity.WARNING
            what = f"it answers {answer!r} to {share:.0%} of the questions; this is the right answer to {usual:.0%}"
        elif len(scores) >= FEWEST_ANSWERS and np.all(scores == scores[0]):
            severity, what = Severity.WARNING, f"all of its {len(scores)} scores are {scores[0]:g}"
        else:
            continue
        yield Finding(severity, "constant", benchmark, name, what, f"benchcoe-jobs retire {shlex.quote(name)}")


def _never_right(benchmark: str, matrix: ScoreMatrix, answers: Sequence[Any]) -> Iterator[Finding]:
    """Questions that more than half of the experts have a score on, all of them zero."""
    n_scored = (~np.isnan(matrix.values)).sum(axis=1)
    best = np.where(n_scored > 0, np.nan_to_num(matrix.values, nan=0.0).max(axis=1), 1.0)
    rows = np.flatnonzero((best == 0) & (n_scored > len(matrix.experts) / 2))
    if len(matrix.experts) < 3 or not len(rows):
        return
    wrong: dict[int, Counter[str]] = {matrix.queries[row].id: Counter() for row in rows}
    for row in answers:
        if row.query_id in wrong and row.answer is not None:
            wrong[row.query_id][row.answer] += 1
    agreed = [
        query.key
        for query in (matrix.queries[row] for row in rows)
        if (votes := wrong[query.id]) and votes.most_common(1)[0][1] * 2 > votes.total() and votes.total() > 2
    ]
    what = f"none of {len(matrix.experts)} experts is right on {len(rows)} of {len(matrix.queries)} questions"
    if agreed:
        what += f"; on {len(agreed)} of them most experts give the same other answer: check the answer keys of these"
    keys = agreed or [matrix.queries[row].key for row in rows]
    yield Finding(Severity.NOTE, "never right", benchmark, None, what, _list_keys(benchmark), keys)


def _disagreements(
    benchmark: str, names: dict[str, int], matrix: ScoreMatrix, answers: Sequence[Any]
) -> Iterator[Finding]:
    """Experts whose file has other extracted answers than the stored ones."""
    claims: dict[int, list[Any]] = {}
    for row in answers:
        if row.claimed is not None:
            claims.setdefault(row.expert_id, []).append(row)
    name_of = {id_: name for name, id_ in names.items()}
    key_of = {query.id: query.key for query in matrix.queries}
    for expert_id, rows in sorted(claims.items(), key=lambda pair: name_of[pair[0]]):
        different = [key_of[row.query_id] for row in rows if row.claimed != row.answer]
        if not different:
            continue
        different_scores = sum((row.claimed == row.right) != (row.value == 1) for row in rows)
        warns = different_scores > DIFFERENT_SCORES * len(rows)
        in_file = sum(row.claimed == row.right for row in rows) / len(rows)
        stored = sum(row.value for row in rows) / len(rows)
        yield Finding(
            Severity.WARNING if warns else Severity.NOTE,
            "scorer",
            benchmark,
            name_of[expert_id],
            f"its file extracts a different answer for {len(different)} of {counted(len(rows), 'response')}; "
            f"{counted(different_scores, 'score differs', 'scores differ')}: mean {in_file:.1%} in the file, "
            f"{stored:.1%} in the store",
            _score_again(benchmark) if warns else _list_keys(benchmark),
            different,
        )


def _list_keys(benchmark: str) -> str:
    return f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --json"


def _score_again(benchmark: str) -> str:
    if benchmark in registry.names("benchmarks"):
        return f"benchcoe-jobs rescore {shlex.quote(benchmark)}"
    return f"benchcoe-jobs import-results EXPERT FILE --benchmark {shlex.quote(benchmark)} --replace"
