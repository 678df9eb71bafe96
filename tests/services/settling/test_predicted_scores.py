"""Predictions from the scores of other experts."""

from __future__ import annotations

import numpy as np

from benchcoe_jobs.services.settling.predicted_scores import Features


def test_a_fit_finds_the_expert_that_is_alike() -> None:
    rng = np.random.default_rng(0)
    others = (rng.random((400, 5)) < 0.5).astype(float)
    truth = np.where(rng.random(400) < 0.9, others[:, 2], 1 - others[:, 2])
    others[::7, 2] = np.nan
    features = Features.of(others, others[:, 0], np.arange(400) % 3)
    known = np.where(np.arange(400) < 100, truth, np.nan)
    predicted = features.predict(known)
    error = np.mean((predicted - truth)[100:] ** 2)
    assert error < 0.6 * np.mean((features.first_guess - truth)[100:] ** 2)
    assert predicted.min() > 0
    assert predicted.max() < 1


def test_few_scores_or_equal_ones_are_not_fitted() -> None:
    others = np.array([[1.0, np.nan], [0.0, 0.0], [np.nan, np.nan]] * 40)
    features = Features.of(others, others[:, 0], np.zeros(120, dtype=np.intp))
    assert np.array_equal(features.first_guess[:3], [2 / 3, 1 / 4, 1 / 2])
    for known in (10, 120):
        scores = np.where(np.arange(120) < known, 1.0, np.nan)
        assert np.array_equal(features.predict(scores), features.first_guess)


def test_scores_between_0_and_1_are_fitted() -> None:
    rng = np.random.default_rng(1)
    others = rng.random((300, 3))
    features = Features.of(others, others[:, 0], np.zeros(300, dtype=np.intp))
    predicted = features.predict(others[:, 1])
    assert np.corrcoef(predicted, others[:, 1])[0, 1] > 0.8
