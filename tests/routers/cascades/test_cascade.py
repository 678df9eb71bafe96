"""What a cascade learns and does: it sees only answers that it asked for, and pays for each of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cascade_world
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.routers.cascades.answers import Answers
from benchcoe_jobs.routers.cascades.cascade import STOP, Cascade
from benchcoe_jobs.routers.cascades.weights import WEIGHTS, cheapest_keeping, weight_number

_WEIGHTS = st.sampled_from(WEIGHTS)


@cache
def learned() -> Cascade:
    return Cascade.fit(*cascade_world.arrays())


def walk(cascade: Cascade, predictions: np.ndarray, answers: Answers, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """The experts that were asked (n, 3), and whose answer was given (n,)."""
    queried = np.zeros(predictions.shape, dtype=bool)
    rows = np.arange(len(queried))
    while len(rows):
        barred = np.zeros((len(rows), queried.shape[1]), dtype=bool)
        found = cascade.next_expert(predictions[rows], answers.take(rows), queried[rows], weight, barred)
        rows, found = rows[found != STOP], found[found != STOP]
        assert not queried[rows, found].any()
        queried[rows, found] = True
    return queried, cascade.winner(predictions, answers, queried, weight)


def test_it_asks_a_dear_expert_only_if_cheap_ones_disagree() -> None:
    predictions, answers, scores = cascade_world.arrays(seed=1)
    queried, winner = walk(learned(), predictions, answers, 0.85)
    cheap = queried[:, :2].all(axis=1)
    agree = answers.codes[:, 0] == answers.codes[:, 1]
    assert cheap.mean() > 0.7
    assert queried[cheap & agree, 2].mean() < 0.1
    assert queried[cheap & ~agree, 2].mean() > 0.9
    assert scores[np.arange(len(winner)), winner].mean() > scores[:, :2].mean() + 0.2


@given(seed=st.integers(0, 5))
def test_if_only_costs_count_one_expert_is_asked(seed: int) -> None:
    predictions, answers, _ = cascade_world.arrays(60, seed)
    queried, winner = walk(learned(), predictions, answers, 0.0)
    assert (queried.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(queried.argmax(axis=1), winner)


@given(seed=st.integers(0, 5), weight=_WEIGHTS)
def test_the_winner_was_asked(seed: int, weight: float) -> None:
    predictions, answers, _ = cascade_world.arrays(60, seed)
    queried, winner = walk(learned(), predictions, answers, weight)
    assert queried[np.arange(60), winner].all()


@given(seed=st.integers(0, 5), weight=_WEIGHTS)
def test_the_order_of_questions_changes_nothing(seed: int, weight: float) -> None:
    predictions, answers, _ = cascade_world.arrays(60, seed)
    order = np.random.default_rng(seed).permutation(60)
    queried, winner = walk(learned(), predictions, answers, weight)
    queried_then, winner_then = walk(learned(), predictions[order], answers.take(order), weight)
    np.testing.assert_array_equal(queried_then, queried[order])
    np.testing.assert_array_equal(winner_then, winner[order])


@given(seed=st.integers(0, 5), weight=_WEIGHTS)
def test_answers_that_were_not_asked_for_change_nothing(seed: int, weight: float) -> None:
    predictions, answers, _ = cascade_world.arrays(60, seed)
    queried, winner = walk(learned(), predictions, answers, weight)
    hidden = replace(
        answers,
        codes=np.where(queried, answers.codes, 0),
        rules=np.where(queried, answers.rules, "another rule"),
        lengths=np.where(queried, answers.lengths, 9e9),
        is_cut=np.where(queried, answers.is_cut, True),
    )
    queried_then, winner_then = walk(learned(), predictions, hidden, weight)
    np.testing.assert_array_equal(queried_then, queried)
    np.testing.assert_array_equal(winner_then, winner)


def test_a_barred_expert_is_not_asked() -> None:
    predictions, answers, _ = cascade_world.arrays(60)
    barred = np.zeros((60, 3), dtype=bool)
    barred[:, 2] = True
    for weight in WEIGHTS:
        first = learned().next_expert(predictions, answers, np.zeros((60, 3), dtype=bool), weight, barred)
        assert (first != 2).all()


def test_an_expert_that_gave_no_answer_counts_as_asked() -> None:
    predictions, _, _ = cascade_world.arrays(60)
    nothing = Answers.none([4] * 60, 3)
    queried, winner = walk(learned(), predictions, nothing, 1.0)
    assert queried.any(axis=1).all()
    assert queried[np.arange(60), winner].all()


def test_without_costs_it_learns_to_ask_whom_it_helps() -> None:
    predictions, answers, scores = cascade_world.arrays()
    cascade = Cascade.fit(predictions, replace(answers, costs=np.full(scores.shape, np.nan)), scores)
    assert not cascade.knows_costs
    _, winner = walk(cascade, predictions, answers, 1.0)
    assert scores[np.arange(len(winner)), winner].mean() >= scores.mean(axis=0).max() - 0.01


def test_two_fits_are_the_same_bits_and_are_restored() -> None:
    first, second = learned(), Cascade.fit(*cascade_world.arrays())
    restored = Cascade.restore(3, first.config(), first.arrays())
    for other in (second, restored):
        assert other.config() == first.config()
        for name, array in first.arrays().items():
            np.testing.assert_array_equal(other.arrays()[name], array)


@pytest.mark.parametrize(
    "change",
    [
        {"chains": []},
        {"chain_of": [99] * len(WEIGHTS)},
        {"chain_of": [0]},
        {"chains": [{"columns": [0, 0], "scales": {}}]},
        {"chains": [{"columns": [7], "scales": {"rules": [{}], "length_means": [1.0], "length_scales": [1.0]}}]},
        {"another": 1},
    ],
)
def test_a_damaged_configuration_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Cascade.restore(3, learned().config() | change, learned().arrays())


def test_a_missing_array_is_refused() -> None:
    arrays = learned().arrays()
    del arrays[next(iter(arrays))]
    with pytest.raises(ValueError, match="missing"):
        Cascade.restore(3, learned().config(), arrays)


def test_the_nearest_quality_weight_is_used() -> None:
    assert [weight_number(weight) for weight in WEIGHTS] == list(range(len(WEIGHTS)))
    assert weight_number(0.99999) == len(WEIGHTS) - 2  # costs still count a little


def test_of_equally_cheap_weights_the_highest_keeps_the_best_accuracy() -> None:
    gains, costs = np.array([-0.2, 0.3 - (0.1 + 0.2), 0.1, 0.2]), np.array([0.1, 0.3, 0.1 + 0.2, 1.0])
    assert cheapest_keeping(gains, costs) == 2
    assert cheapest_keeping(gains[:2], costs[:2]) == 1  # the gain is zero but for rounding
    assert cheapest_keeping(gains[:1], costs[:1]) is None
