"""Evaluate a router on stored results: decide, keep the decisions, then look at the outcomes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.jobs.curve import cost_report
from benchcoe_jobs.jobs.decide import Choice, Decider, open_decider
from benchcoe_jobs.jobs.report import Report, compare, gather
from benchcoe_jobs.jobs.spending import Spending
from benchcoe_jobs.store import catalog, evaluations, experts
from benchcoe_jobs.store.session import Store


def evaluate(
    store: Store,
    home: Path,
    router: str | None,
    *,
    benchmark: str | None,
    split: str,
    falls_back: bool = True,
    spending: Spending | None = None,
    second_price: float = 0.0,
) -> Report:
    """Decide every query of a split, store the decisions, then look up what became of them.

    The comparison is over the queries on which every expert that the router may choose has a score.
    `second_price` is what a second of the router's own work costs, in the unit of the experts' costs.
    Raises UsageError where there is none.
    """
    spending = spending or Spending()
    decider = open_decider(store, home, router, falls_back=falls_back)
    names = {decider.members[name]: name for name in decider.eligible}
    with store.reading() as connection:
        benchmark_id, benchmark = catalog.find_benchmark(connection, benchmark or decider.router.scope.benchmark)
        questions = [q for q in catalog.questions(connection, benchmark_id, split) if q.text]
        counts = evaluations.score_counts(connection, benchmark_id, split, names)
        scored = evaluations.fully_scored(connection, benchmark_id, split, names)
    if not questions:
        raise UsageError(f"{benchmark} has no queries with a text in split {split}")
    if not any(question.id in scored for question in questions):
        fewest = min(names, key=lambda expert_id: counts.get(expert_id, 0))
        raise UsageError(
            f"no query of {benchmark}, split {split}, has a score of every expert that the router may choose: "
            f"{names[fewest]} has {counts.get(fewest, 0)} of {len(questions)}. Import what is missing, or take it "
            f"out of pool {decider.router.scope.pool.name!r}"
        )
    start = time.perf_counter()
    estimates = decider.estimate([question.asked for question in questions])
    choices = decider.pick(estimates, spending)
    seconds = (time.perf_counter() - start) / len(questions)

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
        rows = evaluations.outcomes(connection, benchmark_id, split, names)
        outcomes = gather(rows, names, experts.costs(connection), questions)
        report = compare(decider, benchmark, split, seen, questions, choices, outcomes)
        at = outcomes.positions
        money = cost_report(
            decider,
            estimates.take(at),
            [choices[position] for position in at],
            outcomes.scores,
            outcomes.costs,
            outcomes.experts,
            spending.max_cost,
            seconds,
            second_price,
        )
        report = replace(report, costs=money)
        evaluations.store_report(connection, evaluation_id, report.as_json())
    return report


def _fingerprint(decider: Decider, benchmark: str, split: str, choices: Sequence[Choice]) -> str:
    router = decider.router
    decided = [router.name, router.artifact, benchmark, split, [choice.expert for choice in choices]]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()
