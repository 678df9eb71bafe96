"""Score a router on stored results, beside what its experts, chance and an oracle would have scored."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import Source, router_text
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.jobs.bootstrap import mean_interval
from benchcoe_jobs.jobs.decide import Choice, Decider, open_decider
from benchcoe_jobs.store import catalog, evaluations, experts
from benchcoe_jobs.store.catalog import Question
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Report:
    """A router against its baselines, all over the same `n` queries. Accuracies are fractions.

    `best_single` was chosen on the router's training split, the two oracles in hindsight: the best
    expert of every subject, and of every query. `gain` is over `best_single`, with a 95 %
    bootstrap interval over queries. `without_scores` counts the queries of the split that are left
    out because an expert has no score on them.
    """

    router: str
    level: str
    pool: str
    benchmark: str
    split: str
    stage: str
    in_sample: bool
    seen_in_training: int
    n: int
    without_scores: int
    accuracy: float
    best_single: dict[str, Any]
    random: float
    subject_oracle: float
    oracle: float
    gain: dict[str, float]
    calls: dict[str, float]
    experts: dict[str, float]
    cost: dict[str, float] | None
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """Scores and costs (queries, experts), of the questions (by position) that every expert answered."""

    experts: list[str]
    positions: NDArray[np.intp]
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]


def evaluate(store: Store, home: Path, router: str | None, *, benchmark: str | None, split: str) -> Report:
    """Decide every query of a split, store the decisions, then look up what became of them.

    Raises UsageError where no query has a score of every expert that the router may choose.
    """
    decider = open_decider(store, home, router)
    with store.reading() as connection:
        benchmark_id, benchmark = catalog.find_benchmark(connection, benchmark or decider.router.scope.benchmark)
        questions = [q for q in catalog.questions(connection, benchmark_id, split) if q.text]
        eligible = [decider.members[name] for name in decider.eligible]
        scored = evaluations.fully_scored(connection, benchmark_id, split, eligible)
    if not questions:
        raise UsageError(f"{benchmark} has no queries with a text in split {split}")
    best_single = _best_single(decider)
    if not any(question.id in scored for question in questions):
        raise _nothing_judged(decider, benchmark, split)
    choices = decider.choose([router_text(question.text, question.choices) for question in questions])
    if not any(q.id in scored and c.expert in decider.eligible for q, c in zip(questions, choices, strict=True)):
        raise _nothing_judged(decider, benchmark, split)

    with store.writing() as connection:
        evaluation_id = evaluations.store_decisions(
            connection,
            decider.router,
            benchmark_id,
            split,
            _fingerprint(decider, benchmark, split, choices),
            [(q.id, decider.members[c.expert], c.subject) for q, c in zip(questions, choices, strict=True)],
        )
    with store.writing() as connection:
        seen = evaluations.seen_in_training(connection, decider.router, benchmark_id, split)
        names = {decider.members[name]: name for name in decider.eligible}
        rows = evaluations.outcomes(connection, benchmark_id, split, names)
        outcomes = _outcomes(rows, names, experts.costs(connection), questions)
        report = _report(decider, best_single, benchmark, split, seen, questions, choices, outcomes)
        evaluations.store_report(connection, evaluation_id, report.as_json())
    return report


def _best_single(decider: Decider) -> str:
    if decider.best_single is None or decider.best_single not in decider.eligible:
        scope = decider.router.scope
        raise UsageError(
            f"no expert of pool {scope.pool.name!r} has scores for {scope.pool.min_coverage:.0%} of {scope.benchmark}, "
            f"split {scope.split}: there is no best single expert to compare with"
        )
    return decider.best_single


def _nothing_judged(decider: Decider, benchmark: str, split: str) -> UsageError:
    return UsageError(
        f"no query of {benchmark}, split {split}, has a score of every expert of pool "
        f"{decider.router.scope.pool.name!r} ({', '.join(decider.eligible)}): import what is missing, "
        "or take a pool without them"
    )


def _fingerprint(decider: Decider, benchmark: str, split: str, choices: Sequence[Choice]) -> str:
    decided = [
        decider.router.name,
        decider.router.artifact,
        benchmark,
        split,
        [choice.expert for choice in choices],
    ]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()


def _outcomes(
    rows: Iterable[tuple[int, int, float, float | None]],
    names: dict[int, str],
    prices: dict[str, float | None],
    questions: Sequence[Question],
) -> _Outcomes:
    """Rows (query id, expert id, score, recorded cost) -> matrices over the fully scored queries."""
    row_of = {question.id: row for row, question in enumerate(questions)}
    column_of = {expert_id: column for column, expert_id in enumerate(names)}
    scores = np.full((len(questions), len(names)), np.nan)
    costs = np.tile([np.nan if (p := prices[name]) is None else p for name in names.values()], (len(questions), 1))
    for query_id, expert_id, score, cost in rows:
        if query_id in row_of:
            at = row_of[query_id], column_of[expert_id]
            scores[at] = score
            costs[at] = costs[at] if cost is None else cost
    kept = np.flatnonzero(~np.isnan(scores).any(axis=1))
    return _Outcomes(list(names.values()), kept, scores[kept], costs[kept])


def _report(
    decider: Decider,
    best_single: str,
    benchmark: str,
    split: str,
    seen: int,
    questions: Sequence[Question],
    choices: Sequence[Choice],
    outcomes: _Outcomes,
) -> Report:
    scope, names = decider.router.scope, outcomes.experts
    column_of = {name: column for column, name in enumerate(names)}
    judged = [at for at in outcomes.positions if choices[at].expert in column_of]
    rows = np.searchsorted(outcomes.positions, judged)
    scores, costs = outcomes.scores[rows], outcomes.costs[rows]
    chosen = np.array([column_of[choices[at].expert] for at in judged])
    routed = scores[np.arange(len(judged)), chosen]
    best = scores[:, column_of[best_single]]
    low, high = mean_interval(routed - best)
    calls = Counter(names[column] for column in chosen)
    same_benchmark = benchmark == scope.benchmark
    in_sample = same_benchmark and split == scope.split
    return Report(
        router=decider.router.name,
        level=decider.router.level,
        pool=scope.pool.name,
        benchmark=benchmark,
        split=split,
        stage="naive" if in_sample else "in distribution" if same_benchmark else "out of distribution",
        in_sample=in_sample,
        seen_in_training=seen,
        n=len(judged),
        without_scores=len(questions) - len(judged),
        accuracy=float(routed.mean()),
        best_single={"expert": best_single, "accuracy": float(best.mean())},
        random=float(scores.mean()),
        subject_oracle=_subject_oracle(scores, [questions[at].subject for at in judged]),
        oracle=float(scores.max(axis=1).mean()),
        gain={"value": float((routed - best).mean()), "low": low, "high": high},
        calls={name: count / len(judged) for name, count in calls.most_common()},
        experts={name: float(scores[:, column].mean()) for name, column in column_of.items()},
        cost=_cost(costs, chosen, column_of[best_single]),
        warnings=_warnings(decider, in_sample, seen, len(questions) - len(judged), len(questions)),
    )


def _subject_oracle(scores: NDArray[np.float64], subjects: Sequence[str]) -> float:
    """Mean score where every subject goes to the expert that is best on it, in hindsight."""
    _, subject_of = np.unique(subjects, return_inverse=True)
    totals = np.zeros((subject_of.max() + 1, scores.shape[1]))
    np.add.at(totals, subject_of, scores)
    return float(totals.max(axis=1).sum() / len(scores))


def _cost(costs: NDArray[np.float64], chosen: NDArray[np.intp], best: int) -> dict[str, float] | None:
    """Mean cost of a query: routed, by the best single expert, and by asking every expert."""
    if np.isnan(costs).any():
        return None
    routed = costs[np.arange(len(chosen)), chosen]
    return {
        "router": float(routed.mean()),
        "best_single": float(costs[:, best].mean()),
        "every_expert": float(costs.sum(axis=1).mean()),
    }


def _warnings(decider: Decider, in_sample: bool, seen: int, without: int, n: int) -> list[str]:
    found = []
    if in_sample:
        found.append("in-sample: the router was trained on these very queries; the accuracy says nothing of new ones")
    elif seen:
        found.append(f"{seen} of {n} queries have the very content of a training query")
    if without:
        found.append(f"{without} of {n} queries are left out: an expert of the pool has no score on them")
    reported = [label.subject for label in decider.table.values() if label.source == Source.REPORTED]
    if reported:
        found.append(f"the labels of {', '.join(reported)} rest on reported scores, whose queries may be among these")
    return found
