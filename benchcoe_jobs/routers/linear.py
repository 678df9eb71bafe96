"""Linear heads: one weight per feature and output.

scikit-learn is imported to fit a head; a fitted head predicts with numpy only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, logit

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import Examples, Matrix
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

# Chosen by 5-fold cross-validation on the train split of MMLU-Pro (7,186 questions), for rows of length one as both
# kinds of features have. A sparse matrix has many more columns, each of which is non-zero in few rows, and needs a
# smaller penalty than a dense one.
_INVERSE_PENALTY = {"dense": 3.0, "sparse": 60.0}
_RIDGE_PENALTY = {"dense": 30.0, "sparse": 3.0}

# This penalty shrinks the logistic regression of an expert that is right on one question in eight as much as the
# ridge's penalty of 30 does, and half as much that of an expert that is right on every second one.
_BCE_INVERSE_PENALTY = 0.3


class _Linear:
    """Weights (k, d) and intercepts (k,), which all linear heads have."""

    def __init__(self) -> None:
        self._weights: Floats = np.zeros((0, 0))
        self._intercepts: Floats = np.zeros(0)

    def config(self) -> dict[str, Any]:
        return {}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"weights": self._weights, "intercepts": self._intercepts}

    @property
    def shape(self) -> tuple[int, int]:
        return self._weights.shape[0], self._weights.shape[1]

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        StoredConfig.model_validate(config)
        head = cls()
        head._weights = stored_array(arrays, "weights", (None, None))
        if not len(head._weights):
            raise ValueError("weights has no row")
        head._intercepts = stored_array(arrays, "intercepts", (len(head._weights),))
        return head

    def _values(self, x: Matrix) -> Floats:
        return column_products(x, self._weights) + self._intercepts


class LogisticHead(_Linear):
    """Multinomial logistic regression; predicts the probability of each output (subject level)."""

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn one-hot targets (n, k), k >= 2, without NaN; every output has a row."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        shape = _shape(x)
        # On MMLU-Pro's 14 subjects and 76,000 sparse columns saga is as accurate as newton-cg in a fifth of the time.
        # On 384 dense columns newton-cg takes half the time of lbfgs.
        solver, tolerance = ("saga", 1e-2) if shape == "sparse" else ("newton-cg", 1e-4)
        model = LogisticRegression(
            C=_INVERSE_PENALTY[shape], solver=solver, tol=tolerance, max_iter=300, random_state=0
        )
        with warnings.catch_warnings():
            # A model that has not fully converged after max_iter iterations routes equally well.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(_float64(x), examples.targets.argmax(axis=1))
        self._weights, self._intercepts = model.coef_, model.intercept_
        if examples.targets.shape[1] == 2:  # scikit-learn stores only the second class; the first has zeros
            self._weights = np.vstack([np.zeros_like(model.coef_), model.coef_])
            self._intercepts = np.concatenate([[0.0], model.intercept_])

    @classmethod
    def of(cls, weights: Floats, intercepts: Floats) -> Self:
        """The head with weights (k, d) and intercepts (k,); the probability of an output with -inf is 0."""
        head = cls()
        head._weights, head._intercepts = weights, intercepts
        return head

    def predict(self, x: Matrix) -> Floats:
        """Probabilities (n, k); each row sums to one."""
        values = self._values(x)
        odds: Floats = np.exp(values - values.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        return odds


class RidgeHead(_Linear):
    """One ridge regression per output; predicts scores (query level)."""

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn targets (n, k), NaN if unknown."""
        self._weights, self._intercepts = ridge(x, examples.targets)

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k). They are not clipped to [0, 1]: clipping would make ties."""
        return self._values(x)

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns, learned from targets (n, k'), NaN if unknown."""
        weights, intercepts = ridge(x, examples.targets)
        return self.restore(
            self.config(),
            {
                "weights": np.vstack([self._weights, weights]),
                "intercepts": np.concatenate([self._intercepts, intercepts]),
            },
        )


class BceHead(_Linear):
    """One logistic regression per output; predicts scores (query level)."""

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn targets (n, k) in [0, 1], NaN if unknown, from dense features x."""
        self._weights, self._intercepts = _logistic(x, examples.targets)

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k) in [0, 1]."""
        scores: Floats = expit(self._values(x))
        return scores

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns, learned from targets (n, k'), NaN if unknown."""
        weights, intercepts = _logistic(x, examples.targets)
        return self.restore(
            self.config(),
            {
                "weights": np.vstack([self._weights, weights]),
                "intercepts": np.concatenate([self._intercepts, intercepts]),
            },
        )


def column_products(x: Matrix, weights: Floats) -> Floats:
    """x (n, d) times weights (k, d) -> (n, k).

    It computes one product per column: the rounding of a matrix product depends on its width, and the predictions of
    an output must not depend on the other outputs, not even in the last bit.
    """
    x = _float64(x)
    return np.column_stack([x @ row for row in weights])


def ridge(x: Matrix, targets: Floats, penalty: float | None = None) -> tuple[Floats, Floats]:
    """Weights (k, d) and intercepts (k,) of ridge regressions; the default penalty depends on whether x is sparse.

    Targets (n, k) are NaN if unknown. Columns that are known on the same rows share one factorisation.
    """
    from sklearn.linear_model import Ridge

    shape = _shape(x)
    x = _float64(x)
    weights = np.empty((targets.shape[1], x.shape[1]))
    intercepts = np.empty(targets.shape[1])
    solver = "sparse_cg" if shape == "sparse" else "cholesky"
    for columns, rows in known_groups(targets, np.ones(len(targets), dtype=bool)):
        whole = len(rows) == len(targets)  # avoids a copy of x
        model = Ridge(alpha=penalty or _RIDGE_PENALTY[shape], solver=solver)
        model.fit(x if whole else x[rows], targets[:, columns] if whole else targets[np.ix_(rows, columns)])
        weights[columns], intercepts[columns] = model.coef_, model.intercept_
    return weights, intercepts


def known_groups(targets: Floats, usable: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The columns of targets (n, k), NaN if unknown, by the `usable` rows that they are known on: (columns, rows)."""
    known = ~np.isnan(targets) & usable[:, None]
    columns_of: dict[bytes, list[int]] = {}  # bits of the known rows -> the columns that are known on them
    for column, bits in enumerate(np.packbits(known.T, axis=1)):
        columns_of.setdefault(bits.tobytes(), []).append(column)
    for columns in columns_of.values():
        yield np.array(columns), np.flatnonzero(known[:, columns[0]])


def _logistic(x: Matrix, targets: Floats) -> tuple[Floats, Floats]:
    """Weights (k, d) and intercepts (k,). A target t in (0, 1) counts as a right answer of weight t and a wrong one of
    weight 1 - t."""
    from sklearn.linear_model import LogisticRegression

    x = _float64(x)
    weights, intercepts = np.zeros((targets.shape[1], x.shape[1])), np.zeros(targets.shape[1])
    for column, scores in enumerate(targets.T):
        known = np.flatnonzero(~np.isnan(scores))
        scores = scores[known]
        if (scores == scores[0]).all():  # all targets are equal
            intercepts[column] = logit(np.clip(scores[0], 1e-16, 1 - 1e-16))
            continue
        right, wrong = np.flatnonzero(scores > 0), np.flatnonzero(scores < 1)
        model = LogisticRegression(C=_BCE_INVERSE_PENALTY, solver="newton-cholesky")
        model.fit(
            x[np.concatenate([known[right], known[wrong]])],
            np.repeat([1, 0], [len(right), len(wrong)]),
            sample_weight=np.concatenate([scores[right], 1 - scores[wrong]]),
        )
        weights[column], intercepts[column] = model.coef_[0], model.intercept_[0]
    return weights, intercepts


def _shape(x: Matrix) -> str:
    return "sparse" if sparse.issparse(x) else "dense"


def _float64(x: Matrix) -> Any:
    return x.astype(np.float64, copy=False)
