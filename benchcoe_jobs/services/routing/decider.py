"""Which expert for this question? The one decision that `evaluate` and `route` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.model import RouterModel
from benchcoe_jobs.services.labelling.scope import best_single
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import SubjectLabel
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import evaluations, routers
from benchcoe_jobs.store.routing.routers import TrainedRouter
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision and its reason.

    `confidence` is the predicted subject's probability (subject level) or the chosen expert's predicted
    score (query level). `familiarity` is how near the question is to those of training; with `fell_back`
    it was too far from them, and the best single expert was chosen. None: the router has no fallback.
    """

    expert: str
    subject: str | None
    confidence: float
    why: str
    familiarity: float | None = None
    fell_back: bool = False


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a router makes of n questions: an expected score of each eligible expert, (n, experts).

    Experts that a subject has no mean of are at -inf there. Where a question fell back, the scores are
    the experts' means over the whole training split. `predictions` are the router's own, (n, outputs).
    """

    scores: Floats
    predictions: Floats
    familiarity: Floats | None
    fell_back: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp]) -> Estimates:
        """Those of some of the questions."""
        near = None if self.familiarity is None else self.familiarity[rows]
        return Estimates(self.scores[rows], self.predictions[rows], near, self.fell_back[rows])


@dataclass(frozen=True)
class Decider:
    """A router with all that it needs to decide: its model, and the labels of this moment.

    `members` are the experts of its pool (name -> id), `eligible` those that it may choose: with
    enough scores, or a subject's label, on its training split. `subject_labels` are the labels there
    by subject, `means` the eligible experts' means there by subject, `best_single` is the best expert of
    that split. `costs` are what a query is expected to cost with an expert, where that is known.
    Without `falls_back` unfamiliar questions are routed like others.
    """

    router: TrainedRouter
    model: RouterModel
    members: dict[str, int]
    eligible: list[str]
    subject_labels: dict[str, SubjectLabel]
    means: dict[str, dict[str, float]]
    overall: dict[str, float]
    best_single: str
    falls_back: bool = True
    costs: Mapping[str, float | None] = field(default_factory=dict)

    def choose(self, questions: Sequence[RouterInput], budget: Budget | None = None) -> list[Choice]:
        """One choice per question, within what may be spent."""
        estimates = self.estimate(questions)
        return self.pick(estimates, budget or Budget())

    def estimate(self, questions: Sequence[RouterInput]) -> Estimates:
        """What the router makes of the questions."""
        predictions, familiarity = self.model.read(questions)
        scores = self._by_subject(predictions) if self.router.level == Level.SUBJECT else self._by_score(predictions)
        fell_back = np.zeros(len(questions), dtype=bool)
        if self.falls_back and self.model.fallback is not None and familiarity is not None:
            fell_back = familiarity < self.model.fallback.threshold
            scores[fell_back] = self._row(self.overall)
        return Estimates(scores, predictions, familiarity, fell_back)

    def pick(self, estimates: Estimates, budget: Budget) -> list[Choice]:
        """The best expert of every question, within what may be spent. Raises UsageError as `Budget` does."""
        worth = budget.worth(estimates.scores, self.eligible, self.costs)
        chosen = worth.argmax(axis=1) if len(worth) else np.zeros(0, dtype=np.intp)
        return [self._choice(estimates, row, int(column), budget) for row, column in enumerate(chosen)]

    def _row(self, of: Mapping[str, float]) -> Floats:
        return np.array([of.get(name, -np.inf) for name in self.eligible])

    def _by_subject(self, probabilities: Floats) -> Floats:
        """The means of the predicted subject; the overall ones where nobody is eligible on it."""
        table = np.array([self._row(self.means.get(subject) or self.overall) for subject in self.model.outputs])
        return table[probabilities.argmax(axis=1)] if len(probabilities) else np.zeros((0, len(self.eligible)))

    def _by_score(self, predictions: Floats) -> Floats:
        known = [name for name in self.model.outputs if name in self.eligible]
        if not known:
            raise UsageError(
                f"none of the router's experts is eligible in pool {self.router.scope.pool.name!r} any more: "
                "train it again"
            )
        scores = np.full((len(predictions), len(self.eligible)), -np.inf)
        for name in known:
            scores[:, self.eligible.index(name)] = predictions[:, self.model.outputs.index(name)]
        return scores

    def _choice(self, estimates: Estimates, row: int, column: int, budget: Budget) -> Choice:
        expert, scores = self.eligible[column], estimates.scores[row]
        familiarity = None if estimates.familiarity is None else float(estimates.familiarity[row])
        fell_back = bool(estimates.fell_back[row])
        subject, confidence = None, float(scores[column])
        if self.router.level == Level.SUBJECT:
            best = int(estimates.predictions[row].argmax())
            subject, confidence = self.model.outputs[best], float(estimates.predictions[row, best])
        if fell_back:
            why = self._why_fallen(expert, familiarity)
        elif subject is not None:
            why = self._why_subject(expert, subject, scores[column])
        else:
            why = self._why_score(scores, column)
        return Choice(expert, subject, confidence, f"{why}{budget.why(self.costs.get(expert))}", familiarity, fell_back)

    def _why_fallen(self, expert: str, familiarity: float | None) -> str:
        fallback = self.model.fallback
        scope = self.router.scope
        to = "the best single expert"
        if expert != self.best_single:  # costs count
            to = f"what the experts come to on all of {scope.benchmark}, split {scope.split}"
        if familiarity is None or fallback is None or fallback.threshold > 1.0:
            return f"no gain over the best single expert was sure in training: falls back to {to}"
        return (
            f"unlike the training questions (familiarity {familiarity:.3f}, below {fallback.threshold:.3f}): "
            f"falls back to {to}"
        )

    def _why_subject(self, expert: str, subject: str, mean: float) -> str:
        label = self.subject_labels.get(subject)
        if label is None:
            return f"nobody is eligible on {subject}: the best single expert"
        if label.expert != expert:
            return f"{mean:.1%} on {subject}, where {label.expert} has {label.mean:.1%}"
        is_what = "best" if label.rank == 1 else "no worse than the best, as far as is known,"
        return f"{is_what} on {subject}: {label.mean:.1%} {label.source}" + (f" over {label.n}" if label.n else "")

    def _why_score(self, scores: Floats, column: int) -> str:
        why = f"predicted score {scores[column]:.3f}"
        others = [other for other in np.argsort(-scores, kind="stable").tolist() if other != column]
        if others and np.isfinite(scores[others[0]]):
            then = "then" if scores[others[0]] <= scores[column] else "after"
            why += f", {then} {self.eligible[others[0]]} with {scores[others[0]]:.3f}"
        return why


def choosable_experts(connection: Connection, router: TrainedRouter) -> list[str]:
    """The experts that a router may choose now: with enough scores, or a subject's label, on its training split."""
    labelled = {label.expert for label in live_labels.subject_labels(connection, router.scope, router.policy)}
    return sorted({*live_labels.measured_experts(connection, router.scope), *labelled})


def open_decider(store: Store, home: Path, name: str | None, *, falls_back: bool = True) -> Decider:
    """The router of a name (None: the only one), ready to decide with the labels of this moment.

    Raises UsageError where no expert has enough scores on the training split to fall back to.
    """
    with store.reading() as connection:
        router = routers.find_router(connection, name)
        scope = router.scope
        members = experts.pool_members(connection, scope.pool.id)
        by_subject = {label.subject: label for label in live_labels.subject_labels(connection, scope, router.policy)}
        ranked = live_labels.contenders(connection, scope)
        best = best_single(connection, scope)
        costs = evaluations.mean_costs(connection, scope.benchmark_id, scope.split, members.values())
        said = experts.costs(connection)
    model = artifact.load(home / router.artifact, cache=routers.StoredVectors(store))
    means = {subject: {c.expert: c.mean for c in contenders} for subject, contenders in ranked.items()}
    for label in by_subject.values():  # ties and policies are decided by the label; a reported score has no contender
        of_subject = means.setdefault(label.subject, {})
        of_subject[label.expert] = np.nextafter(max([label.mean, *of_subject.values()]), 2.0)
    overall = _overall(ranked, best)
    eligible = sorted({name for of_subject in means.values() for name in of_subject})
    expected = {name: costs.get(id_) if costs.get(id_) is not None else said[name] for name, id_ in members.items()}
    return Decider(router, model, members, eligible, by_subject, means, overall, best, falls_back, expected)


def _overall(ranked: Mapping[str, Sequence[live_labels.Contender]], best_single: str) -> dict[str, float]:
    """Means over the split of the experts that are eligible on every subject; none above the best single expert's."""
    total: dict[str, list[tuple[float, int]]] = {}
    for contenders in ranked.values():
        for c in contenders:
            total.setdefault(c.expert, []).append((c.mean * c.n, c.n))
    whole = {name: parts for name, parts in total.items() if len(parts) == len(ranked) or name == best_single}
    means = {name: sum(p[0] for p in parts) / sum(p[1] for p in parts) for name, parts in whole.items()}
    means[best_single] = float(np.nextafter(max(means.values(), default=0.0), 2.0))
    return means
