"""A router: features and a head, with the names of the head's columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs import registry
from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.routers.base import (
    Examples,
    Features,
    GrowingHead,
    Head,
    Matrix,
    RouterKind,
    TrainingContext,
)
from benchcoe_jobs.routers.fallback import (
    DEFAULT_MAX_FALLBACK,
    Fallback,
    calibrate,
    in_distribution_familiarity,
    random_folds,
    unseen_predictions,
)
from benchcoe_jobs.routers.traits import reads_pictures


class Reading(NamedTuple):
    """What a router makes of n questions: its predictions (n, k), and their familiarity (n,), see `fallback`.

    Familiarity is None if the router has no fallback. `is_known` (n,) is whether anything in the question is known from
    training; if not, the predictions are the same for each such question.
    """

    predictions: Floats
    familiarity: Floats | None
    is_known: NDArray[np.bool_]


class Unseen(NamedTuple):
    """What a router makes of some of the questions that it was trained or validated on, if it was fitted without them.

    `rows` (m,) are their positions among the examples, `folds` masks (m,) of those that were left out together.
    """

    reading: Reading
    rows: NDArray[np.intp]
    folds: list[NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class RouterModel:
    """A trained router (paper, section 3.2).

    At subject level the outputs are subjects and the predictions their probabilities. At query level the outputs are
    experts and the predictions their expected scores.

    A model that was just trained has `unseen`, from cross-validation, if scores were given; it is not stored.
    """

    level: Level
    kind: str
    head_name: str
    outputs: tuple[str, ...]
    features: Features
    head: Head
    fallback: Fallback | None = None
    unseen: Unseen | None = field(default=None, compare=False, repr=False)

    def read(self, questions: Sequence[RouterInput]) -> Reading:
        """The predictions of `predict`, and what the router knows of each question."""
        if not questions:
            return Reading(np.zeros((0, len(self.outputs))), None, np.zeros(0, dtype=bool))
        x = self._transform(questions)
        predictions = self.head.predict(x)
        familiarity = self.fallback.familiarity(self.level, x, predictions) if self.fallback else None
        return Reading(predictions, familiarity, _is_known(x))

    def predict(self, questions: Sequence[RouterInput]) -> Floats:
        """Predictions (n, k), one row per question and one column per output; the highest of a row is the choice."""
        return self.head.predict(self._transform(questions)) if questions else np.zeros((0, len(self.outputs)))

    def extended(self, examples: Examples, outputs: tuple[str, ...]) -> RouterModel:
        """A router with heads for more experts, learned from examples with targets (n, k').

        Features and existing heads stay the same, bit for bit. Raises UsageError at subject level, for an output that
        exists already, and for an expert without a known score.
        """
        if self.level is not Level.QUERY or not isinstance(self.head, GrowingHead):
            raise UsageError("only a query-level router can be extended with new experts: train this one again")
        if existing := sorted(set(outputs) & set(self.outputs)):
            raise UsageError(f"the router already has a head for {', '.join(existing)}")
        examples = examples.take(_known_rows(examples, outputs))
        head = self.head.extended(self._transform(examples.questions), examples)
        return replace(self, outputs=self.outputs + outputs, head=head)

    def _transform(self, questions: Sequence[RouterInput]) -> Matrix:
        x = self.features.transform(questions)
        if x.shape[1] != self.head.shape[1]:
            raise InputError(
                f"the router's features have {x.shape[1]} columns, and its head reads {self.head.shape[1]}: "
                "train the router again"
            )
        return x


@dataclass(frozen=True)
class RouterTrainer:
    """Trains routers of one level, kind and head."""

    level: Level
    kind: str
    head: str
    context: TrainingContext

    def fit(
        self,
        outputs: tuple[str, ...],
        examples: Examples,
        validation: Examples | None = None,
        scores: Floats | None = None,
        max_fallback: float = DEFAULT_MAX_FALLBACK,
        validation_scores: Floats | None = None,
    ) -> RouterModel:
        """A router of two or more outputs, learned from examples with one target column per output.

        With `scores` (n, experts), NaN if unknown, it has `unseen`, and its fallback is calibrated; `max_fallback` is
        the largest share of in-distribution questions that may fall back, 0 for no fallback. If the features were
        learned from the examples, the fallback is calibrated on `validation` and `validation_scores` instead; without
        these the router has none.

        Raises UsageError for fewer than two outputs, for an output named twice, and for one without an example.
        """
        if len(set(outputs)) < max(2, len(outputs)):
            raise UsageError(f"a router needs two or more outputs with different names, not {', '.join(outputs)}")
        rows = _known_rows(examples, outputs)
        usable, scores = examples.take(rows), None if scores is None else scores[rows]
        if self.level is Level.SUBJECT:
            _require_one_hot(usable.targets, outputs)
        features, head = self._kind.fit(self.level, self.head, usable, validation, self.context)
        calibrated_on, calibration_scores = (
            (usable, scores) if not self.learns_features else (validation, validation_scores)
        )
        model = RouterModel(self.level, self.kind, self.head, outputs, features, head)
        if calibrated_on is None or calibration_scores is None:
            return model
        rows = np.arange(len(calibrated_on.questions)) if self.learns_features else rows
        return self._calibrated(model, calibrated_on, calibration_scores, max_fallback, rows)

    def _calibrated(
        self, model: RouterModel, examples: Examples, scores: Floats, max_fallback: float, rows: NDArray[np.intp]
    ) -> RouterModel:
        """The router with its fallback and with `unseen`, from examples at `rows` of the given ones."""
        has = examples.targets.any(axis=0) if self.level is Level.SUBJECT else np.ones(len(model.outputs), dtype=bool)
        examples = replace(examples, targets=examples.targets[:, has])  # validation may have no question of a subject
        x = model.features.transform(examples.questions)
        found = unseen_predictions(self.level, self._refit, x, examples)
        fallback = (
            calibrate(self.level, model.head, self._refit, x, examples, scores, max_fallback, found)
            if max_fallback
            else None
        )
        familiarity = in_distribution_familiarity(self.level, x, found) if fallback else None
        predictions = np.full((len(found), len(model.outputs)), -np.inf)
        predictions[:, has] = found
        reading = Reading(predictions, familiarity, _is_known(x))
        return replace(model, fallback=fallback, unseen=Unseen(reading, rows, random_folds(len(rows))))

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


def new_trainer(level: Level, kind: str, head: str | None, context: TrainingContext) -> RouterTrainer:
    """The trainer of a kind; the default head is the first that the kind has for the level.

    Raises UsageError for an unknown kind, for a level or a head that the kind does not have, and the errors of
    `RouterKind.check`.
    """
    found: RouterKind = registry.load("routers", kind)
    if level not in found.heads:
        raise UsageError(f"kind {kind} has no {level}-level routers: choose level {' or '.join(found.heads)}")
    heads = found.heads[level]
    if head is not None and head not in heads:
        raise UsageError(f"a {level}-level {kind} router has no head {head!r}: choose {' or '.join(heads)}")
    if context.image_encoder is not None and not reads_pictures(kind):
        raise UsageError(f"a {kind} router reads no pictures: omit the image encoder, or choose the kind vision")
    found.check(context)
    return RouterTrainer(level, kind, head or next(iter(heads)), context)


def _is_known(x: Matrix) -> NDArray[np.bool_]:
    """Whether a row has a value other than zero."""
    return np.asarray(abs(x).sum(axis=1)).reshape(-1) > 0


def _known_rows(examples: Examples, outputs: tuple[str, ...]) -> NDArray[np.intp]:
    """The rows with a known target. Raises UsageError if an output has none."""
    if examples.targets.shape != (len(examples.questions), len(outputs)):
        raise ValueError(
            f"{len(examples.questions)} questions, {len(outputs)} outputs, but targets {examples.targets.shape}"
        )
    known = ~np.isnan(examples.targets)
    _require_examples(known, outputs)
    return np.flatnonzero(known.any(axis=1))


def _require_one_hot(targets: Floats, subjects: tuple[str, ...]) -> None:
    if not (np.isin(targets, (0.0, 1.0)).all() and (targets.sum(axis=1) == 1.0).all()):
        raise ValueError("targets at subject level must be one-hot")
    _require_examples(targets == 1.0, subjects)


def _require_examples(has: NDArray[np.bool_], outputs: tuple[str, ...]) -> None:
    if empty := [name for column, name in enumerate(outputs) if not has[:, column].any()]:
        raise UsageError(f"no question to learn from for {', '.join(empty)}")
