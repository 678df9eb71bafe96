"""What a router is made of: features of a question, a head over them, and the kind that learns both.

Features and heads save themselves as `config()` (what JSON can hold) and `arrays()` (what safetensors
can hold), and come back from exactly these two: nothing else of an object is ever stored.
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

Matrix: TypeAlias = NDArray[np.floating[Any]] | sparse.csr_matrix
"""Features of n questions, one a row: (n, d), dense or sparse."""

TrainingHistory: TypeAlias = Sequence[Mapping[str, float]]
"""How a training went: points with an `epoch` (0 is before it), and `loss`, `validation_loss` or `validation_accuracy`.
"""


@dataclass(frozen=True)
class Examples:
    """n questions to learn from: their true subjects, and targets (n, k) in [0, 1], NaN where unknown.

    At subject level targets are one-hot, a column a subject; at query level they are scores, a column an
    expert. Every column has a known one.
    """

    questions: Sequence[RouterInput]
    subjects: Sequence[str]
    targets: Floats

    def take(self, rows: NDArray[np.intp]) -> Examples:
        """Some of them, in the order of `rows`."""
        picked = rows.tolist()
        return Examples([self.questions[r] for r in picked], [self.subjects[r] for r in picked], self.targets[rows])


class VectorCache(Protocol):
    """Where embeddings are kept, so that no text is encoded twice by the same encoder.

    Vectors are float32, little-endian, as bytes; their key is a SHA-256 (hex) of the text.
    """

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """Vectors by text hash, of those that are there."""

    def put(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        """Keep vectors; those that are there already stay."""


@dataclass(frozen=True)
class TrainingContext:
    """What training is given beside the examples.

    `encoder` and `revision` name an encoder where the kind has one, `cache` keeps its vectors, and
    `scratch` is a folder for what a killed training can resume from (None: it cannot). A long training
    calls `between` between its steps; what that raises ends it.
    """

    encoder: str | None = None
    revision: str | None = None
    cache: VectorCache | None = None
    scratch: Path | None = None
    between: Callable[[], object] = lambda: None


class Features(Protocol):
    """Turns questions into a matrix."""

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Features of n >= 1 questions: (n, d). Rows have length one, or zero where nothing is known of it."""

    def config(self) -> dict[str, Any]:
        """What JSON can hold of the fitted state."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The rest of the fitted state."""

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The fitted features back from `config()` and `arrays()`."""


@runtime_checkable
class LearnedFeatures(Features, Protocol):
    """Features that were learned from the targets, in epochs."""

    history: TrainingHistory


class Head(Protocol):
    """Turns features into one number per output; higher is better."""

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
        """The fitted head back from `config()` and `arrays()`."""


@runtime_checkable
class GrowingHead(Head, Protocol):
    """A head whose outputs are learned independently, so that new ones leave the others alone."""

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns, learned from targets (n, k'); what the old ones say stays bit for bit."""


class RouterKind(Protocol):
    """How features and head are learned. A plug-in of the group "routers" is an object like this."""

    features: type[Features]
    heads: Mapping[Level, Mapping[str, Callable[[], Head]]]
    """By level and name, yet to be fitted; the first of a level is its default. A level may be missing."""
    learns_features: bool
    """Whether features are learned from the targets: `validation` is then used, and the fallback calibrated on it."""

    def check(self, setting: TrainingContext) -> None:
        """Raises UsageError for a setting that the kind cannot use; fetches what must be downloaded."""

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, setting: TrainingContext
    ) -> tuple[Features, Head]:
        """Learn from examples; where training has epochs, `validation` says which was the best."""


class FittedFeatures(Features, Protocol):
    """Features that need no labels: the words of the questions, or an encoder that is never trained."""

    def __init__(self, setting: TrainingContext) -> None:
        """Raises UsageError for a setting that the kind cannot use."""

    def fit(self, questions: Sequence[RouterInput]) -> None:
        """Learn what a feature is. Raises UsageError where the questions hold nothing to learn from."""


@dataclass(frozen=True)
class FrozenFeatureKind:
    """A kind whose features need no labels, and whose head is then learned on them."""

    features: type[FittedFeatures]
    heads: Mapping[Level, Mapping[str, Callable[[], Head]]]
    learns_features: bool = False

    def check(self, setting: TrainingContext) -> None:
        """Raises UsageError for a setting that the features cannot use; finds their encoder."""
        self.features(setting)

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, setting: TrainingContext
    ) -> tuple[Features, Head]:
        """First the features, then the head; neither has epochs to choose from."""
        features = self.features(setting)
        features.fit(examples.questions)
        fitted = self.heads[level][head]()
        fitted.fit(features.transform(examples.questions), examples)
        return features, fitted
