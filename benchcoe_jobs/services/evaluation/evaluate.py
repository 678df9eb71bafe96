"""Evaluate a router on stored results: decide, store the decisions, then read their outcomes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.services.evaluation.cost_curve import CostReport, cost_report
from benchcoe_jobs.services.evaluation.decisions import (
    SplitDecisions,
    decide,
    estimates_of,
    evaluate_request,
    require_scores,
)
from benchcoe_jobs.services.evaluation.report import Outcomes, Report, compare, gather
from benchcoe_jobs.services.origins import imported_note
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Decider, Estimates
from benchcoe_jobs.store.results import experts, file_origins
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import Store


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
    """Evaluate a router without a job, on the scores that are stored; no expert is asked.

    The parameters are those of `evaluate_request`. Raises UsageError as `decide` and `compare_all` do.
    """
    budget = budget or Budget()
    with store.writing() as connection:
        request = evaluate_request(
            connection,
            router,
            benchmark,
            split,
            falls_back=falls_back,
            max_cost=budget.max_cost,
            quality_weight=budget.quality_weight,
            second_price=second_price,
        )
    return compare_all(store, home, decide(store, home, request))


def compare_all(store: Store, home: Path, decided: SplitDecisions) -> Report:
    """The report over the queries on which every expert that the router may choose has a score; it is stored.

    Raises UsageError if there is no such query.
    """
    snapshot, benchmark_id, split = decided.snapshot, decided.benchmark_id, decided.split
    with store.reading() as connection:
        require_scores(connection, snapshot, benchmark_id, decided.benchmark, split, decided.questions)
        n_seen = evaluations.seen_in_training(connection, snapshot.router, benchmark_id, split)
        rows = evaluations.outcomes(connection, benchmark_id, split, snapshot.expert_names)
        outcomes = gather(rows, snapshot.expert_names, experts.costs(connection), decided.questions)
        origins = file_origins.imported_shares(connection, benchmark_id, split, snapshot.members)
    report = compare(decided, n_seen, outcomes)
    note = imported_note(origins)
    report = replace(
        report,
        costs=_costs(store, home, decided, outcomes),
        imported={share.expert: share.imported for share in origins if share.imported},
        warnings=[*report.warnings, *([note] if note else [])],
    )
    with store.writing() as connection:
        evaluations.store_report(connection, decided.evaluation_id, report.as_json())
    return report


def _costs(store: Store, home: Path, decided: SplitDecisions, outcomes: Outcomes) -> CostReport | None:
    @cache
    def estimated() -> tuple[Decider, Estimates]:
        router, estimates = estimates_of(store, home, decided)
        return router, estimates.take(outcomes.positions)

    def chosen_at(quality_weight: float) -> NDArray[np.intp]:
        router, estimates = estimated()
        return router.best(estimates, Budget(decided.budget.max_cost, quality_weight))

    return cost_report(
        decided.snapshot,
        outcomes.scores,
        outcomes.costs,
        decided.chosen()[outcomes.positions],
        chosen_at,
        decided.seconds,
        decided.request["second_price"],
    )
