"""The states of a chain: the winning answer by hand, and the shape of the features."""

from __future__ import annotations

import cascade_world
import numpy as np
import pytest

from benchcoe_jobs.routers.cascades.answers import NO_ANSWER, Answers, Scales
from benchcoe_jobs.routers.cascades.states import ChainView, n_features, places


def view(codes: list[list[int]], predicted: list[float]) -> ChainView:
    n = len(codes)
    answers = Answers.none([4] * n, len(predicted))
    answers.codes[:] = codes
    predictions = np.tile(predicted, (n, 1))
    return ChainView(predictions, predictions, answers, Scales.fit(answers, np.zeros(answers.codes.shape)))


def test_the_places_of_a_state() -> None:
    assert [places(state) for state in (0, 0b1, 0b101, 0b111)] == [[], [0], [0, 2], [0, 1, 2]]


def test_the_winner_has_the_most_log_odds() -> None:
    chain = view([[0, 0, 1], [0, 1, 1], [0, 1, 2], [NO_ANSWER, NO_ANSWER, 2]], [0.5, 0.5, 0.6])
    np.testing.assert_array_equal(chain.winner(0b111), [0, 2, 2, 2])  # of two that agree, the better one is named
    np.testing.assert_array_equal(chain.winner(0b011), [0, 0, 0, 0])
    np.testing.assert_array_equal(chain.winner(0b100), [2, 2, 2, 2])


@pytest.mark.parametrize("state", range(8))
def test_features_are_finite_and_as_many_as_promised(state: int) -> None:
    predictions, answers, scores = cascade_world.arrays(40)
    answers.codes[:5] = NO_ANSWER
    features = ChainView(predictions, predictions, answers, Scales.fit(answers, scores)).features(state)
    assert features.shape == (40, n_features(3, state))
    assert np.isfinite(features).all()


def test_a_rule_is_worth_what_its_answers_were_worth() -> None:
    _, answers, scores = cascade_world.arrays()
    answers.rules[:, 0] = np.where(scores[:, 0] == 1.0, "good", "bad")
    scales = Scales.fit(answers, scores)
    assert scales.rules[0]["good"] > 0 > scales.rules[0]["bad"]
    assert scales.apply(answers)[:, 0, 0].max() == scales.rules[0]["good"]
    answers.rules[:, 0] = "never seen"
    assert (scales.apply(answers)[:, 0, 0] == 0.0).all()
