"""Evaluate a router on stored results: decide, store the decisions, then read their outcomes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.services.evaluation.cost_curve import CostReport, Routed, cost_report
from benchcoe_jobs.services.evaluation.decisions import (
    SplitDecisions,
    decide,
    estimates_of,
    evaluate_request,
    require_scores,
)
from benchcoe_jobs.services.evaluation.follow import Followed, cascade_figures
from benchcoe_jobs.services.evaluation.report import Outcomes, Report, compare, gather
from benchcoe_jobs.services.origins import imported_note
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Decider, Estimates
from benchcoe_jobs.store.results import experts, file_origins
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted


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
    if decided.followed is not None:
        report = _with_cascade(report, decided.followed, outcomes)
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


def _with_cascade(report: Report, followed: Followed, outcomes: Outcomes) -> Report:
    """The report with what the cascade did, and with the costs of all answers that it asked for."""
    here = followed.take(outcomes.positions)
    cost = None
    if report.cost is not None:
        cost = report.cost | {"router": float(here.paid(here.walk, outcomes.costs).mean())}
    left_out = []
    if followed.n_left_out:
        left_out = [
            f"{counted(followed.n_left_out, 'query', 'queries')} without a response of every expert that the cascade "
            "may ask are left out"
        ]
    figures = cascade_figures(here, outcomes.scores, outcomes.costs)
    return replace(report, cost=cost, cascade=figures, warnings=[*report.warnings, *left_out])


def _costs(store: Store, home: Path, decided: SplitDecisions, outcomes: Outcomes) -> CostReport | None:
    @cache
    def estimated() -> tuple[Decider, Estimates]:
        router, estimates = estimates_of(store, home, decided)
        return router, estimates.take(outcomes.positions)

    def routed_at(quality_weight: float) -> Routed:
        router, estimates = estimated()
        return chosen(router.best(estimates, Budget(decided.budget.max_cost, quality_weight)))

    def chosen(columns: NDArray[np.intp]) -> Routed:
        rows = np.arange(len(columns))
        return Routed(outcomes.scores[rows, columns], outcomes.costs[rows, columns])

    def followed_at(quality_weight: float) -> Routed:
        walk = here.at(quality_weight)
        return Routed(chosen(here.columns()[walk.winner]).scores, here.paid(walk, outcomes.costs))

    routed = chosen(decided.chosen()[outcomes.positions])
    if decided.followed is not None:
        here = decided.followed.take(outcomes.positions)
        routed = replace(routed, costs=here.paid(here.walk, outcomes.costs))
    return cost_report(
        decided.snapshot,
        outcomes.scores,
        outcomes.costs,
        routed,
        routed_at if decided.followed is None else followed_at,
        decided.seconds,
        decided.request["second_price"],
    )
