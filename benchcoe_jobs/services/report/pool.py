"""The experts of a report: their accuracies with intervals and costs, and what choosing among them could reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Source
from benchcoe_jobs.services.evaluation.frontier import Frontier
from benchcoe_jobs.services.evaluation.report import Outcomes, gather
from benchcoe_jobs.services.intervals import CONFIDENCE
from benchcoe_jobs.services.score_matrix import subject_oracle
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import experts, means, score_table
from benchcoe_jobs.store.routing import evaluations


@dataclass(frozen=True, slots=True)
class Ranked:
    """An expert on the tested split, over the `n` queries that it has a score on; `coverage` is their share.

    `accuracy` is a fraction with its 95 % interval. `cost` is the mean of a query, in the unit of the experts' costs;
    tokens are means of an answer. They are None if unknown. `compared_accuracy` and `compared_cost` are means over the
    queries on which every expert has a score, None without such queries: only these can be set beside a router's.
    """

    expert: str
    n: int
    coverage: float
    accuracy: float
    low: float
    high: float
    cost: float | None
    tokens_read: float | None
    tokens_written: float | None
    compared_accuracy: float | None
    compared_cost: float | None


@dataclass(frozen=True, slots=True)
class Reached:
    """An accuracy that a way to choose among the experts reaches on the compared queries, with its 95 % interval."""

    name: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """The experts of a pool on the tested split.

    `experts` are ranked by accuracy. `reached` has the baselines and oracles over the `n` queries on which every expert
    with any score has one; it is empty without such queries. `hull` has the experts of the upper hull of accuracy
    against cost, cheapest first: a random mix of two neighbours reaches every point between them.
    """

    split: str
    n: int
    best_single: str | None
    experts: list[Ranked]
    reached: list[Reached]
    hull: list[str]


def pool_figures(connection: Connection, scope: Scope, split: str) -> PoolFigures:
    """The figures of the pool of a scope on a split; the best single expert is chosen on the scope's own split."""
    members = experts.pool_members(connection, scope.pool.id)
    sums: dict[str, list[tuple[float, int]]] = {}
    for row in means.subject_means(connection, scope.pool.id, scope.benchmark_id, split):
        if row.source == Source.MEASURED and row.n:
            sums.setdefault(row.expert, []).append((row.mean, row.n))
    names = {members[name]: name for name in sums}
    queries = score_table.query_refs(connection, scope.benchmark_id, split)
    rows = evaluations.outcomes(connection, scope.benchmark_id, split, names)
    compared = gather(rows, names, experts.costs(connection), queries)
    tokens = means.mean_tokens(connection, scope.benchmark_id, split, names)
    costs = evaluations.mean_costs(connection, scope.benchmark_id, split, names)
    ranked = []
    for column, (id_, name) in enumerate(names.items()):
        n = sum(count for _, count in sums[name])
        mean = sum(value * count for value, count in sums[name]) / n
        ranked.append(
            Ranked(
                name,
                n,
                n / len(queries),
                mean,
                *wilson_interval(mean, n),
                costs[id_],
                *tokens[id_],
                _mean(compared.scores[:, column]),
                _mean(compared.costs[:, column]),
            )
        )
    ranked.sort(key=lambda expert: (-expert.accuracy, expert.expert))
    best = live_labels.best_single(connection, scope)
    subjects = [queries[row].subject for row in compared.positions]
    reached = _reached(compared, subjects, best) if subjects else []
    return PoolFigures(split, len(subjects), best, ranked, reached, cost_hull(ranked))


def _mean(values: Floats) -> float | None:
    """The mean; None of no values, and if one is unknown."""
    return None if not len(values) or np.isnan(values).any() else float(values.mean())


def wilson_interval(mean: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of the mean of n scores in [0, 1].

    It is exact enough for scores of 0 and 1, and too wide for fractional ones, which vary less. (E. B. Wilson, Probable
    inference, the law of succession, and statistical inference, JASA 22, 1927.)
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(max(mean * (1 - mean), 0.0) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _reached(compared: Outcomes, subjects: Sequence[str], best: str | None) -> list[Reached]:
    """Baselines and oracles over the compared queries, lowest first."""
    codes = np.unique(subjects, return_inverse=True)[1]
    scores = compared.scores
    found = {
        "a random expert": scores.mean(axis=1),
        "the subject oracle": subject_oracle(scores, codes),
        "the oracle of independent guessers": independent_oracle(scores, codes),
        "the oracle": scores.max(axis=1),
    }
    if best in compared.experts:
        found["the best single expert"] = scores[:, compared.experts.index(best)]
    rows = []
    for name, values in found.items():
        mean = float(values.mean())
        rows.append(Reached(name, mean, *wilson_interval(mean, len(values))))
    return sorted(rows, key=lambda row: row.accuracy)


def independent_oracle(scores: Floats, subject_codes: NDArray[np.intp]) -> Floats:
    """For each query (n,), the probability that one of several guessers is right.

    They are right independently of each other, with the accuracies of the experts on the query's subject; `scores`
    (n, experts) are without NaN, `subject_codes` (n,) number the subjects from 0. The more an oracle stays below this,
    the more the experts are right about the same questions.
    """
    found = np.empty(len(scores))
    for code in range(int(subject_codes.max()) + 1):
        here = subject_codes == code
        found[here] = 1 - np.prod(1 - scores[here].mean(axis=0))
    return found


def cost_hull(ranked: Sequence[Ranked]) -> list[str]:
    """The experts on the upper hull of accuracy against cost, cheapest first; empty if a cost is unknown."""
    points = [(expert.compared_cost, expert.compared_accuracy) for expert in ranked]
    if not points or any(cost is None or accuracy is None for cost, accuracy in points):
        return []
    costs, accuracies = np.array(points, dtype=np.float64).T
    return [ranked[corner].expert for corner in Frontier.of(costs, accuracies).points]
