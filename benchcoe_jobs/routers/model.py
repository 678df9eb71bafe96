"""A router: features and a head, with the names that the head's columns stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import Features, Floats, GrowingHead, Head, VectorCache
from benchcoe_jobs.routers.linear import LogisticHead, RidgeHead
from benchcoe_jobs.routers.neighbours import KnnHead

# A subject is plain from a few near questions; whether an expert is right is noisy and needs many.
HEADS: dict[tuple[Level, str], Callable[[], Head]] = {
    (Level.SUBJECT, "linear"): LogisticHead,
    (Level.SUBJECT, "knn"): partial(KnnHead, 20),
    (Level.QUERY, "linear"): RidgeHead,
    (Level.QUERY, "knn"): partial(KnnHead, 200),
}


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

    def fit(self, texts: Sequence[str], targets: Floats) -> None:
        """Learn from n texts and targets (n, k) in [0, 1], NaN where unknown; k is the number of outputs.

        At subject level targets are one-hot. Raises UsageError for an output that has no question.
        """
        texts, targets = _usable(texts, targets, self.outputs)
        if self.level is Level.SUBJECT:
            _check_one_hot(targets, self.outputs)
        self.features.fit(texts)
        self.head.fit(self.features.transform(texts), targets)

    def predict(self, texts: Sequence[str]) -> Floats:
        """Predictions (n, k), one row a text, one column an output; the highest is the choice."""
        if not texts:
            return np.zeros((0, len(self.outputs)))
        return self.head.predict(self.features.transform(texts))

    def extended(self, texts: Sequence[str], targets: Floats, outputs: tuple[str, ...]) -> RouterModel:
        """A router with heads for more experts, learned from targets (n, k'), NaN where unknown.

        Features and old heads stay as they are, bit for bit. Raises UsageError at subject level,
        for a name that is there already, and for an expert without any known score.
        """
        if self.level is not Level.QUERY or not isinstance(self.head, GrowingHead):
            raise UsageError("only a query-level router takes new experts; train this one again")
        if known := sorted(set(outputs) & set(self.outputs)):
            raise UsageError(f"the router knows {', '.join(known)} already")
        texts, targets = _usable(texts, targets, outputs)
        head = self.head.extended(self.features.transform(texts), targets)
        return RouterModel(self.level, self.kind, self.head_name, self.outputs + outputs, self.features, head)


def new_model(
    level: Level,
    kind: str,
    head: str | None,
    outputs: tuple[str, ...],
    *,
    encoder: str | None = None,
    revision: str | None = None,
    cache: VectorCache | None = None,
) -> RouterModel:
    """A router of a kind, yet to be fitted; without `head`, the kind's first.

    Raises UsageError for an unknown kind, a head that the kind does not go with, fewer than two
    outputs or one named twice, and whatever the features raise for an encoder.
    """
    if len(set(outputs)) < max(2, len(outputs)):
        raise UsageError(f"a router needs two or more outputs with names of their own, not {', '.join(outputs)}")
    features: type[Features] = registry.load("routers", kind)
    name = head or features.heads[0]
    if name not in features.heads:
        raise UsageError(f"a {kind} router has no head {name!r}: choose {' or '.join(features.heads)}")
    fresh = features(encoder=encoder, revision=revision, cache=cache)
    return RouterModel(level, kind, name, outputs, fresh, HEADS[level, name]())


def _usable(texts: Sequence[str], targets: Floats, outputs: tuple[str, ...]) -> tuple[list[str], Floats]:
    """The questions of which something is known, once every output has at least one."""
    targets = np.asarray(targets, dtype=np.float64)
    if targets.shape != (len(texts), len(outputs)):
        raise ValueError(f"{len(texts)} texts, {len(outputs)} outputs, but targets {targets.shape}")
    known = ~np.isnan(targets)
    _refuse_empty(known, outputs)
    rows = np.flatnonzero(known.any(axis=1)).tolist()
    return [texts[row] for row in rows], targets[rows]


def _check_one_hot(targets: Floats, subjects: tuple[str, ...]) -> None:
    if not (np.isin(targets, (0.0, 1.0)).all() and (targets.sum(axis=1) == 1.0).all()):
        raise ValueError("targets at subject level must be one-hot")
    _refuse_empty(targets == 1.0, subjects)


def _refuse_empty(has: NDArray[np.bool_], outputs: tuple[str, ...]) -> None:
    if empty := [name for column, name in enumerate(outputs) if not has[:, column].any()]:
        raise UsageError(f"there is no question to learn from for {', '.join(empty)}")
