"""The protocols of a router: features of a question, a head over them, and the kind that learns both.

Features and heads are stored as `config()` (JSON) and `arrays()` (safetensors) and are restored from these two;
nothing else of an object is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.routers.cascades.answers import Answers

Matrix: TypeAlias = NDArray[np.floating[Any]] | sparse.csr_matrix
"""Features of n questions, one row each: (n, d), dense or sparse."""

TrainingHistory: TypeAlias = Sequence[Mapping[str, float]]
"""The course of a training: points with `epoch` (0: before training) and `loss`, `validation_loss` or
`validation_accuracy`."""


@dataclass(frozen=True)
class Examples:
    """n questions to learn from: their true subjects, and targets (n, k) in [0, 1], NaN if unknown.

    At subject level the targets are one-hot with one column per subject. At query level they are scores with one
    column per expert. Every column has at least one known target. `answers` (n, k) are those of the experts, for a kind
    that learns from them.
    """

    questions: Sequence[RouterInput]
    subjects: Sequence[str]
    targets: Floats
    answers: Answers | None = None

    def take(self, rows: NDArray[np.intp]) -> Examples:
        """The examples of `rows`, in that order."""
        picked = rows.tolist()
        return Examples(
            [self.questions[r] for r in picked],
            [self.subjects[r] for r in picked],
            self.targets[rows],
            None if self.answers is None else self.answers.take(rows),
        )


class VectorCache(Protocol):
    """A store of embeddings, which saves encoding a text or a picture again with the same encoder.

    Vectors are little-endian float32 as bytes; their key is the SHA-256 (hex) of what the encoder read.
    """

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """The stored vectors among `hashes`."""

    def put(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        """Store vectors by hash; stored ones are not replaced."""


@dataclass(frozen=True)
class TrainingContext:
    """What training needs besides the examples.

    `encoder` and `revision` name an encoder, if the kind has one, and `cache` stores its vectors. `image_encoder` is
    the encoder of pictures of a kind that reads them. `checkpoints` is a folder from which a killed training resumes
    (None: it starts again). A long training calls `on_step` after each step; an exception from it ends the training.
    """

    encoder: str | None = None
    revision: str | None = None
    image_encoder: str | None = None
    cache: VectorCache | None = None
    checkpoints: Path | None = None
    on_step: Callable[[], object] = lambda: None


class Features(Protocol):
    """Turn questions into a matrix."""

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Features of n >= 1 questions: (n, d). A row has length one, or zero if the question holds nothing known."""

    def config(self) -> dict[str, Any]:
        """What JSON can hold of the fitted state."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The rest of the fitted state."""

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The fitted features back from `config()` and `arrays()`. Raises ValueError if these are damaged."""


@runtime_checkable
class LearnedFeatures(Features, Protocol):
    """Features that were learned from the targets in epochs."""

    history: TrainingHistory


class Head(Protocol):
    """Turn features into one number per output; higher is better."""

    @property
    def shape(self) -> tuple[int, int]:
        """The number of outputs and of features, (k, d), of a fitted head."""

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn the targets of the examples, whose features are `x` (n, d)."""

    def predict(self, x: Matrix) -> Floats:
        """Predictions (n, k)."""

    def config(self) -> dict[str, Any]:
        """What JSON can hold of the fitted state."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The rest of the fitted state."""

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The fitted head back from `config()` and `arrays()`. Raises ValueError if these are damaged."""


@runtime_checkable
class GrowingHead(Head, Protocol):
    """A head whose outputs are learned independently, so that it can grow without changing the others."""

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with k' more columns, learned from targets (n, k'). Predictions of the others stay the same bits."""


class RouterKind(Protocol):
    """How features and head are learned. A plug-in of the group `benchcoe_jobs.routers` is such an object."""

    features: type[Features]
    heads: Mapping[Level, Mapping[str, Callable[[], Head]]]
    """Constructors of unfitted heads by level and name; the first of a level is its default. A level may be missing."""
    learns_features: bool
    """Whether features are learned from the targets. If so, `validation` is used, also to calibrate the fallback."""

    def check(self, context: TrainingContext) -> None:
        """Check that the kind can train in this context, and download what it needs. Raises UsageError if it cannot."""

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, context: TrainingContext
    ) -> tuple[Features, Head]:
        """Learn from examples. If training has epochs, the one with the best result on `validation` is kept."""


class FittedFeatures(Features, Protocol):
    """Features that need no targets: the words of the questions, or a frozen encoder."""

    def __init__(self, context: TrainingContext) -> None:
        """Raises UsageError if the features cannot be used in this context."""

    def fit(self, questions: Sequence[RouterInput]) -> None:
        """Learn the features. Raises UsageError if the questions hold nothing to learn from."""


@dataclass(frozen=True)
class FrozenFeatureKind:
    """A kind that first fits features without targets, then a head on them."""

    features: type[FittedFeatures]
    heads: Mapping[Level, Mapping[str, Callable[[], Head]]]
    learns_features: bool = False

    def check(self, context: TrainingContext) -> None:
        """Find the encoder of the features. Raises UsageError if they cannot be used in this context."""
        self.features(context)

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, context: TrainingContext
    ) -> tuple[Features, Head]:
        """Learn the features, then the head. `validation` is not used: neither has epochs."""
        features = self.features(context)
        features.fit(examples.questions)
        fitted = self.heads[level][head]()
        fitted.fit(features.transform(examples.questions), examples)
        return features, fitted
