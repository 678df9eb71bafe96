"""The quality weight of a router that keeps the best single expert's accuracy at the least cost, chosen in training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Policy
from benchcoe_jobs.routers.cascades.head import CascadeHead
from benchcoe_jobs.routers.cascades.weights import WEIGHTS, cheapest_keeping
from benchcoe_jobs.routers.model import RouterModel
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Decider
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot
from benchcoe_jobs.services.training.training_set import TrainingSet


@dataclass(frozen=True, slots=True)
class AutoWeight:
    """The weight, and what it promises: means over training questions that the router was fitted without.

    `cost_share` is the expected cost as a share of the best single expert's, `gain` the accuracy less that expert's as
    a fraction.
    """

    weight: float
    cost_share: float
    gain: float


def has_costs(snapshot: RoutingSnapshot) -> bool:
    """Whether the expected cost of every eligible expert is known."""
    return all(snapshot.costs.get(name) is not None for name in snapshot.eligible)


def auto_weight(snapshot: RoutingSnapshot, model: RouterModel, training_set: TrainingSet) -> AutoWeight | None:
    """The weight of the least expected cost whose mean gain over the best single expert is not negative; 1 if none has.

    The gains are of the `unseen` questions of the model, which are those of `training_set`. None if the cost of an
    eligible expert is unknown, and if no question has a score of each of them.
    """
    if isinstance(model.head, CascadeHead):
        return _of_cascade(model.head)
    if model.unseen is None or not has_costs(snapshot) or not set(snapshot.eligible) <= set(training_set.names):
        return None
    reading, rows, folds = model.unseen
    columns = np.array([training_set.names.index(name) for name in snapshot.eligible])
    scores = training_set.scores[np.ix_(rows, columns)]
    complete = ~np.isnan(scores).any(axis=1)
    if not complete.any():
        return None
    examples = training_set.examples.take(rows)
    subjects = np.array(examples.subjects)
    costs = np.array([snapshot.costs[name] for name in snapshot.eligible], dtype=np.float64)
    best = snapshot.eligible.index(snapshot.best_single)
    gains, chosen_costs = np.zeros(len(WEIGHTS)), np.zeros(len(WEIGHTS))
    for fold in folds:
        decider = Decider(_without(snapshot, subjects[~fold], scores[~fold]), model)
        here = np.flatnonzero(fold & complete)
        estimates = decider.estimate_from(reading, examples.questions).take(here)
        for number, weight in enumerate(WEIGHTS):
            chosen = decider.best(estimates, Budget(None, weight))
            gains[number] += (scores[here, chosen] - scores[here, best]).sum()
            chosen_costs[number] += costs[chosen].sum()
    n, paid = int(complete.sum()), float(costs[best]) or 1.0
    gains, shares = gains / n, chosen_costs / n / paid
    keeping = cheapest_keeping(gains, shares)
    chosen_number = len(WEIGHTS) - 1 if keeping is None else keeping
    return AutoWeight(WEIGHTS[chosen_number], float(shares[chosen_number]), float(gains[chosen_number]))


def _of_cascade(head: CascadeHead) -> AutoWeight | None:
    """That of a cascade, by what it did in cross-fitting; the costs are those of its answers."""
    course = head.cascade.course
    if course is None or not head.cascade.knows_costs:
        return None
    number = course.keeping()
    if number is None:
        number = len(WEIGHTS) - 1
    share = float(course.costs[number]) / (course.best_cost or 1.0)
    return AutoWeight(WEIGHTS[number], share, float(course.scores[number]) - course.best_score)


def _without(snapshot: RoutingSnapshot, subjects: NDArray[np.str_], scores: Floats) -> RoutingSnapshot:
    """The snapshot with the means of some questions only, of these subjects (n,) and scores (n, eligible experts).

    The mean of a question's own score would make the best expert of its subject look too good. Where these questions
    say nothing, the means stay. The expert that was set above its equals, or by a policy above all, is so again.
    """

    def means(known: dict[str, float], rows: NDArray[np.bool_]) -> dict[str, float]:
        here = {name: scores[rows, snapshot.eligible.index(name)] for name in known}
        found = {
            name: float(np.nanmean(values)) if (~np.isnan(values)).any() else known[name]
            for name, values in here.items()
        }
        first, highest = max(known, key=lambda name: known[name]), max(found.values())
        if found[first] == highest or snapshot.router.policy is not Policy.BEST:
            found[first] = float(np.nextafter(highest, 2.0))
        return found

    by_subject = {subject: means(known, subjects == subject) for subject, known in snapshot.means.items()}
    return replace(snapshot, means=by_subject, overall=means(snapshot.overall, np.ones(len(subjects), dtype=bool)))
