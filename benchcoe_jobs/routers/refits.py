"""Ridge regressions and subject classifiers on one matrix, fitted again and again without some of its rows.

Cross-validation needs them for every fold, penalty and subject. Of a dense matrix the products of all rows are computed
once; those of the rows that are left out are subtracted, and each ridge regression is the solution of one linear system
(d, d). Of a sparse matrix, whose products would be dense, each fit reads the rows again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import Examples, Matrix
from benchcoe_jobs.routers.linear import LogisticHead, known_groups, ridge


def refits(x: Matrix) -> Refits:
    """The fits on a matrix, by whether it is sparse."""
    return Refits(x) if sparse.issparse(x) else DenseRefits(np.asarray(x, dtype=np.float64))


class Refits:
    """Fits on the rows of a matrix (n, d) except those of `left_out`, a mask (n,); each reads the rows."""

    def __init__(self, x: Matrix) -> None:
        self._x = x

    def ridges(
        self, targets: Floats, penalties: Sequence[float], left_out: NDArray[np.bool_]
    ) -> list[tuple[Floats, Floats]]:
        """Weights (k, d) and intercepts (k,) for each penalty; targets (n, k) are NaN if unknown."""
        return [ridge(self._x[~left_out], targets[~left_out], penalty) for penalty in penalties]

    def classifier(self, classes: NDArray[np.intp], k: int, left_out: NDArray[np.bool_]) -> LogisticHead:
        """A head that predicts the probabilities of k >= 2 classes, 0 of a class without a row; `classes` are (n,)."""
        present, codes = np.unique(classes[~left_out], return_inverse=True)
        weights, intercepts = np.zeros((k, self._x.shape[1])), np.full(k, -np.inf)
        intercepts[present] = 0.0
        if len(present) > 1:
            head = LogisticHead()
            head.fit(self._x[~left_out], Examples((), (), np.eye(len(present))[codes]))
            fitted = head.arrays()
            weights[present], intercepts[present] = fitted["weights"], fitted["intercepts"]
        return LogisticHead.of(weights, intercepts)


class DenseRefits(Refits):
    """Fits whose ridge regressions read only the rows that are left out."""

    def __init__(self, x: Floats) -> None:
        super().__init__(x)
        self._sum, self._products = x.sum(axis=0), x.T @ x

    def ridges(
        self, targets: Floats, penalties: Sequence[float], left_out: NDArray[np.bool_]
    ) -> list[tuple[Floats, Floats]]:
        """See `Refits`."""
        k, d = targets.shape[1], self._x.shape[1]
        found = [(np.empty((k, d)), np.empty(k)) for _ in penalties]
        for columns, rows in known_groups(targets, ~left_out):
            total, products = self._over(rows)
            y, n = targets[np.ix_(rows, columns)], len(rows)
            centre, mean = total / n, y.mean(axis=0)
            system = products - np.outer(total, centre)
            wanted = self._x[rows].T @ (y - mean)
            diagonal = np.diag_indices(d)
            variances = system[diagonal].copy()
            for (weights, intercepts), penalty in zip(found, penalties, strict=True):
                system[diagonal] = variances + penalty
                weights[columns] = linalg.solve(system, wanted, assume_a="pos").T
                intercepts[columns] = mean - weights[columns] @ centre
        return found

    def _over(self, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """The sum (d,) and the products (d, d) of some rows."""
        if 2 * len(rows) < len(self._x):
            return self._x[rows].sum(axis=0), self._x[rows].T @ self._x[rows]
        others = np.delete(self._x, rows, axis=0)
        return self._sum - others.sum(axis=0), self._products - others.T @ others
