"""The head of a cascade: predicted scores from the text, and the cascade that goes on from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import Examples, Matrix
from benchcoe_jobs.routers.blend import BlendHead
from benchcoe_jobs.routers.cascades.answers import Answers
from benchcoe_jobs.routers.cascades.cascade import Cascade
from benchcoe_jobs.routers.cascades.policy import FOLDS
from benchcoe_jobs.routers.linear import RidgeHead
from benchcoe_jobs.routers.stored import StoredConfig

_HEADS: Mapping[str, type[RidgeHead | BlendHead]] = {"ridge": RidgeHead, "blend": BlendHead}

# An expert that has answered a smaller share of the questions is not asked by a cascade.
_LEAST_SHARE = 0.5

_FEWEST = 50
"""The smallest number of questions from which a cascade is learned."""

# Of more questions a random part is taken: the memory that learning needs grows with their number.
_MOST = 30_000


class _StoredHead(StoredConfig):
    text: Literal["ridge", "blend"]
    text_config: dict[str, Any]
    cascade: dict[str, Any]
    n_learned: int


class CascadeHead:
    """A head that predicts scores (n, k) from the text, and the cascade that goes on from these predictions.

    `n_learned` is the number of questions, answered by every expert that it may ask, that the cascade was learned from.
    """

    def __init__(self) -> None:
        self._text: RidgeHead | BlendHead = RidgeHead()
        self._cascade: Cascade | None = None
        self.n_learned = 0

    @property
    def cascade(self) -> Cascade:
        """The cascade of a fitted head."""
        if self._cascade is None:
            raise ValueError("the head is not fitted")
        return self._cascade

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn scores (n, k), NaN if unknown, and a cascade from the answers to the questions.

        Raises UsageError if fewer than two experts have answered half of the questions, or if too few questions have
        an answer of each of them.
        """
        answers = examples.answers
        if answers is None:
            raise ValueError("a cascade is learned from answers")
        rows = _learnable(answers, examples.targets)
        self._text = RidgeHead() if sparse.issparse(x) else BlendHead()
        self._text.fit(x, examples)
        predictions = _out_of_fold(self._text, x, examples)
        self._cascade = Cascade.fit(predictions[rows], answers.take(rows), examples.targets[rows])
        self.n_learned = len(rows)

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k), from the text alone."""
        return self._text.predict(x)

    @property
    def shape(self) -> tuple[int, int]:
        """See `Head`."""
        return self._text.shape

    def config(self) -> dict[str, Any]:
        """The kind and the configuration of the head of the text, and the configuration of the cascade."""
        text = next(name for name, head in _HEADS.items() if isinstance(self._text, head))
        return {
            "text": text,
            "text_config": self._text.config(),
            "cascade": self.cascade.config(),
            "n_learned": self.n_learned,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of both, with a prefix."""
        of_text = {f"text_{name}": array for name, array in self._text.arrays().items()}
        return of_text | {f"cascade_{name}": array for name, array in self.cascade.arrays().items()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The head back from `config()` and `arrays()`. Raises ValueError if they do not fit together."""
        stored = _StoredHead.model_validate(config)

        def of(part: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}

        head = cls()
        head._text = _HEADS[stored.text].restore(stored.text_config, of("text_"))
        head._cascade = Cascade.restore(head.shape[0], stored.cascade, of("cascade_"))
        head.n_learned = stored.n_learned
        return head


def _learnable(answers: Answers, scores: Floats) -> NDArray[np.intp]:
    """The questions that each expert with answers to most questions has answered. Raises UsageError if too few have."""
    known = answers.is_known & ~np.isnan(scores)
    usable = known.mean(axis=0) >= _LEAST_SHARE
    if usable.sum() < 2:
        raise UsageError(
            f"a cascade is learned from stored responses, and {usable.sum()} of {len(usable)} experts have responses "
            "to half of the questions: ask the experts with `benchcoe-jobs profile`, or import results with responses"
        )
    rows = np.flatnonzero(known[:, usable].all(axis=1))
    if len(rows) < _FEWEST:
        raise UsageError(
            f"a cascade is learned from questions that all its experts have answered, and these are {len(rows)}; it "
            f"needs {_FEWEST}: ask the experts more queries with `benchcoe-jobs profile`"
        )
    if len(rows) > _MOST:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:_MOST])
    return rows


def _out_of_fold(head: RidgeHead | BlendHead, x: Matrix, examples: Examples) -> Floats:
    """Predictions (n, k) for the examples of a fit, each by a head that was fitted without the question."""
    if isinstance(head, BlendHead):
        return head.predict_out_of_fold(x, examples)
    fold = np.random.default_rng(0).permutation(x.shape[0]) % FOLDS
    predictions = np.empty_like(examples.targets)
    for number in range(FOLDS):
        fitted, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        part = RidgeHead()
        part.fit(x[fitted], examples.take(fitted))
        predictions[held_out] = part.predict(x[held_out])
    return predictions
