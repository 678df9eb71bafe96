"""The blend head learns from single questions as much as cross-validation supports."""

from __future__ import annotations

import numpy as np
import pytest

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import Examples
from benchcoe_jobs.routers.blend import PENALTIES, BlendHead

SUBJECTS = ("alpha", "beta", "gamma")
N, EXPERTS, DIMENSIONS = 600, 3, 12


def world(depends_on_the_question: bool) -> tuple[Floats, Examples, Floats]:
    """Unit vectors in three clusters; scores of 0 or 1 by subject alone, or by a direction within it too."""
    rng = np.random.default_rng(0)
    subject_of = np.arange(N) % 3
    x = 3 * np.eye(DIMENSIONS)[subject_of] + rng.normal(size=(N, DIMENSIONS))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    chance = np.array([[0.8, 0.3, 0.5], [0.2, 0.7, 0.5], [0.4, 0.4, 0.9]])[subject_of]
    if depends_on_the_question:
        chance = 0.5 + 0.45 * np.sign(x[:, [5, 6, 7]])
    scores = (rng.random((N, EXPERTS)) < chance).astype(float)
    return x, Examples((), [SUBJECTS[s] for s in subject_of], scores), chance


def fitted(x: Floats, examples: Examples) -> BlendHead:
    head = BlendHead()
    head.fit(x, examples)
    return head


def test_if_only_the_subject_matters_predictions_are_the_means_by_subject() -> None:
    x, examples, chance = world(depends_on_the_question=False)
    head = fitted(x, examples)
    assert head.config()["penalty"] >= PENALTIES[1]
    assert np.abs(head.predict(x) - chance).mean() < 0.08


def test_if_the_question_matters_the_penalty_is_smaller_and_predictions_are_better() -> None:
    x, examples, chance = world(depends_on_the_question=True)
    head = fitted(x, examples)
    assert head.config()["penalty"] == PENALTIES[0]
    table = np.tile(examples.targets.mean(axis=0), (N, 1))
    assert ((head.predict(x) - chance) ** 2).mean() < 0.8 * ((table - chance) ** 2).mean()


def test_a_prediction_out_of_fold_is_made_without_the_question() -> None:
    x, examples, _ = world(depends_on_the_question=True)
    luck = np.random.default_rng(1).permutation(examples.targets)  # nothing can be learned
    head = fitted(x, Examples((), examples.subjects, luck))
    head._penalty = 0.1  # the fit itself then follows chance
    out = head.predict_out_of_fold(x, Examples((), examples.subjects, luck))
    assert out.shape == luck.shape
    assert np.corrcoef(out.ravel() - luck.mean(), luck.ravel() - luck.mean())[0, 1] < 0.1
    assert ((out - luck) ** 2).mean() > 0.99 * luck.var()


def test_a_held_out_subject_is_predicted_from_the_others() -> None:
    x, examples, _ = world(depends_on_the_question=False)
    head = fitted(x, examples)
    held_out = head.predict_held_out_subjects(x, examples)
    alpha = np.array(examples.subjects) == "alpha"
    assert head.predict(x)[alpha, 0].mean() == pytest.approx(0.8, abs=0.1)
    assert held_out[alpha, 0].mean() < 0.5, "expert 0 is poor on the other two"


def test_a_single_subject_needs_no_classifier() -> None:
    x, examples, _ = world(depends_on_the_question=False)
    alone = Examples((), ["alpha"] * N, examples.targets)
    head = fitted(x, alone)
    assert np.isfinite(head.predict(x)).all()
    restored = BlendHead.restore(head.config(), head.arrays())
    np.testing.assert_array_equal(restored.predict(x), head.predict(x))
