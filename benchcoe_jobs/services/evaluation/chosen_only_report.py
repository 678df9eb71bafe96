"""What a router came to where only the experts that it chose were asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchcoe_jobs.domain import Distribution
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.evaluate import SplitDecisions
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.store.job_queue.jobs import ShardGroupRow
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import Store

# What only the answers of all experts could tell, for whoever reads both kinds of report.
_UNKNOWN = ("best_single", "random", "subject_oracle", "oracle", "gain")


@dataclass(frozen=True, slots=True)
class ChosenExpert:
    """An expert's part: the share of the calls, on how many of its queries there is a score, and their mean."""

    expert: str
    calls: float
    n: int
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class ChosenOnlyReport:
    """A router on the `n` queries whose chosen expert has a score; accuracies are fractions.

    `interval` is the 95 % bootstrap interval of the accuracy. There is no comparison with other experts: they were
    not asked, which is what routing saves. `cost` has the real cost of a query, and beside it what asking every
    expert would have cost, as far as the training split tells; None where costs are not known. `asked` counts what
    this evaluation had answered, with the seconds of all workers together.
    """

    router: str
    level: str
    pool: str
    benchmark: str
    split: str
    distribution: str
    in_sample: bool
    n: int
    without_scores: int
    accuracy: float
    interval: dict[str, float]
    calls: dict[str, float]
    fell_back: float
    experts: list[ChosenExpert]
    cost: dict[str, float] | None
    asked: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object; what only a full comparison knows is null."""
        return asdict(self) | dict.fromkeys(_UNKNOWN)


def report_chosen_only(
    store: Store, decided: SplitDecisions, shard_groups: Sequence[ShardGroupRow]
) -> ChosenOnlyReport:
    """The report on decisions whose experts were asked in `shard_groups`. Raises UsageError if nothing has a score."""
    decider, names = decided.decider, decided.names
    chosen = {q.id: decider.members[c.expert] for q, c in zip(decided.questions, decided.choices, strict=True)}
    with store.reading() as connection:
        rows = evaluations.outcomes(connection, decided.benchmark_id, decided.split, names)
        outcomes = {query: (score, cost) for query, expert, score, cost in rows if chosen.get(query) == expert}
    if not outcomes:
        raise UsageError(f"none of the chosen experts answered a query of {decided.benchmark}, split {decided.split}")
    scores = np.array([score for score, _ in outcomes.values()])
    low, high = mean_interval(scores)
    scope = decider.router.scope
    distribution = scope.distribution(decided.benchmark, decided.split)
    of_expert: dict[int, list[float]] = {}
    for query, (score, _) in outcomes.items():
        of_expert.setdefault(chosen[query], []).append(score)
    calls = {names[id_]: count / len(chosen) for id_, count in Counter(chosen.values()).most_common()}
    return ChosenOnlyReport(
        router=decider.router.name,
        level=decider.router.level,
        pool=scope.pool.name,
        benchmark=decided.benchmark,
        split=decided.split,
        distribution=distribution,
        in_sample=distribution == Distribution.NAIVE,
        n=len(outcomes),
        without_scores=len(chosen) - len(outcomes),
        accuracy=float(scores.mean()),
        interval={"low": low, "high": high},
        calls=calls,
        fell_back=float(np.mean([choice.fell_back for choice in decided.choices])),
        experts=[
            ChosenExpert(name, share, len(known), float(np.mean(known)) if known else None)
            for name, share in calls.items()
            for known in [of_expert.get(decider.members[name], [])]
        ],
        cost=_cost(decided, [cost for _, cost in outcomes.values()]),
        asked={
            "queries": sum(shard_group.answered for shard_group in shard_groups),
            "errors": sum(shard_group.errors for shard_group in shard_groups),
            "loads": sum(shard_group.loads for shard_group in shard_groups),
            "seconds": round(sum(shard_group.seconds for shard_group in shard_groups), 3),
        },
    )


def _cost(decided: SplitDecisions, costs: Sequence[float | None]) -> dict[str, float] | None:
    expected = [decided.decider.costs.get(name) for name in decided.decider.eligible]
    known = [cost for cost in costs if cost is not None]
    of_all = [cost for cost in expected if cost is not None]
    if len(known) < len(costs) or len(of_all) < len(expected):
        return None
    return {"router": float(np.mean(known)), "every_expert": float(sum(of_all))}
