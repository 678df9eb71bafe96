"""Which expert for this question? The one decision that `evaluate` and `route` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import Asked, Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.model import RouterModel
from benchcoe_jobs.store import experts, labels, routers
from benchcoe_jobs.store.labels import SubjectLabel
from benchcoe_jobs.store.routers import TrainedRouter
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


@dataclass(frozen=True)
class Decider:
    """A router with all that it needs to decide: its model, and the labels of this moment.

    `members` are the experts of its pool (name -> id), `eligible` those that it may choose: with
    enough scores, or a subject's label, on its training split. `subject_labels` are the labels there
    by subject, `best_single` is the best expert of that split. Without `falls_back` unfamiliar questions
    are routed like others.
    """

    router: TrainedRouter
    model: RouterModel
    members: dict[str, int]
    eligible: list[str]
    subject_labels: dict[str, SubjectLabel]
    best_single: str
    falls_back: bool = True

    def choose(self, questions: Sequence[Asked]) -> list[Choice]:
        """One choice per question."""
        if not questions:
            return []
        scores, familiarity = self.model.read(questions)
        choices = (
            [self._by_subject(row) for row in scores] if self.router.level == Level.SUBJECT else self._by_score(scores)
        )
        if familiarity is None:
            return choices
        return [self._unless_unfamiliar(*pair) for pair in zip(choices, familiarity.tolist(), strict=True)]

    def _unless_unfamiliar(self, choice: Choice, familiarity: float) -> Choice:
        fallback = self.model.fallback
        if not self.falls_back or fallback is None or familiarity >= fallback.threshold:
            return replace(choice, familiarity=familiarity)
        why = "no gain over the best single expert was sure in training"
        if fallback.threshold <= 1.0:
            why = f"unlike the training questions: familiarity {familiarity:.2f}, below {fallback.threshold:.2f}"
        return replace(
            choice,
            expert=self.best_single,
            why=f"{why}; falls back to the best single expert",
            familiarity=familiarity,
            fell_back=True,
        )

    def _by_subject(self, probabilities: NDArray[np.float64]) -> Choice:
        subject = self.model.outputs[int(np.argmax(probabilities))]
        confidence = float(np.max(probabilities))
        label = self.subject_labels.get(subject)
        if label is not None:
            why = f"best on {subject}: {label.mean:.1%} {label.source}" + (f" over {label.n}" if label.n else "")
            return Choice(label.expert, subject, confidence, why)
        return Choice(self.best_single, subject, confidence, f"nobody is eligible on {subject}: the best single expert")

    def _by_score(self, scores: NDArray[np.float64]) -> list[Choice]:
        columns = [column for column, name in enumerate(self.model.outputs) if name in self.eligible]
        if not columns:
            raise UsageError(
                f"none of the router's experts is eligible in pool {self.router.scope.pool.name!r} any more: "
                "train it again"
            )
        choices = []
        for row in scores:
            ranked = sorted(columns, key=lambda column: -row[column])
            best = ranked[0]
            why = f"predicted score {row[best]:.3f}"
            if len(ranked) > 1:
                why += f", then {self.model.outputs[ranked[1]]} with {row[ranked[1]]:.3f}"
            choices.append(Choice(self.model.outputs[best], None, float(row[best]), why))
        return choices


def open_decider(store: Store, home: Path, name: str | None, *, falls_back: bool = True) -> Decider:
    """The router of a name (None: the only one), ready to decide with the labels of this moment.

    Raises UsageError where no expert has enough scores on the training split to fall back to.
    """
    with store.reading() as connection:
        router = routers.find_router(connection, name)
        members = experts.pool_members(connection, router.scope.pool.id)
        by_subject = {label.subject: label for label in labels.subject_labels(connection, router.scope)}
        measured = labels.eligible_experts(connection, router.scope)
        best_single = labels.best_single(connection, router.scope)
    if best_single is None:
        scope = router.scope
        raise UsageError(
            f"no expert of pool {scope.pool.name!r} has scores for {scope.pool.min_coverage:.0%} of {scope.benchmark}, "
            f"split {scope.split}: there is no best single expert to compare with or to fall back to"
        )
    model = artifact.load(home / router.artifact, cache=routers.StoredVectors(store))
    eligible = sorted({*measured, *(label.expert for label in by_subject.values())})
    return Decider(router, model, members, eligible, by_subject, best_single, falls_back)
