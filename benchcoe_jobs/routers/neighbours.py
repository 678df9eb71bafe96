"""The nearest-neighbour head: means over the most similar training questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import Examples, Matrix
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

# A neighbour has weight exp(cosine / temperature). The temperature and the numbers of neighbours were chosen by 5-fold
# cross-validation on the train split of MMLU-Pro.
_TEMPERATURE = 0.1

# Cosines computed at a time, whatever the number of training questions: 64 MiB of float32.
_BLOCK = 1 << 24


@dataclass(frozen=True, slots=True)
class _TrainingQuestions:
    """Vectors of training questions (n, d), float32, and their targets (n, k), NaN if unknown."""

    x: NDArray[np.float32]
    targets: Floats


class _Stored(StoredConfig):
    neighbours: int = Field(ge=1)
    memories: int = Field(ge=1)


class KnnHead:
    """Means of the targets of the nearest questions, weighted by cosine similarity.

    Rows of x have length one, so that a product is a cosine. If an extension is learned from other questions than the
    existing columns, both sets of questions are stored.
    """

    def __init__(self, neighbours: int) -> None:
        self._neighbours = neighbours
        self._sets: tuple[_TrainingQuestions, ...] = ()

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Store the questions and their targets (n, k), NaN if unknown."""
        self._sets = (_TrainingQuestions(np.asarray(x, dtype=np.float32), examples.targets),)

    def predict(self, x: Matrix) -> Floats:
        """Predictions (n, k) in [0, 1]."""
        x = np.asarray(x, dtype=np.float32)
        return np.hstack([self._from(stored, x) for stored in self._sets])

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns, from targets (n, k'), NaN if unknown."""
        targets = examples.targets
        x = np.asarray(x, dtype=np.float32)
        *older, last = self._sets
        if np.array_equal(last.x, x):
            sets = (*older, _TrainingQuestions(x, np.hstack([last.targets, targets])))
        else:
            sets = (*self._sets, _TrainingQuestions(x, targets))
        head = type(self)(self._neighbours)
        head._sets = sets
        return head

    def config(self) -> dict[str, Any]:
        """The number of neighbours, and of stored sets of questions."""
        return {"neighbours": self._neighbours, "memories": len(self._sets)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Questions and targets of each set."""
        return {
            f"{part}{number}": array
            for number, stored in enumerate(self._sets)
            for part, array in (("x", stored.x), ("targets", stored.targets))
        }

    @property
    def shape(self) -> tuple[int, int]:
        """See `Head`."""
        return sum(stored.targets.shape[1] for stored in self._sets), self._sets[0].x.shape[1]

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The head back from `config()` and `arrays()`. Raises ValueError if they do not fit together."""
        stored = _Stored.model_validate(config)
        head = cls(stored.neighbours)
        width = None
        for number in range(stored.memories):
            x = stored_array(arrays, f"x{number}", (None, width))
            targets = stored_array(arrays, f"targets{number}", (len(x), None), nan=True)
            if not (~np.isnan(targets)).any(axis=0).all():
                raise ValueError(f"targets{number} has a column without a target")
            head._sets += (_TrainingQuestions(x, targets),)
            width = x.shape[1]
        return head

    def _from(self, stored: _TrainingQuestions, x: NDArray[np.float32]) -> Floats:
        size = max(1, _BLOCK // len(stored.x))
        # Column by column, here and in _block: the predictions of one column never depend on the others.
        means = [float(np.nanmean(column)) for column in stored.targets.T]
        return np.vstack([self._block(stored, means, x[start : start + size]) for start in range(0, len(x), size)])

    def _block(self, stored: _TrainingQuestions, means: list[float], x: NDArray[np.float32]) -> Floats:
        cosines = x @ stored.x.T
        k = min(self._neighbours, len(stored.x))
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(cosines, nearest, axis=1).astype(np.float64)
        weights = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
        predictions = np.empty((len(x), stored.targets.shape[1]))
        for column, mean in enumerate(means):
            targets = stored.targets[nearest, column]
            known = weights * ~np.isnan(targets)
            # The mean of the column counts as one more neighbour with the weight of the nearest. It reduces the
            # variance if few neighbours have a target, and is the prediction if none has.
            total = (known * np.nan_to_num(targets)).sum(axis=1) + mean
            predictions[:, column] = total / (known.sum(axis=1) + 1.0)
        return predictions
