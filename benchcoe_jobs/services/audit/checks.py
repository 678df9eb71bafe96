"""What is wrong with stored results: findings, each with the command that mends it, or shows what it is about."""

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
from benchcoe_jobs.services.audit.row_order import Unrelated, unrelated_experts
from benchcoe_jobs.services.score_matrix import ScoreMatrix, read_matrix
from benchcoe_jobs.store.results import catalog, experts, repairs, score_table
from benchcoe_jobs.store.session import Store

FEWEST_ANSWERS = 30
SAME_ANSWER = 0.5
"""Suspect is who gives one answer this often, and 1.5 times as often as it is right ..."""
TOO_OFTEN = 1.5
SAME_ANSWER_SURE = 0.9
"""... and this often is sure."""
OTHER_VERDICTS = 0.02
"""The share of verdicts that a file gives otherwise, from which on it is a warning."""


class Severity(StrEnum):
    """An error makes figures wrong, a warning may; a note is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: how bad, and what. `command` mends it; that of a note, which may be nothing wrong, shows more.

    `keys` are those of the queries concerned.
    """

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
    """The findings on one benchmark or on all of them, worst first. Only looks."""
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
    matrix = _with_scores(read_matrix(connection, benchmark_id, names))
    if not matrix.experts:
        return
    for one in unrelated_experts(matrix):
        yield _unrelated(benchmark, one)
    answers = repairs.extracted_answers(connection, benchmark_id)
    yield from _constant(benchmark, matrix, names, answers)
    yield from _never_right(benchmark, matrix, answers)
    yield from _disagreements(benchmark, names, matrix, answers)


def _with_scores(matrix: ScoreMatrix) -> ScoreMatrix:
    known = np.flatnonzero(~np.isnan(matrix.values).all(axis=0))
    return ScoreMatrix([matrix.experts[column] for column in known], matrix.queries, matrix.values[:, known])


# --- duplicates ------------------------------------------------------------------------------


def straddling(queries: Sequence[tuple[int, Query]]) -> list[list[tuple[int, Query]]]:
    """Groups of (id, query), alike but for case, blanks and the order of choices, that stand in several splits.

    Queries without a text are left out.
    """
    groups: dict[object, list[tuple[int, Query]]] = {}
    for id_, query in queries:
        if query.text:
            content = _plain(query.text), tuple(sorted(map(_plain, query.choices)))
            groups.setdefault(content, []).append((id_, query))
    return [group for group in groups.values() if len({query.split for _, query in group}) > 1]


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _duplicates(benchmark: str, queries: Sequence[tuple[int, Query]]) -> Iterator[Finding]:
    groups = straddling(queries)
    if groups:
        seen = [query.key for group in groups for _, query in group if query.split is Split.TEST]
        trained = sum(Split.TRAIN in {query.split for _, query in group} for group in groups)
        yield Finding(
            Severity.ERROR,
            "duplicates",
            benchmark,
            None,
            f"{len(groups)} questions stand in more than one split, {trained} of them in train: routers are tested "
            "on what they have learned",
            f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --repair duplicates",
            seen,
        )


# --- row order -------------------------------------------------------------------------------


def _unrelated(benchmark: str, one: Unrelated) -> Finding:
    what = f"its scores go with nobody's: correlation {one.correlation:+.2f}, where the others' is {one.usual:.2f}"
    if one.order is None:
        return Finding(
            Severity.WARNING,
            "unrelated",
            benchmark,
            one.expert,
            f"{what}. It answers at random, or its rows are in an order that is not known here: import a corrected "
            "file with --replace, or take it out",
            f"benchcoe-jobs retire {shlex.quote(one.expert)}",
        )
    order = one.order
    return Finding(
        Severity.ERROR,
        "order",
        benchmark,
        one.expert,
        f"{what}. Read as the log of {order.workers} workers, {order.layout} (by {order.by}, over {order.over} rows, "
        f"within each {order.within}), it is {one.restored:.2f}",
        f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --repair order --expert {shlex.quote(one.expert)}",
    )


# --- answers ---------------------------------------------------------------------------------


def _constant(benchmark: str, matrix: ScoreMatrix, names: dict[str, int], answers: Sequence[Any]) -> Iterator[Finding]:
    said: dict[int, Counter[str]] = {}
    right: Counter[str] = Counter()
    for row in answers:
        if row.answer is not None:
            said.setdefault(row.expert_id, Counter())[row.answer] += 1
            right[row.right] += 1
    for name in matrix.experts:
        known = matrix.column(name)[~np.isnan(matrix.column(name))]
        counts = said.get(names[name], Counter())
        answer, n = counts.most_common(1)[0] if counts else ("", 0)
        share = n / max(counts.total(), 1)
        usual = right[answer] / max(right.total(), 1)
        if counts.total() >= FEWEST_ANSWERS and share >= SAME_ANSWER and share >= TOO_OFTEN * usual:
            severity = Severity.ERROR if share >= SAME_ANSWER_SURE else Severity.WARNING
            what = f"it answers {answer!r} to {share:.0%} of the questions, which is right for {usual:.0%}"
        elif len(known) >= FEWEST_ANSWERS and np.all(known == known[0]):
            severity, what = Severity.WARNING, f"all of its {len(known)} scores are {known[0]:g}"
        else:
            continue
        yield Finding(severity, "constant", benchmark, name, what, f"benchcoe-jobs retire {shlex.quote(name)}")


def _never_right(benchmark: str, matrix: ScoreMatrix, answers: Sequence[Any]) -> Iterator[Finding]:
    known = (~np.isnan(matrix.values)).sum(axis=1)
    best = np.where(known > 0, np.nan_to_num(matrix.values, nan=0.0).max(axis=1), 1.0)
    rows = np.flatnonzero((best == 0) & (known > len(matrix.experts) / 2))
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
    what = f"{len(rows)} of {len(matrix.queries)} questions were got right by none of {len(matrix.experts)} experts"
    if agreed:
        what += (
            f"; on {len(agreed)} of them most experts give the same other answer: their answer keys are worth a look"
        )
    keys = agreed or [matrix.queries[row].key for row in rows]
    yield Finding(Severity.NOTE, "never right", benchmark, None, what, _list_keys(benchmark), keys)


def _disagreements(
    benchmark: str, names: dict[str, int], matrix: ScoreMatrix, answers: Sequence[Any]
) -> Iterator[Finding]:
    claims: dict[int, list[Any]] = {}
    for row in answers:
        if row.claimed is not None:
            claims.setdefault(row.expert_id, []).append(row)
    name_of = {id_: name for name, id_ in names.items()}
    key_of = {query.id: query.key for query in matrix.queries}
    for expert_id, rows in sorted(claims.items(), key=lambda pair: name_of[pair[0]]):
        otherwise = [key_of[row.query_id] for row in rows if row.claimed != row.answer]
        judged_otherwise = sum((row.claimed == row.right) != (row.value == 1) for row in rows)
        if not otherwise:
            continue
        warns = judged_otherwise > OTHER_VERDICTS * len(rows)
        theirs = sum(row.claimed == row.right for row in rows) / len(rows)
        ours = sum(row.value for row in rows) / len(rows)
        yield Finding(
            Severity.WARNING if warns else Severity.NOTE,
            "scorer",
            benchmark,
            name_of[expert_id],
            f"its file reads {len(otherwise)} of {len(rows)} answers otherwise, and {judged_otherwise} verdicts "
            f"with them: {theirs:.1%} by the file, {ours:.1%} here",
            _rescored(benchmark) if warns else _list_keys(benchmark),
            otherwise,
        )


def _list_keys(benchmark: str) -> str:
    return f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --json"


def _rescored(benchmark: str) -> str:
    if benchmark in registry.names("benchmarks"):
        return f"benchcoe-jobs rescore {shlex.quote(benchmark)}"
    return f"benchcoe-jobs import-results EXPERT FILE --benchmark {shlex.quote(benchmark)} --replace"
