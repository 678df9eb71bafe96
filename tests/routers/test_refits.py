"""Fits without some rows are those of scikit-learn on the other rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from benchcoe_jobs.routers.refits import refits

N, WIDTH = 90, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, WIDTH))
CLASSES = np.arange(N) % 3
FEW, MOST = np.arange(N) < 20, np.arange(N) >= 40


@pytest.mark.parametrize("left_out", [np.zeros(N, dtype=bool), FEW, MOST], ids=["none", "few", "most"])
def test_ridges_for_each_penalty_and_pattern_of_unknown_scores(left_out: np.ndarray) -> None:
    targets = RNG.random((N, 4))
    targets[5:30, 1] = np.nan
    targets[5:38, 3] = np.nan
    found = refits(X).ridges(targets, [0.5, 30.0], left_out)
    for (weights, intercepts), penalty in zip(found, [0.5, 30.0], strict=True):
        for column in range(4):
            rows = ~left_out & ~np.isnan(targets[:, column])
            wanted = Ridge(alpha=penalty).fit(X[rows], targets[rows, column])
            assert weights[column] == pytest.approx(wanted.coef_, abs=1e-9)
            assert intercepts[column] == pytest.approx(wanted.intercept_, abs=1e-9)


@pytest.mark.parametrize("x", [X, sparse.csr_matrix(X)], ids=["dense", "sparse"])
def test_a_class_that_is_left_out_has_probability_0(x: np.ndarray) -> None:
    found = refits(x).classifier(CLASSES, 3, CLASSES == 1).predict(x)
    assert (found[:, 1] == 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(N))
    only = refits(x).classifier(CLASSES, 3, CLASSES != 1).predict(x)
    assert (only[:, 1] == 1).all()
