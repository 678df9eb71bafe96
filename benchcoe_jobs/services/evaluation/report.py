"""A router beside what its experts, chance and an oracle would have scored, over the same queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import Distribution, Source, Split
from benchcoe_jobs.routers.base import LearnedFeatures
from benchcoe_jobs.services.evaluation.cost_curve import CostReport
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.routing.decider import Choice, Decider
from benchcoe_jobs.services.score_matrix import subject_oracle
from benchcoe_jobs.store.results.catalog import Question


@dataclass(frozen=True, slots=True)
class Report:
    """A router against its baselines, all over the same `n` queries. Accuracies are fractions.

    `distribution` is the paper's (section 4): naive, in distribution or out of distribution. `best_single`
    was chosen on the router's training split, the two oracles in hindsight: the best expert of every
    subject, and of every query. `gain` is over `best_single`, with a 95 % bootstrap interval over
    queries. `fell_back` is the share of questions that were too unlike those of training to be routed.
    `costs` has the router at several prices of quality, and its baselines.
    `without_scores` counts the queries of the split that are left out because an expert
    that the router may choose has no score on them.
    """

    router: str
    level: str
    pool: str
    benchmark: str
    split: str
    distribution: str
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
    fell_back: float
    experts: dict[str, float]
    cost: dict[str, float] | None
    warnings: list[str]
    costs: CostReport | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The report back from `as_json`."""
        costs = None if data["costs"] is None else CostReport.from_json(data["costs"])
        return cls(**{**data, "costs": costs})


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Scores and costs (queries, experts) of the questions, by position, that every expert answered."""

    experts: list[str]
    positions: NDArray[np.intp]
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]


def gather(
    rows: Iterable[tuple[int, int, float, float | None]],
    names: dict[int, str],
    prices: dict[str, float | None],
    questions: Sequence[Question],
) -> Outcomes:
    """Rows (query id, expert id, score, recorded cost) -> matrices over the fully scored queries.

    Where no cost was recorded with a response, the expert's own price counts.
    """
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
    return Outcomes(list(names.values()), kept, scores[kept], costs[kept])


def compare(
    decider: Decider,
    benchmark: str,
    split: str,
    seen: int,
    questions: Sequence[Question],
    choices: Sequence[Choice],
    outcomes: Outcomes,
) -> Report:
    """The report over the queries of `outcomes`; `choices` has one decision per question."""
    scope, names, best_single = decider.router.scope, outcomes.experts, decider.best_single
    n, without = len(outcomes.positions), len(questions) - len(outcomes.positions)
    chosen = np.array([names.index(choices[at].expert) for at in outcomes.positions])
    routed = outcomes.scores[np.arange(n), chosen]
    best = outcomes.scores[:, names.index(best_single)]
    low, high = mean_interval(routed - best)
    distribution = scope.distribution(benchmark, split)
    _, subject_codes = np.unique([questions[at].subject for at in outcomes.positions], return_inverse=True)
    return Report(
        router=decider.router.name,
        level=decider.router.level,
        pool=scope.pool.name,
        benchmark=benchmark,
        split=split,
        distribution=distribution,
        in_sample=distribution == Distribution.NAIVE,
        seen_in_training=seen,
        n=n,
        without_scores=without,
        accuracy=float(routed.mean()),
        best_single={"expert": best_single, "accuracy": float(best.mean())},
        random=float(outcomes.scores.mean()),
        subject_oracle=float(subject_oracle(outcomes.scores, subject_codes).mean()),
        oracle=float(outcomes.scores.max(axis=1).mean()),
        gain={"value": float((routed - best).mean()), "low": low, "high": high},
        calls={names[column]: count / n for column, count in Counter(chosen.tolist()).most_common()},
        fell_back=float(np.mean([choices[at].fell_back for at in outcomes.positions])),
        experts=dict(zip(names, outcomes.scores.mean(axis=0).tolist(), strict=True)),
        cost=_cost(outcomes.costs, chosen, names.index(best_single)),
        warnings=_warnings(
            decider, distribution, seen, without, len(questions), _chose_the_epoch(decider, benchmark, split)
        ),
    )


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


def _chose_the_epoch(decider: Decider, benchmark: str, split: str) -> bool:
    """Whether these queries said which epoch of the router's training was the best."""
    is_validation = benchmark == decider.router.scope.benchmark and split == Split.VALIDATION
    return is_validation and isinstance(decider.model.features, LearnedFeatures)


def _warnings(
    decider: Decider, distribution: Distribution, seen: int, without: int, n: int, chose_the_epoch: bool
) -> list[str]:
    found = []
    if distribution == Distribution.NAIVE:
        found.append("in-sample: the router was trained on these very queries; the accuracy says nothing of new ones")
    elif chose_the_epoch:
        found.append("the router kept the epoch that was best on these very queries: the accuracy is a little too high")
    elif seen:
        found.append(f"{seen} of {n} queries have the very content of a training query")
    if without:
        found.append(f"{without} of {n} queries are left out: an expert of the pool has no score on them")
    reported = [label.subject for label in decider.subject_labels.values() if label.source == Source.REPORTED]
    if reported:
        found.append(f"the labels of {', '.join(reported)} rest on reported scores, whose queries may be among these")
    return found
