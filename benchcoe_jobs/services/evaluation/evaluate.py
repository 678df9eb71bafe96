"""Evaluate a router on stored results: decide, keep the decisions, then look at the outcomes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.cost_curve import cost_report
from benchcoe_jobs.services.evaluation.report import Report, compare, gather
from benchcoe_jobs.services.labelling.scope import how_to_leave
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Choice, Decider, Estimates, open_decider
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class SplitDecisions:
    """Every query of a split with its decision, which is stored. `seconds` is what deciding one took."""

    decider: Decider
    benchmark_id: int
    benchmark: str
    split: str
    questions: list[Question]
    estimates: Estimates
    choices: list[Choice]
    budget: Budget
    seconds: float
    evaluation_id: int

    @property
    def names(self) -> dict[int, str]:
        """Id -> name of the experts that could be chosen."""
        return {self.decider.members[name]: name for name in self.decider.eligible}


def evaluate(
    store: Store,
    home: Path,
    router: str | None,
    *,
    benchmark: str | None,
    split: str,
    falls_back: bool = True,
    budget: Budget | None = None,
    second_price: float = 0.0,
) -> Report:
    """Decide every query of a split, store the decisions, then look up what became of them.

    The comparison is over the queries on which every expert that the router may choose has a score.
    `second_price` is what a second of the router's own work costs, in the unit of the experts' costs.
    Raises UsageError where there is none.
    """
    decided = decide(
        store, home, router, benchmark=benchmark, split=split, falls_back=falls_back, budget=budget or Budget()
    )
    return compare_all(store, decided, second_price)


def decide(
    store: Store,
    home: Path,
    router: str | None,
    *,
    benchmark: str | None,
    split: str,
    falls_back: bool,
    budget: Budget,
) -> SplitDecisions:
    """Decide every query of a split that has a text, and store the decisions. Raises UsageError where there is none."""
    decider = open_decider(store, home, router, falls_back=falls_back)
    with store.reading() as connection:
        benchmark_id, benchmark = catalog.find_benchmark(connection, benchmark or decider.router.scope.benchmark)
        questions = catalog.questions(connection, benchmark_id, split)
        if not questions:
            raise UsageError(f"{benchmark} has no queries with a text in split {split}")
        names = {decider.members[name]: name for name in decider.eligible}
        if not any(experts.read_expert_by_id(connection, expert_id).can_answer for expert_id in names):
            _require_scores(connection, decider, names, benchmark_id, benchmark, split, questions)
    start = time.perf_counter()
    estimates = decider.estimate([question.router_input for question in questions])
    choices = decider.pick(estimates, budget)
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
    return SplitDecisions(
        decider, benchmark_id, benchmark, split, questions, estimates, choices, budget, seconds, evaluation_id
    )


def compare_all(store: Store, decided: SplitDecisions, second_price: float) -> Report:
    """The report over the queries that all experts have a score on. Raises UsageError where there is none."""
    decider, names, questions = decided.decider, decided.names, decided.questions
    about = decided.benchmark_id, decided.split
    with store.writing() as connection:
        _require_scores(connection, decider, names, decided.benchmark_id, decided.benchmark, decided.split, questions)
        seen = evaluations.seen_in_training(connection, decider.router, *about)
        rows = evaluations.outcomes(connection, *about, names)
        outcomes = gather(rows, names, experts.costs(connection), questions)
        report = compare(decider, decided.benchmark, decided.split, seen, questions, decided.choices, outcomes)
        at = outcomes.positions
        money = cost_report(
            decider,
            decided.estimates.take(at),
            [decided.choices[position] for position in at],
            outcomes.scores,
            outcomes.costs,
            outcomes.experts,
            decided.budget.max_cost,
            decided.seconds,
            second_price,
        )
        report = replace(report, costs=money)
        evaluations.store_report(connection, decided.evaluation_id, report.as_json())
    return report


def _require_scores(
    connection: Connection,
    decider: Decider,
    names: Mapping[int, str],
    benchmark_id: int,
    benchmark: str,
    split: str,
    questions: Sequence[Question],
) -> None:
    scored = evaluations.fully_scored(connection, benchmark_id, split, names.keys())
    if any(question.id in scored for question in questions):
        return
    counts = evaluations.score_counts(connection, benchmark_id, split, names.keys())
    fewest = min(names, key=lambda expert_id: counts.get(expert_id, 0))
    raise UsageError(
        f"no query of {benchmark}, split {split}, has a score of every expert that the router may choose: "
        f"{names[fewest]} has {counts.get(fewest, 0)} of {len(questions)}. Import what is missing, or "
        f"{how_to_leave(decider.router.scope.pool.name, names[fewest])}"
    )


def _fingerprint(decider: Decider, benchmark: str, split: str, choices: Sequence[Choice]) -> str:
    router = decider.router
    decided = [router.name, router.artifact, benchmark, split, [choice.expert for choice in choices]]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()
