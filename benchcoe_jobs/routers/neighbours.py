"""The nearest-neighbour head: what was seen on the most similar questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import Examples, Matrix

# A neighbour weighs exp(cosine / temperature); chosen, as the number of neighbours of each level
# is, by 5-fold cross-validation on the train split of MMLU-Pro.
_TEMPERATURE = 0.1

# Similarities held at a time, whatever the number of questions remembered: 64 MiB of float32.
_BLOCK = 1 << 24


@dataclass(frozen=True, slots=True)
class _Memory:
    """Questions seen (n, d), float32, and what is known of them (n, k), NaN where unknown."""

    x: NDArray[np.float32]
    targets: Floats


class KnnHead:
    """Means of the targets of the nearest questions, weighted by cosine similarity.

    Rows of x have length one, so that a product is a cosine. An extension that comes with other
    questions is remembered apart from what was there.
    """

    def __init__(self, neighbours: int) -> None:
        self._neighbours = neighbours
        self._memories: tuple[_Memory, ...] = ()

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Remember targets (n, k), NaN where unknown."""
        self._memories = (_Memory(np.asarray(x, dtype=np.float32), examples.targets),)

    def predict(self, x: Matrix) -> Floats:
        """Predictions (n, k) in [0, 1]."""
        x = np.asarray(x, dtype=np.float32)
        return np.hstack([self._from(memory, x) for memory in self._memories])

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns: targets (n, k'), NaN where unknown."""
        targets = examples.targets
        x = np.asarray(x, dtype=np.float32)
        *older, last = self._memories
        if np.array_equal(last.x, x):
            memories = (*older, _Memory(x, np.hstack([last.targets, targets])))
        else:
            memories = (*self._memories, _Memory(x, targets))
        head = type(self)(self._neighbours)
        head._memories = memories
        return head

    def config(self) -> dict[str, Any]:
        """The number of neighbours, and of memories."""
        return {"neighbours": self._neighbours, "memories": len(self._memories)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every memory's questions and targets."""
        return {
            f"{part}{number}": array
            for number, memory in enumerate(self._memories)
            for part, array in (("x", memory.x), ("targets", memory.targets))
        }

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The head back from `config()` and `arrays()`."""
        head = cls(config["neighbours"])
        head._memories = tuple(
            _Memory(arrays[f"x{number}"], arrays[f"targets{number}"]) for number in range(config["memories"])
        )
        return head

    def _from(self, memory: _Memory, x: NDArray[np.float32]) -> Floats:
        size = max(1, _BLOCK // len(memory.x))
        # Column by column, here and in a block: what one column says never depends on the others.
        means = [float(np.nanmean(column)) for column in memory.targets.T]
        return np.vstack([self._block(memory, means, x[start : start + size]) for start in range(0, len(x), size)])

    def _block(self, memory: _Memory, means: list[float], x: NDArray[np.float32]) -> Floats:
        cosines = x @ memory.x.T
        k = min(self._neighbours, len(memory.x))
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(cosines, nearest, axis=1).astype(np.float64)
        weights = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
        predictions = np.empty((len(x), memory.targets.shape[1]))
        for column, mean in enumerate(means):
            seen = memory.targets[nearest, column]
            known = weights * ~np.isnan(seen)
            # The column's mean counts as one more neighbour, as near as the nearest: it steadies
            # what only few neighbours know, and answers where none does.
            total = (known * np.nan_to_num(seen)).sum(axis=1) + mean
            predictions[:, column] = total / (known.sum(axis=1) + 1.0)
        return predictions
