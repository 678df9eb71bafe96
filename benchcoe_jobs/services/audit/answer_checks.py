"""The checks of answers: constant ones, questions that no expert answers correctly, other extractions in a file."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchcoe_jobs import registry
from benchcoe_jobs.services.audit.findings import Finding, Severity
from benchcoe_jobs.services.audit.trusted_experts import FEWEST_ANSWERS
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.wording import counted, percent

SAME_ANSWER = 0.5
"""An expert that gives one answer to this share of questions, and TOO_OFTEN times as often as it is right, gets a
warning ..."""
TOO_OFTEN = 1.5
SAME_ANSWER_SURE = 0.9
"""... and from this share on an error."""
DIFFERENT_SCORES = 0.02
"""A file with a larger share of scores that differ from the stored ones gets a warning, otherwise a note."""


def constant_answers(
    benchmark: str, matrix: ScoreMatrix, names: dict[str, int], answers: Sequence[Any]
) -> Iterator[Finding]:
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
            what = (
                f"it answers {answer!r} to {percent(share, 0)} of the questions; "
                f"this is the right answer to {percent(usual, 0)}"
            )
        elif len(scores) >= FEWEST_ANSWERS and np.all(scores == scores[0]):
            severity, what = Severity.WARNING, f"all of its {len(scores)} scores are {scores[0]:g}"
        else:
            continue
        yield Finding(severity, "constant", benchmark, name, what, f"benchcoe-jobs retire {shlex.quote(name)}")


def never_right(benchmark: str, matrix: ScoreMatrix, answers: Sequence[Any]) -> Iterator[Finding]:
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


def other_extractions(
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
            f"{counted(different_scores, 'score differs', 'scores differ')}: mean {percent(in_file)} in the file, "
            f"{percent(stored)} in the store",
            _score_again(benchmark) if warns else _list_keys(benchmark),
            different,
        )


def _list_keys(benchmark: str) -> str:
    return f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --json"


def _score_again(benchmark: str) -> str:
    if benchmark in registry.names("benchmarks"):
        return f"benchcoe-jobs rescore {shlex.quote(benchmark)}"
    return f"benchcoe-jobs import-results EXPERT FILE --benchmark {shlex.quote(benchmark)} --replace"
