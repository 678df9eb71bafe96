"""The report of a router if only the experts that it chose were asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.decisions import RoutedSplit, SplitDecisions, routed_split
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot
from benchcoe_jobs.store.job_queue.jobs import ShardGroupRow
from benchcoe_jobs.store.results import file_origins
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import Store

_UNKNOWN = ("best_single", "random", "subject_oracle", "oracle", "gain")
"""Keys of `Report` that need the answers of all experts: they are null here, for readers of both kinds of report."""


@dataclass(frozen=True, slots=True)
class ChosenExpert:
    """An expert's share of the decisions, the number of its queries with a score, and their mean (None without any)."""

    expert: str
    calls: float
    n: int
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class ChosenOnlyReport(RoutedSplit):
    """A router on the `n` queries whose chosen expert has a score. Accuracies and shares are fractions.

    `interval` is the 95 % bootstrap interval of the accuracy. There is no comparison with other experts, because they
    were not asked. `cost` has the mean cost of a query, and the expected cost of asking every expert, by the training
    split; it is None if costs are unknown. `inference` counts the queries that this evaluation's job asked experts, and
    `seconds` is the time of all workers together. `imported` has the number of imported scores in the split of each
    expert that has some.
    """

    n: int
    without_scores: int
    accuracy: float
    interval: dict[str, float]
    calls: dict[str, float]
    fell_back: float
    experts: list[ChosenExpert]
    cost: dict[str, float] | None
    inference: dict[str, float]
    imported: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object; the keys that only a full comparison can fill are null."""
        return asdict(self) | dict.fromkeys(_UNKNOWN)


def report_chosen_only(
    store: Store, decided: SplitDecisions, shard_groups: Sequence[ShardGroupRow]
) -> ChosenOnlyReport:
    """The report on stored decisions, after the chosen experts were asked in `shard_groups`.

    Raises UsageError if no query has a score of its chosen expert.
    """
    snapshot = decided.snapshot
    names = snapshot.expert_names
    chosen = {q.id: snapshot.members[d.expert] for q, d in zip(decided.questions, decided.decisions, strict=True)}
    with store.reading() as connection:
        rows = evaluations.outcomes(connection, decided.benchmark_id, decided.split, names)
        outcomes = {query: (score, cost) for query, expert, score, cost in rows if chosen.get(query) == expert}
        origins = file_origins.imported_shares(connection, decided.benchmark_id, decided.split, snapshot.members)
    if not outcomes:
        raise UsageError(
            f"no query of {decided.benchmark}, split {decided.split}, has an answer of its chosen expert: "
            "`benchcoe-jobs status` shows the errors"
        )
    scores = np.array([score for score, _ in outcomes.values()])
    low, high = mean_interval(scores)
    return ChosenOnlyReport(
        **routed_split(decided),
        n=len(outcomes),
        without_scores=len(chosen) - len(outcomes),
        accuracy=float(scores.mean()),
        interval={"low": low, "high": high},
        calls={names[id_]: count / len(chosen) for id_, count in Counter(chosen.values()).most_common()},
        fell_back=float(np.mean([decision.fell_back for decision in decided.decisions])),
        experts=_chosen_experts(chosen, {query: score for query, (score, _) in outcomes.items()}, names),
        cost=_cost(snapshot, [cost for _, cost in outcomes.values()]),
        inference={
            "queries": sum(group.answered for group in shard_groups),
            "errors": sum(group.errors for group in shard_groups),
            "loads": sum(group.loads for group in shard_groups),
            "seconds": round(sum(group.seconds for group in shard_groups), 3),
        },
        imported={share.expert: share.imported for share in origins if share.imported},
    )


def _chosen_experts(
    chosen: Mapping[int, int], scores: Mapping[int, float], names: Mapping[int, str]
) -> list[ChosenExpert]:
    """The experts, most often chosen first; `chosen` and `scores` are by query id."""
    found = []
    for expert_id, count in Counter(chosen.values()).most_common():
        known = [score for query, score in scores.items() if chosen[query] == expert_id]
        accuracy = float(np.mean(known)) if known else None
        found.append(ChosenExpert(names[expert_id], count / len(chosen), len(known), accuracy))
    return found


def _cost(snapshot: RoutingSnapshot, costs: Sequence[float | None]) -> dict[str, float] | None:
    known = [cost for cost in costs if cost is not None]
    expected = [cost for name in snapshot.eligible if (cost := snapshot.costs.get(name)) is not None]
    if len(known) < len(costs) or len(expected) < len(snapshot.eligible):
        return None
    return {"router": float(np.mean(known)), "every_expert": float(sum(expected))}
