"""Choose an expert for each question: the decision that `evaluate`, `submit` and `route` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.model import Reading, RouterModel
from benchcoe_jobs.routers.traits import asks_in_stages, reads_pictures
from benchcoe_jobs.services.routing.assignment import Assignment, assign
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, take_snapshot
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.routing.routers import TrainedRouter
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import percent


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision and its reason.

    `confidence` is the predicted subject's probability at subject level, and the chosen expert's predicted score at
    query level. `familiarity` says how similar the question is to the training questions; it is None if the router
    has no fallback. If the question `fell_back`, its familiarity was too low and the router was not followed.
    """

    expert: str
    subject: str | None
    confidence: float
    why: str
    familiarity: float | None = None
    fell_back: bool = False


@dataclass(frozen=True, slots=True)
class Estimates:
    """Expected scores (n, experts) of n questions, with a column for each eligible expert.

    A score is -inf for an expert without a mean on the predicted subject, and for one that cannot see on a question
    with pictures, which `has_pictures` (n,) tells. The scores of a question that fell back are
    the experts' means over the whole training split. `predictions` (n, outputs) are the router's. `unread` (n,) is the
    reason if the router can make nothing of a question, otherwise an empty string.
    """

    scores: Floats
    predictions: Floats
    familiarity: Floats | None
    fell_back: NDArray[np.bool_]
    unread: NDArray[np.object_]
    has_pictures: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp]) -> Estimates:
        """The estimates of some of the questions."""
        familiarity = None if self.familiarity is None else self.familiarity[rows]
        return Estimates(
            self.scores[rows],
            self.predictions[rows],
            familiarity,
            self.fell_back[rows],
            self.unread[rows],
            self.has_pictures[rows],
        )


@dataclass(frozen=True)
class Decider:
    """A router that is ready to decide: its model, and the snapshot that turns predictions into experts.

    Without `falls_back`, unfamiliar questions are routed like all others.
    """

    snapshot: RoutingSnapshot
    model: RouterModel
    falls_back: bool = True

    def choose(self, questions: Sequence[RouterInput], budget: Budget | None = None) -> list[Choice]:
        """One choice for each question. Raises UsageError as `estimate` and `best` do."""
        return self.explain(self.estimate(questions), budget or Budget())

    def estimate(self, questions: Sequence[RouterInput]) -> Estimates:
        """The expected score of each eligible expert on each question.

        Raises UsageError if a question has pictures and none of the experts can see.
        """
        return self.estimate_from(self.model.read(questions), questions)

    def estimate_from(self, reading: Reading, questions: Sequence[RouterInput]) -> Estimates:
        """The estimates of `estimate`, from what the model makes of the questions. Raises UsageError as that does."""
        predictions, familiarity, is_known = reading
        at_subject_level = self.snapshot.router.level == Level.SUBJECT
        scores = self._by_subject(predictions) if at_subject_level else self._by_score(predictions)
        fell_back = np.zeros(len(questions), dtype=bool)
        if self.falls_back and self.model.fallback is not None and familiarity is not None:
            fell_back = familiarity < self.model.fallback.threshold
            scores[fell_back] = self._row(self.snapshot.overall)
        looks = reads_pictures(self.model.kind)
        unread = np.array(
            [_unread(*one, looks) for one in zip(questions, is_known.tolist(), strict=True)], dtype=object
        )
        has_pictures = np.array([bool(question.pictures) for question in questions], dtype=bool)
        scores[np.ix_(has_pictures, self._is_blind(has_pictures))] = -np.inf
        return Estimates(scores, predictions, familiarity, fell_back, unread, has_pictures)

    def best(self, estimates: Estimates, budget: Budget) -> NDArray[np.intp]:
        """The position in `eligible` of the expert that is worth most for each question, (n,).

        Of equal experts the first is chosen. Raises UsageError as `settled` and `Budget.worth` do.
        """
        worth = self.settled(budget).worth(estimates.scores, self.snapshot.eligible, self.snapshot.costs)
        return worth.argmax(axis=1) if len(worth) else np.zeros(0, dtype=np.intp)

    def settled(self, budget: Budget) -> Budget:
        """The budget with a number for its weight. Raises UsageError as `Budget.settled` does."""
        return budget.settled(self.snapshot.router.auto_weight, self.snapshot.router.name)

    def check(self, budget: Budget) -> None:
        """Raise UsageError, as `best` does, if no question could be decided within the budget."""
        nothing = np.zeros((0, len(self.snapshot.eligible)))
        self.settled(budget).worth(nothing, self.snapshot.eligible, self.snapshot.costs)

    def explain(self, estimates: Estimates, budget: Budget) -> list[Choice]:
        """The best expert of each question, with the reason. Raises UsageError as `best` does."""
        budget = self.settled(budget)
        return [
            self._choice(estimates, row, column, budget)
            for row, column in enumerate(self.best(estimates, budget).tolist())
        ]

    def assign(self, questions: Sequence[RouterInput], budget: float) -> tuple[list[Choice], Assignment]:
        """A choice for each question, so that all of them together keep one budget, with its totals.

        Raises UsageError as `estimate` does, if the cost of an expert is unknown, and if the budget is too small.
        """
        costs = self.snapshot.known_costs()
        estimates = self.estimate(questions)
        found = assign(estimates.scores, costs, budget)
        explained = Budget(max_cost=max(costs))  # names the expected cost of each choice
        choices = [self._choice(estimates, row, column, explained) for row, column in enumerate(found.columns.tolist())]
        return choices, found

    def _is_blind(self, has_pictures: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which eligible experts cannot see pictures, (eligible,). Raises UsageError as `estimate` does."""
        is_blind = np.array([name in self.snapshot.blind for name in self.snapshot.eligible], dtype=bool)
        if has_pictures.any() and is_blind.all():
            raise UsageError(
                f"a question has pictures, and no expert that router {self.snapshot.router.name!r} may choose can see: "
                "train a router on a pool with one that can (`benchcoe-jobs train-router`)"
            )
        return is_blind

    def _row(self, scores: Mapping[str, float]) -> Floats:
        return np.array([scores.get(name, -np.inf) for name in self.snapshot.eligible])

    def _by_subject(self, probabilities: Floats) -> Floats:
        """The means on the predicted subject, or the overall means if no expert is eligible on it."""
        means, overall = self.snapshot.means, self.snapshot.overall
        table = np.array([self._row(means.get(subject) or overall) for subject in self.model.outputs])
        if not len(probabilities):
            return np.zeros((0, len(self.snapshot.eligible)))
        scores: Floats = table[probabilities.argmax(axis=1)]
        return scores

    def _by_score(self, predictions: Floats) -> Floats:
        eligible = self.snapshot.eligible
        known = [name for name in self.model.outputs if name in eligible]
        if not known:
            name, pool = self.snapshot.router.name, self.snapshot.router.scope.pool.name
            raise UsageError(
                f"no expert that router {name!r} was trained on is eligible in pool {pool!r} any more: "
                "train it again with `benchcoe-jobs train-router`"
            )
        scores = np.full((len(predictions), len(eligible)), -np.inf)
        for name in known:
            scores[:, eligible.index(name)] = predictions[:, self.model.outputs.index(name)]
        return scores

    def _choice(self, estimates: Estimates, row: int, column: int, budget: Budget) -> Choice:
        expert, scores = self.snapshot.eligible[column], estimates.scores[row]
        familiarity = None if estimates.familiarity is None else float(estimates.familiarity[row])
        fell_back = bool(estimates.fell_back[row])
        subject, confidence = None, float(scores[column])
        if self.snapshot.router.level == Level.SUBJECT:
            best = int(estimates.predictions[row].argmax())
            subject, confidence = self.model.outputs[best], float(estimates.predictions[row, best])
        unread = estimates.unread[row]
        if fell_back:
            why = self._why_fallback(expert, familiarity, unread)
        elif subject is not None:
            why = self._why_subject(expert, subject, scores[column])
        else:
            why = self._why_score(scores, column)
        if unread and not fell_back:
            why = f"{unread}, and every such question gets the same expert: {why}"
        if estimates.has_pictures[row] and (blind := [n for n in self.snapshot.eligible if n in self.snapshot.blind]):
            why += f"; {', '.join(blind)} cannot see its pictures"
        why += budget.why(self.snapshot.costs.get(expert))
        return Choice(expert, subject, confidence, why, familiarity, fell_back)

    def _why_fallback(self, expert: str, familiarity: float | None, unread: str) -> str:
        fallback = self.model.fallback
        scope = self.snapshot.router.scope
        to = "the best single expert"
        if expert != self.snapshot.best_single:  # the budget decided between the experts' overall means
            to = f"the experts' means on all of {scope.benchmark}, split {scope.split}"
        if familiarity is None or fallback is None or fallback.threshold > 1.0:
            return f"training found no certain gain over the best single expert: falls back to {to}"
        if unread:
            return f"{unread}: falls back to {to}"
        return (
            f"unlike the training questions (familiarity {familiarity:.3f}, below {fallback.threshold:.3f}): "
            f"falls back to {to}"
        )

    def _why_subject(self, expert: str, subject: str, mean: float) -> str:
        label = self.snapshot.labels.get(subject)
        if label is None:
            return f"no expert is eligible on {subject}: the best single expert"
        if label.expert is None:
            tie = f"no expert is better than another on {subject} (all have {percent(label.mean)})"
            return f"{tie}: the best single expert" if expert == self.snapshot.best_single else tie
        if label.expert != expert:
            return f"{percent(mean)} on {subject}, where {label.expert} has {percent(label.mean)}"
        rank = "best" if label.rank == 1 else "not significantly worse than the best"
        return f"{rank} on {subject}: {percent(label.mean)} {label.source}" + (f" over {label.n}" if label.n else "")

    def _why_score(self, scores: Floats, column: int) -> str:
        why = f"predicted score {scores[column]:.3f}"
        others = [other for other in np.argsort(-scores, kind="stable").tolist() if other != column]
        if others and np.isfinite(scores[others[0]]):
            order = "then" if scores[others[0]] <= scores[column] else "after"
            why += f", {order} {self.snapshot.eligible[others[0]]} with {scores[others[0]]:.3f}"
        return why


def decider(store: Store, home: Path, snapshot: RoutingSnapshot, *, falls_back: bool = True) -> Decider:
    """Load the artifact of a snapshot.

    Raises UsageError for a cascade, which decides in stages, and the errors of `load_model`.
    """
    require_one_stage(snapshot.router)
    return Decider(snapshot, load_model(store, home, snapshot), falls_back)


def require_one_stage(router: TrainedRouter) -> None:
    """Raise UsageError for a router that looks at an answer before it asks a further expert."""
    if asks_in_stages(router.kind):
        raise UsageError(
            f"router {router.name!r} is a cascade, which looks at an answer before it asks a further expert, and this "
            "needs one decision for each question: name a router of another kind; `benchcoe-jobs evaluate`, "
            "`experiment` and `route` know cascades"
        )


def load_model(store: Store, home: Path, snapshot: RoutingSnapshot) -> RouterModel:
    """The model of a snapshot's router.

    Raises InputError if the artifact cannot be loaded, ReplacedError if the router was trained again since and the
    artifact was removed.
    """
    router = snapshot.router
    try:
        return artifact.load(home / router.artifact, router.fingerprint, cache=routers.StoredVectors(store))
    except InputError:
        if not artifact.exists(home / router.artifact):
            with store.reading() as connection:
                routers.require_unchanged(connection, router)
        raise


def current_decider(store: Store, home: Path, router_name: str | None, *, falls_back: bool = True) -> Decider:
    """The decider of a router as it is now; None means the only router of the store.

    If a training replaces the router while its artifact is being read, the new one is read. Raises the other errors of
    `take_snapshot` and `decider`.
    """
    while True:
        with store.reading() as connection:
            snapshot = take_snapshot(connection, router_name)
        try:
            return decider(store, home, snapshot, falls_back=falls_back)
        except routers.ReplacedError:
            continue


def _unread(question: RouterInput, is_known: bool, looks: bool) -> str:
    """See `Estimates.unread`; `looks` is whether the router reads pictures."""
    if not question.whole.strip() and not (looks and question.pictures):
        return "the question has no text"
    return "" if is_known else "no word of the question occurred in training"
