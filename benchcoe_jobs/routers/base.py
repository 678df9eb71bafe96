"""What a router is made of: features of a text, and a head that turns them into predictions.

Both sides save themselves as `config()` (what JSON can hold) and `arrays()` (what safetensors can
hold), and come back from exactly these two: nothing else of an object is ever stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Matrix: TypeAlias = NDArray[np.floating[Any]] | sparse.csr_matrix
"""Features of n texts, one a row: (n, d), dense or sparse."""

Floats: TypeAlias = NDArray[np.float64]


class VectorCache(Protocol):
    """Where embeddings are kept, so that no text is encoded twice by the same encoder.

    Vectors are float32, little-endian, as bytes; their key is the SHA-256 (hex) of the text.
    """

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """Vectors by text hash, of those that are there."""

    def put(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        """Keep vectors; those that are there already stay."""


class Features(Protocol):
    """Turns texts into a matrix. A plug-in of the group "routers" is a class like this."""

    heads: ClassVar[tuple[str, ...]]
    """Names of the heads that can read these features; the first is the default."""

    def __init__(
        self, *, encoder: str | None = None, revision: str | None = None, cache: VectorCache | None = None
    ) -> None:
        """Raises UsageError for an encoder or a revision where the kind has none."""

    def fit(self, texts: Sequence[str]) -> None:
        """Learn what a feature is. Raises UsageError where the texts hold nothing to learn from."""

    def transform(self, texts: Sequence[str]) -> Matrix:
        """Features of n >= 1 texts: (n, d)."""

    def config(self) -> dict[str, Any]:
        """What JSON can hold of the fitted state."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The rest of the fitted state."""

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The fitted features back from `config()` and `arrays()`."""


class Head(Protocol):
    """Turns features into one number per output; higher is better."""

    def fit(self, x: Matrix, targets: Floats) -> None:
        """Learn targets (n, k) in [0, 1], NaN where unknown; every column has a known one."""

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

    def extended(self, x: Matrix, targets: Floats) -> Self:
        """A head with more columns, learned from targets (n, k'); what the old ones say stays bit for bit."""
