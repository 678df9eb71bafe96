"""The report of a router: its accuracy beside those of its experts, of chance and of oracles, on the same queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs import registry
from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Distribution, Source, Split
from benchcoe_jobs.services.evaluation.cost_curve import CostReport
from benchcoe_jobs.services.evaluation.decisions import RoutedSplit, SplitDecisions, routed_split
from benchcoe_jobs.services.gaps import Gap, gap_note, gaps_of
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.labelling.scope import how_to_leave
from benchcoe_jobs.services.score_matrix import fill, subject_oracle
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.wording import counted


@dataclass(frozen=True, slots=True)
class Report(RoutedSplit):
    """A router and its baselines, all over the same `n` queries. Accuracies and shares are fractions.

    `best_single` was chosen on the router's training split, the two oracles in hindsight: the best expert of each
    subject, and of each query. `gain` is over `best_single`, with a 95 % bootstrap interval over queries. `fell_back`
    is the share of questions that fell back to the best single expert. `costs` has the router at several quality
    weights, and its baselines; None if costs are unknown. `without_scores` is the number of queries of the split that
    are left out because an expert that the router may choose has no score on them; `gaps` has these experts.
    `imported` has the number of imported scores in the split of each expert that has some.

    For a cascade, `calls` are the shares of the queries whose answer is the expert's, the router's cost is that of all
    answers it asked for, and `cascade` has the experts in the order in which they may be asked (`chain`), the mean
    number of answers to a query (`mean_answers`), the shares of the queries that each was asked first (`first`) and
    last (`stopped_after`), and the accuracy of its text router at the same cost, in hindsight at the best mix of
    quality weights and single experts, with the cascade's gain over it (`text_router`, None if costs are unknown). It
    is None for other routers.
    """

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
    gaps: list[Gap] = field(default_factory=list)
    imported: dict[str, int] = field(default_factory=dict)
    cascade: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The report back from `as_json`."""
        costs = None if data["costs"] is None else CostReport.from_json(data["costs"])
        gaps = [Gap.from_json(gap) for gap in data.get("gaps", [])]  # a release before 0.3.0 stored none
        return cls(**{**data, "costs": costs, "gaps": gaps})


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Scores and costs (queries, experts) of the questions on which every expert has a score.

    `positions` (queries,) are their places in the list of questions. A cost is NaN if it is unknown. `gaps` has the
    experts that lack scores on the other questions.
    """

    experts: list[str]
    positions: NDArray[np.intp]
    scores: Floats
    costs: Floats
    gaps: list[Gap]


def gather(
    rows: Iterable[tuple[int, int, float, float | None]],
    names: dict[int, str],
    prices: dict[str, float | None],
    questions: Sequence[QueryRef],
) -> Outcomes:
    """Rows (query id, expert id, score, recorded cost or None) -> matrices over the fully scored queries.

    `names` are the experts by id. The expert's own price stands in for a cost that was not recorded.
    """
    recorded: list[tuple[int, int, float]] = []

    def scored() -> Iterator[tuple[int, int, float]]:
        for query_id, expert_id, score, cost in rows:
            if cost is not None:
                recorded.append((query_id, expert_id, cost))
            yield query_id, expert_id, score

    ids = [question.id for question in questions]
    scores = fill(scored(), ids, list(names))
    costs = fill(recorded, ids, list(names))
    given = np.array([np.nan if (price := prices[name]) is None else price for name in names.values()])
    costs = np.where(np.isnan(costs), given, costs)
    kept = np.flatnonzero(~np.isnan(scores).any(axis=1))
    gaps = gaps_of(scores, list(names.values()), [question.subject for question in questions])
    return Outcomes(list(names.values()), kept, scores[kept], costs[kept], gaps)


def compare(decided: SplitDecisions, n_seen: int, outcomes: Outcomes) -> Report:
    """The report over the queries of `outcomes`, without `costs`.

    `n_seen` is the number of queries of the split whose content is that of a training query.
    """
    snapshot, names, at = decided.snapshot, outcomes.experts, outcomes.positions
    n = len(at)
    n_without = len(decided.questions) - n
    chosen = decided.chosen()[at]
    best_single = names.index(snapshot.best_single)
    routed = outcomes.scores[np.arange(n), chosen]
    best = outcomes.scores[:, best_single]
    low, high = mean_interval(routed - best)
    _, subject_codes = np.unique([decided.questions[row].subject for row in at], return_inverse=True)
    return Report(
        **routed_split(decided),
        seen_in_training=n_seen,
        n=n,
        without_scores=n_without,
        accuracy=float(routed.mean()),
        best_single={"expert": snapshot.best_single, "accuracy": float(best.mean())},
        random=float(outcomes.scores.mean()),
        subject_oracle=float(subject_oracle(outcomes.scores, subject_codes).mean()),
        oracle=float(outcomes.scores.max(axis=1).mean()),
        gain={"value": float((routed - best).mean()), "low": low, "high": high},
        calls={names[column]: count / n for column, count in Counter(chosen.tolist()).most_common()},
        fell_back=float(np.mean([decided.decisions[row].fell_back for row in at])),
        experts=dict(zip(names, outcomes.scores.mean(axis=0).tolist(), strict=True)),
        cost=_cost(outcomes.costs, chosen, best_single),
        warnings=[*_warnings(decided, n_seen, n_without, outcomes.gaps), *_unknown_costs(outcomes)],
        gaps=outcomes.gaps,
    )


def _cost(costs: Floats, chosen: NDArray[np.intp], best: int) -> dict[str, float] | None:
    """The mean cost of a query: routed, with the best single expert, and with every expert asked; None if unknown."""
    if np.isnan(costs).any():
        return None
    routed = costs[np.arange(len(chosen)), chosen]
    return {
        "router": float(routed.mean()),
        "best_single": float(costs[:, best].mean()),
        "every_expert": float(costs.sum(axis=1).mean()),
    }


def _unknown_costs(outcomes: Outcomes) -> list[str]:
    """A warning if costs are not compared, because only those of some answers are known."""
    unknown = np.isnan(outcomes.costs).sum(axis=0).tolist()
    missing = {name: n for name, n in zip(outcomes.experts, unknown, strict=True) if n}
    if not missing or np.isnan(outcomes.costs).all():
        return []
    name, n = max(missing.items(), key=lambda pair: pair[1])
    more = f" (and those of {counted(len(missing) - 1, 'other expert')})" if len(missing) > 1 else ""
    return [
        f"costs are not compared: those of {n} of {counted(len(outcomes.costs), 'answer')} of {name}{more} "
        "are unknown. Set the cost of a query with `benchcoe-jobs add-expert`, option --cost"
    ]


def _warnings(decided: SplitDecisions, n_seen: int, n_without: int, gaps: Sequence[Gap]) -> list[str]:
    found = []
    n_queries = counted(len(decided.questions), "query", "queries")
    if decided.distribution == Distribution.NAIVE:
        found.append("in-sample: the router was trained on these queries; the accuracy says nothing about new ones")
    elif _chose_the_epoch(decided):
        found.append("the router kept the epoch that was best on these queries: the accuracy is slightly too high")
    elif n_seen:
        found.append(f"the content of {n_seen} of {n_queries} is that of a training query")
    if n_without:
        leave = how_to_leave(decided.snapshot.router.scope.pool.name, gaps[0].expert)
        found.append(gap_note(gaps, n_without, len(decided.questions), leave))
    labels = decided.snapshot.labels.values()
    if reported := [label.subject for label in labels if label.source == Source.REPORTED]:
        found.append(f"the labels of {', '.join(reported)} come from reported scores, whose queries may be among these")
    return found


def _chose_the_epoch(decided: SplitDecisions) -> bool:
    """Whether the router's training used these queries to choose its epoch."""
    router = decided.snapshot.router
    is_validation = decided.benchmark == router.scope.benchmark and decided.split == Split.VALIDATION
    return is_validation and bool(registry.load("routers", router.kind).learns_features)
