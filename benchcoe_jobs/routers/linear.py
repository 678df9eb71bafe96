"""Linear heads: a weight per feature and output.

scikit-learn is imported where something is fitted: a trained head predicts with numpy alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, logit

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import Examples, Matrix

# Chosen by 5-fold cross-validation on the train split of MMLU-Pro (7,186 questions), for rows of
# length one as both kinds of features give them. A sparse matrix has many more columns, each of
# which says something on a few rows only: it wants less shrinking than a dense one.
_INVERSE_PENALTY = {"dense": 3.0, "sparse": 60.0}
_RIDGE_PENALTY = {"dense": 30.0, "sparse": 3.0}

# A logistic regression is shrunk as far as the ridge's 30 does it for experts that are right in one case of eight,
# half as far for those that are right in every other.
_BCE_INVERSE_PENALTY = 0.3


class _Linear:
    """Weights (k, d) and intercepts (k,): what the linear heads share."""

    def __init__(self) -> None:
        self._weights: Floats = np.zeros((0, 0))
        self._intercepts: Floats = np.zeros(0)

    def config(self) -> dict[str, Any]:
        return {}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"weights": self._weights, "intercepts": self._intercepts}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        head = cls()
        head._weights, head._intercepts = arrays["weights"], arrays["intercepts"]
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
        # On MMLU-Pro's 14 subjects and 76,000 sparse columns saga ends as accurate as newton-cg in a
        # fifth of the time; on 384 dense columns newton-cg takes half the time of lbfgs.
        solver, tolerance = ("saga", 1e-2) if shape == "sparse" else ("newton-cg", 1e-4)
        model = LogisticRegression(
            C=_INVERSE_PENALTY[shape], solver=solver, tol=tolerance, max_iter=300, random_state=0
        )
        with warnings.catch_warnings():
            # Weights that still moved a little when the iterations ran out route just as well.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(_float64(x), examples.targets.argmax(axis=1))
        self._weights, self._intercepts = model.coef_, model.intercept_
        if examples.targets.shape[1] == 2:  # scikit-learn keeps the second class only, the first one being zero
            self._weights = np.vstack([np.zeros_like(model.coef_), model.coef_])
            self._intercepts = np.concatenate([[0.0], model.intercept_])

    def predict(self, x: Matrix) -> Floats:
        """Probabilities (n, k); each row sums to one."""
        values = self._values(x)
        odds: Floats = np.exp(values - values.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        return odds


class RidgeHead(_Linear):
    """Ridge regression of every output on its own; predicts scores (query level)."""

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn targets (n, k), NaN where unknown."""
        self._weights, self._intercepts = ridge(x, examples.targets)

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k). They may leave [0, 1] a little: clipping would make ties."""
        return self._values(x)

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns, learned from targets (n, k'), NaN where unknown."""
        weights, intercepts = ridge(x, examples.targets)
        return self.restore(
            self.config(),
            {
                "weights": np.vstack([self._weights, weights]),
                "intercepts": np.concatenate([self._intercepts, intercepts]),
            },
        )


class BceHead(_Linear):
    """A logistic regression per output, each on its own; predicts scores (query level)."""

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn dense features x and targets (n, k) in [0, 1], NaN where unknown."""
        self._weights, self._intercepts = _logistic(x, examples.targets)

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k) in [0, 1]."""
        scores: Floats = expit(self._values(x))
        return scores

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns, learned from targets (n, k'), NaN where unknown."""
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

    One product per column, not one for all: how a matrix product rounds depends on its width, and an
    output must say the same, bit for bit, whoever stands beside it.
    """
    x = _float64(x)
    return np.column_stack([x @ row for row in weights])


def ridge(x: Matrix, targets: Floats, penalty: float | None = None) -> tuple[Floats, Floats]:
    """Weights (k, d) and intercepts (k,), without a penalty by the one that suits the shape of x.

    Targets (n, k) are NaN where unknown; columns known on the same rows share one factorisation.
    """
    from sklearn.linear_model import Ridge

    shape = _shape(x)
    x = _float64(x)
    known = ~np.isnan(targets)
    alike: dict[bytes, list[int]] = {}  # which rows are known, as bits -> the columns known on them
    for column, bits in enumerate(np.packbits(known.T, axis=1)):
        alike.setdefault(bits.tobytes(), []).append(column)
    weights = np.empty((targets.shape[1], x.shape[1]))
    intercepts = np.empty(targets.shape[1])
    solver = "sparse_cg" if shape == "sparse" else "cholesky"
    for columns in map(np.array, alike.values()):
        rows = known[:, columns[0]]
        whole = bool(rows.all())  # spares a copy of x
        model = Ridge(alpha=penalty or _RIDGE_PENALTY[shape], solver=solver)
        model.fit(x if whole else x[rows], targets[:, columns] if whole else targets[np.ix_(rows, columns)])
        weights[columns], intercepts[columns] = model.coef_, model.intercept_
    return weights, intercepts


def _logistic(x: Matrix, targets: Floats) -> tuple[Floats, Floats]:
    """Weights (k, d) and intercepts (k,). A target between 0 and 1 counts as so much of a right and the rest of a wrong
    answer."""
    from sklearn.linear_model import LogisticRegression

    x = _float64(x)
    weights, intercepts = np.zeros((targets.shape[1], x.shape[1])), np.zeros(targets.shape[1])
    for column, scores in enumerate(targets.T):
        known = np.flatnonzero(~np.isnan(scores))
        scores = scores[known]
        if (scores == scores[0]).all():  # nothing to tell apart
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
