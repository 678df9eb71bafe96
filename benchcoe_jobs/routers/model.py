"""A router: features and a head, with the names that the head's columns stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs import registry
from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import (
    Examples,
    Features,
    GrowingHead,
    Head,
    Matrix,
    RouterKind,
    TrainingContext,
)
from benchcoe_jobs.routers.fallback import USUAL_MOST, Fallback, calibrate


@dataclass(frozen=True, slots=True)
class RouterModel:
    """What routes a question (paper, section 3.2).

    At subject level outputs are subjects and predictions their probabilities; at query level outputs
    are experts and predictions their expected scores.
    """

    level: Level
    kind: str
    head_name: str
    outputs: tuple[str, ...]
    features: Features
    head: Head
    fallback: Fallback | None = None

    def read(self, questions: Sequence[RouterInput]) -> tuple[Floats, Floats | None]:
        """Predictions (n, k) as by `predict`, and how familiar each question is (n,), see `fallback`.

        Familiarity is None where the router was trained without a fallback.
        """
        if not questions:
            return np.zeros((0, len(self.outputs))), None
        x = self.features.transform(questions)
        predictions = self.head.predict(x)
        return predictions, self.fallback.familiarity(self.level, x, predictions) if self.fallback else None

    def predict(self, questions: Sequence[RouterInput]) -> Floats:
        """Predictions (n, k), one row a question, one column an output; the highest is the choice."""
        return self.head.predict(self.features.transform(questions)) if questions else np.zeros((0, len(self.outputs)))

    def extended(self, examples: Examples, outputs: tuple[str, ...]) -> RouterModel:
        """A router with heads for more experts, learned from examples with targets (n, k').

        Features and old heads stay as they are, bit for bit. Raises UsageError at subject level,
        for a name that is there already, and for an expert without any known score.
        """
        if self.level is not Level.QUERY or not isinstance(self.head, GrowingHead):
            raise UsageError("only a query-level router takes new experts; train this one again")
        if known := sorted(set(outputs) & set(self.outputs)):
            raise UsageError(f"the router knows {', '.join(known)} already")
        examples = examples.take(_known(examples, outputs))
        head = self.head.extended(self.features.transform(examples.questions), examples)
        return replace(self, outputs=self.outputs + outputs, head=head)


@dataclass(frozen=True)
class RouterTrainer:
    """A level, a kind and one of its heads, with what training needs beside examples."""

    level: Level
    kind: str
    head: str
    setting: TrainingContext

    def fit(
        self,
        outputs: tuple[str, ...],
        examples: Examples,
        validation: Examples | None = None,
        scores: Floats | None = None,
        most_fallback: float = USUAL_MOST,
        validation_scores: Floats | None = None,
    ) -> RouterModel:
        """A router of two or more outputs, learned from examples with a target column for each.

        With `scores` (n, experts), NaN where unknown, its fallback is calibrated; `most_fallback` is the largest share
        of questions like these that it may concern. Features that learned the examples themselves tell nothing of new
        questions: they are calibrated on `validation` and its scores, and have no fallback without.

        Raises UsageError for outputs that are fewer than two or named twice, and for one that has no question.
        """
        if len(set(outputs)) < max(2, len(outputs)):
            raise UsageError(f"a router needs two or more outputs with names of their own, not {', '.join(outputs)}")
        known = _known(examples, outputs)
        usable, scores = examples.take(known), None if scores is None else scores[known]
        if self.level is Level.SUBJECT:
            _check_one_hot(usable.targets, outputs)
        features, head = self._kind.fit(self.level, self.head, usable, validation, self.setting)
        calibrated_on, calibration_scores = (
            (usable, scores) if not self.learns_features else (validation, validation_scores)
        )
        fallback = None
        if calibrated_on is not None and calibration_scores is not None:
            if self.level is Level.SUBJECT:  # not every subject need have a question there
                calibrated_on = replace(
                    calibrated_on, targets=calibrated_on.targets[:, calibrated_on.targets.any(axis=0)]
                )
            x = features.transform(calibrated_on.questions)
            fallback = calibrate(self.level, head, self._refit, x, calibrated_on, calibration_scores, most_fallback)
        return RouterModel(self.level, self.kind, self.head, outputs, features, head, fallback)

    @property
    def learns_features(self) -> bool:
        """See `RouterKind.learns_features`."""
        return self._kind.learns_features

    @property
    def _kind(self) -> RouterKind:
        kind: RouterKind = registry.load("routers", self.kind)
        return kind

    def _refit(self, x: Matrix, examples: Examples) -> Head:
        head = self._kind.heads[self.level][self.head]()
        head.fit(x, examples)
        return head


def new_trainer(level: Level, kind: str, head: str | None, setting: TrainingContext) -> RouterTrainer:
    """How a router of a kind is trained; without `head`, with the first that the kind has for the level.

    Raises UsageError for an unknown kind, for a level or a head that the kind does not go with, and what
    the kind raises for an encoder.
    """
    found: RouterKind = registry.load("routers", kind)
    if level not in found.heads:
        raise UsageError(f"a {kind} router is not {level}-level: choose {' or '.join(found.heads)}")
    heads = found.heads[level]
    if head is not None and head not in heads:
        raise UsageError(f"a {level}-level {kind} router has no head {head!r}: choose {' or '.join(heads)}")
    found.check(setting)
    return RouterTrainer(level, kind, head or next(iter(heads)), setting)


def _known(examples: Examples, outputs: tuple[str, ...]) -> NDArray[np.intp]:
    """The rows of which something is known, once every output has at least one."""
    if examples.targets.shape != (len(examples.questions), len(outputs)):
        raise ValueError(
            f"{len(examples.questions)} questions, {len(outputs)} outputs, but targets {examples.targets.shape}"
        )
    known = ~np.isnan(examples.targets)
    _refuse_empty(known, outputs)
    return np.flatnonzero(known.any(axis=1))


def _check_one_hot(targets: Floats, subjects: tuple[str, ...]) -> None:
    if not (np.isin(targets, (0.0, 1.0)).all() and (targets.sum(axis=1) == 1.0).all()):
        raise ValueError("targets at subject level must be one-hot")
    _refuse_empty(targets == 1.0, subjects)


def _refuse_empty(has: NDArray[np.bool_], outputs: tuple[str, ...]) -> None:
    if empty := [name for column, name in enumerate(outputs) if not has[:, column].any()]:
        raise UsageError(f"there is no question to learn from for {', '.join(empty)}")
