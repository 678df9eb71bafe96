"""A router: features and a head, with the names that the head's columns stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Asked, Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import Examples, Features, Floats, GrowingHead, Head, Kind, Matrix, Setting


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

    def predict(self, questions: Sequence[Asked]) -> Floats:
        """Predictions (n, k), one row a question, one column an output; the highest is the choice."""
        if not questions:
            return np.zeros((0, len(self.outputs)))
        return self.head.predict(self.features.transform(questions))

    def extended(self, examples: Examples, outputs: tuple[str, ...]) -> RouterModel:
        """A router with heads for more experts, learned from examples with targets (n, k').

        Features and old heads stay as they are, bit for bit. Raises UsageError at subject level,
        for a name that is there already, and for an expert without any known score.
        """
        if self.level is not Level.QUERY or not isinstance(self.head, GrowingHead):
            raise UsageError("only a query-level router takes new experts; train this one again")
        if known := sorted(set(outputs) & set(self.outputs)):
            raise UsageError(f"the router knows {', '.join(known)} already")
        examples = _usable(examples, outputs)
        head = self.head.extended(self.features.transform(examples.questions), examples)
        return replace(self, outputs=self.outputs + outputs, head=head)


@dataclass(frozen=True)
class Recipe:
    """A level, a kind and one of its heads, with what training needs beside examples."""

    level: Level
    kind: str
    head: str
    setting: Setting

    def fit(self, outputs: tuple[str, ...], examples: Examples, validation: Examples | None = None) -> RouterModel:
        """A router of two or more outputs, learned from examples with a target column for each.

        Raises UsageError for outputs that are fewer than two or named twice, and for one that has no question.
        """
        if len(set(outputs)) < max(2, len(outputs)):
            raise UsageError(f"a router needs two or more outputs with names of their own, not {', '.join(outputs)}")
        examples = _usable(examples, outputs)
        if self.level is Level.SUBJECT:
            _check_one_hot(examples.targets, outputs)
        kind: Kind = registry.load("routers", self.kind)
        features, head = kind.fit(self.level, self.head, examples, validation, self.setting)
        return RouterModel(self.level, self.kind, self.head, outputs, features, head)

    def fit_head(self, x: Matrix, examples: Examples) -> Head:
        """Another head of the recipe, on features that are there."""
        kind: Kind = registry.load("routers", self.kind)
        head = kind.heads[self.level][self.head]()
        head.fit(x, examples)
        return head


def new_recipe(level: Level, kind: str, head: str | None, setting: Setting) -> Recipe:
    """How a router of a kind is trained; without `head`, with the first that the kind has for the level.

    Raises UsageError for an unknown kind, for a level or a head that the kind does not go with, and what
    the kind raises for an encoder.
    """
    found: Kind = registry.load("routers", kind)
    if level not in found.heads:
        raise UsageError(f"a {kind} router is not {level}-level: choose {' or '.join(found.heads)}")
    heads = found.heads[level]
    if head is not None and head not in heads:
        raise UsageError(f"a {level}-level {kind} router has no head {head!r}: choose {' or '.join(heads)}")
    found.check(setting)
    return Recipe(level, kind, head or next(iter(heads)), setting)


def _usable(examples: Examples, outputs: tuple[str, ...]) -> Examples:
    """The questions of which something is known, once every output has at least one."""
    n, targets = len(examples.questions), np.asarray(examples.targets, dtype=np.float64)
    if targets.shape != (n, len(outputs)):
        raise ValueError(f"{n} questions, {len(outputs)} outputs, but targets {targets.shape}")
    known = ~np.isnan(targets)
    _refuse_empty(known, outputs)
    return replace(examples, targets=targets).take(np.flatnonzero(known.any(axis=1)))


def _check_one_hot(targets: Floats, subjects: tuple[str, ...]) -> None:
    if not (np.isin(targets, (0.0, 1.0)).all() and (targets.sum(axis=1) == 1.0).all()):
        raise ValueError("targets at subject level must be one-hot")
    _refuse_empty(targets == 1.0, subjects)


def _refuse_empty(has: NDArray[np.bool_], outputs: tuple[str, ...]) -> None:
    if empty := [name for column, name in enumerate(outputs) if not has[:, column].any()]:
        raise UsageError(f"there is no question to learn from for {', '.join(empty)}")
