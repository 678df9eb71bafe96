"""The decisions of a router on a split: made, stored, and read back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from benchcoe_jobs.domain import Distribution
from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.routers.traits import asks_in_stages
from benchcoe_jobs.services.evaluation.follow import Followed, follow
from benchcoe_jobs.services.labelling.scope import how_to_leave
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Decider, Estimates, decider
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, keep_snapshot, snapshot_of
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.routing.evaluations import NewDecision
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted


def evaluate_request(
    connection: Connection,
    router: str | None,
    benchmark: str | None,
    split: str,
    *,
    falls_back: bool = True,
    max_cost: float | None = None,
    quality_weight: float | Literal["auto"] = 1.0,
    second_price: float = 0.0,
) -> dict[str, Any]:
    """The request of an evaluation, with the snapshot that it decides by, which is stored.

    `router` None means the only router, `benchmark` None the router's own. `second_price` is the cost of a second of
    the router's own work, in the unit of the experts' costs. Raises UsageError for an unknown name.
    """
    snapshot = keep_snapshot(connection, router)
    _, benchmark = catalog.find_benchmark(connection, benchmark or snapshot.router.scope.benchmark)
    return {
        "router": snapshot.router.name,
        "snapshot": snapshot.fingerprint,
        "benchmark": benchmark,
        "split": split,
        "falls_back": falls_back,
        "max_cost": max_cost,
        "quality_weight": quality_weight,
        "second_price": second_price,
    }


@dataclass(frozen=True, slots=True)
class Decision:
    """The chosen expert of a query, and whether the question fell back."""

    expert: str
    fell_back: bool


@dataclass(frozen=True, slots=True)
class SplitDecisions:
    """The stored decisions on a split, one for each of `questions`. `seconds` is the time that one of them took.

    `estimated` has the estimates that the decisions were made from, in the process that made them; `followed` is what a
    cascade did instead, whose decisions are the experts whose answers it gives.
    """

    request: Mapping[str, Any]
    snapshot: RoutingSnapshot
    evaluation_id: int
    benchmark_id: int
    questions: list[Question]
    decisions: list[Decision]
    seconds: float
    estimated: tuple[Decider, Estimates] | None = None
    followed: Followed | None = None

    @property
    def benchmark(self) -> str:
        """The name of the benchmark."""
        return str(self.request["benchmark"])

    @property
    def split(self) -> str:
        """The split that the questions are of."""
        return str(self.request["split"])

    @property
    def distribution(self) -> Distribution:
        """The distribution of the split, relative to the router's training."""
        return self.snapshot.router.scope.distribution(self.benchmark, self.split)

    @property
    def budget(self) -> Budget:
        """The budget that the decisions keep."""
        return Budget(self.request["max_cost"], self.request["quality_weight"])

    def chosen(self) -> NDArray[np.intp]:
        """The position in `snapshot.eligible` of each chosen expert, (questions,)."""
        column_of = {name: column for column, name in enumerate(self.snapshot.eligible)}
        return np.array([column_of[decision.expert] for decision in self.decisions], dtype=np.intp)


@dataclass(frozen=True, slots=True)
class RoutedSplit:
    """The fields that every report begins with: the router, its pool, and the split that it routed.

    `distribution` is the paper's (section 4): naive, in distribution or out of distribution.
    """

    router: str
    level: str
    pool: str
    benchmark: str
    split: str
    distribution: str
    in_sample: bool


def routed_split(decided: SplitDecisions) -> dict[str, Any]:
    """The fields of `RoutedSplit` of some decisions, by name."""
    router = decided.snapshot.router
    return {
        "router": router.name,
        "level": router.level,
        "pool": router.scope.pool.name,
        "benchmark": decided.benchmark,
        "split": decided.split,
        "distribution": decided.distribution,
        "in_sample": decided.distribution == Distribution.NAIVE,
    }


def decide(store: Store, home: Path, request: Mapping[str, Any]) -> SplitDecisions:
    """Decide every query of a split that has a text, and store the decisions.

    `request` is that of `evaluate_request`. Raises UsageError if there is no such query, and if no expert can be
    asked and the stored scores allow no comparison.
    """
    split = request["split"]
    with store.reading() as connection:
        snapshot = snapshot_of(connection, request, "evaluate")
        benchmark_id, benchmark = catalog.find_benchmark(connection, request["benchmark"])
        questions = catalog.questions(connection, benchmark_id, split)
        if not questions:
            raise UsageError(f"{benchmark} has no queries with a text in split {split}")
        in_stages = asks_in_stages(snapshot.router.kind)
        if in_stages or not any(experts.read_expert_by_id(connection, id_).can_answer for id_ in snapshot.expert_names):
            require_scores(connection, snapshot, benchmark_id, benchmark, split, questions)
    if in_stages:
        return _follow(store, home, request, snapshot, benchmark_id, questions)
    router = decider(store, home, snapshot, falls_back=request["falls_back"])
    start = time.perf_counter()
    estimates = router.estimate([question.router_input for question in questions])
    choices = router.explain(estimates, Budget(request["max_cost"], request["quality_weight"]))
    seconds = (time.perf_counter() - start) / len(questions)
    with store.writing() as connection:
        evaluation_id = evaluations.store_decisions(
            connection,
            snapshot.router,
            snapshot.fingerprint,
            benchmark_id,
            split,
            [
                NewDecision(question.id, snapshot.members[choice.expert], choice.subject, choice.fell_back)
                for question, choice in zip(questions, choices, strict=True)
            ],
        )
    decisions = [Decision(choice.expert, choice.fell_back) for choice in choices]
    return SplitDecisions(
        request, snapshot, evaluation_id, benchmark_id, questions, decisions, seconds, (router, estimates)
    )


def _follow(
    store: Store,
    home: Path,
    request: Mapping[str, Any],
    snapshot: RoutingSnapshot,
    benchmark_id: int,
    questions: Sequence[Question],
) -> SplitDecisions:
    """Follow a cascade through the stored answers to a split, and store whose answers it gives."""
    router, split = snapshot.router, request["split"]
    budget = Budget(request["max_cost"], request["quality_weight"]).settled(router.auto_weight, router.name)
    start = time.perf_counter()
    followed = follow(store, home, snapshot, benchmark_id, split, questions, budget)
    seconds = (time.perf_counter() - start) / len(followed.questions)
    decided = [
        NewDecision(question.id, snapshot.members[name], None, False)
        for question, name in zip(followed.questions, followed.names, strict=True)
    ]
    with store.writing() as connection:
        evaluation_id = evaluations.store_decisions(
            connection, router, snapshot.fingerprint, benchmark_id, split, decided
        )
    decisions = [Decision(name, False) for name in followed.names]
    return SplitDecisions(
        request, snapshot, evaluation_id, benchmark_id, followed.questions, decisions, seconds, followed=followed
    )


def read_decisions(store: Store, request: Mapping[str, Any]) -> SplitDecisions:
    """The decisions that `decide` stored, by a job's request. Queries that were added since are not among them."""
    with store.reading() as connection:
        snapshot = snapshot_of(connection, request, "evaluate")
        benchmark_id, _ = catalog.find_benchmark(connection, request["benchmark"])
        evaluation_id, seconds = request["evaluation"], request["seconds"]
        stored = evaluations.stored_decisions(connection, evaluation_id)
        questions = [q for q in catalog.questions(connection, benchmark_id, request["split"]) if q.id in stored]
    names = snapshot.expert_names
    decisions = [Decision(names[expert_id], fell_back) for expert_id, fell_back in (stored[q.id] for q in questions)]
    return SplitDecisions(request, snapshot, evaluation_id, benchmark_id, questions, decisions, seconds)


def estimates_of(store: Store, home: Path, decided: SplitDecisions) -> tuple[Decider, Estimates]:
    """The estimates behind stored decisions: those of this process, or new ones from the same snapshot.

    Raises BenchcoeError if the new estimates lead to other decisions than those stored.
    """
    if decided.estimated is not None:
        return decided.estimated
    router = decider(store, home, decided.snapshot, falls_back=decided.request["falls_back"])
    estimates = router.estimate([question.router_input for question in decided.questions])
    if n_other := int((router.best(estimates, decided.budget) != decided.chosen()).sum()):
        raise BenchcoeError(
            f"router {decided.snapshot.router.name!r} decides {n_other} of "
            f"{counted(len(decided.questions), 'query', 'queries')} otherwise than stored, because this worker's "
            "library versions or hardware differ from those that decided first: give `benchcoe-jobs evaluate` again, "
            "which keeps every answer"
        )
    return router, estimates


def require_scores(
    connection: Connection,
    snapshot: RoutingSnapshot,
    benchmark_id: int,
    benchmark: str,
    split: str,
    questions: Sequence[Question],
) -> None:
    """Raise UsageError if none of the questions has a score of every eligible expert."""
    names = snapshot.expert_names
    scored = evaluations.fully_scored(connection, benchmark_id, split, names)
    if any(question.id in scored for question in questions):
        return
    counts = evaluations.score_counts(connection, benchmark_id, split, names)
    fewest = min(names, key=lambda expert_id: counts.get(expert_id, 0))
    raise UsageError(
        f"no query of {benchmark}, split {split}, has a score of every expert that the router may choose: "
        f"{names[fewest]} has {counts.get(fewest, 0)} of {len(questions)}. Import the missing results, or "
        f"{how_to_leave(snapshot.router.scope.pool.name, names[fewest])}"
    )
