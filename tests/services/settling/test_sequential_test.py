"""The bounds hold at every look, for any scores and any predictions, and are narrow if the predictions are good."""

from __future__ import annotations

import numpy as np
import pytest

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.settling.sequential_test import Round, Side, bounds, log_evidence, needed

N, TIMES, CONFIDENCE = 60, 400, 0.9
ALLOWED = (1 - CONFIDENCE) + 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / TIMES)
"""The share of wrong results that is allowed, and three standard errors of a share of this many simulations."""


def population(kind: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Scores and predictions of N questions."""
    chance = rng.random(N)
    scores = (rng.random(N) < chance).astype(float)
    return {
        "good predictions": (scores, chance),
        "no predictions": (scores, np.full(N, 0.5)),
        "wrong predictions": (scores, 1 - chance),
        "rare": ((np.arange(N) < 3).astype(float), np.full(N, 0.3)),
        "between 0 and 1": (rng.random(N), chance),
        "equal": (np.full(N, 0.4), np.full(N, 0.4)),
    }[kind]


def drawn(scores: Floats, predicted: Floats, rng: np.random.Generator, sizes: list[int]) -> list[Round]:
    """Rounds of these sizes, drawn at random; the predictions change a little from round to round."""
    rest, known, rounds = rng.permutation(len(scores)), 0.0, []
    for size in sizes:
        now = (predicted + rng.uniform(-0.1, 0.1, len(scores))).clip(0.01, 0.99)
        guess, take = now[rest], rest[:size]
        rounds.append(Round(scores[take], now[take], len(rest), guess.sum(), guess.min(), guess.max(), known, 0))
        known, rest = known + float(scores[take].sum()), rest[size:]
    return rounds


@pytest.mark.parametrize(
    "kind", ["good predictions", "no predictions", "wrong predictions", "rare", "between 0 and 1", "equal"]
)
@pytest.mark.parametrize("side", Side)
def test_the_error_rate_is_within_the_promise_whenever_one_looks(kind: str, side: Side) -> None:
    """The sum is exactly what is bet against, the worst case, and the evidence is the largest of all looks."""
    rng = np.random.default_rng(1)
    scores, predicted = population(kind, rng)
    wrong = [
        log_evidence(drawn(scores, predicted, rng, [10, 8, 15, 27]), float(scores.sum()), side) >= needed(CONFIDENCE)
        for _ in range(TIMES)
    ]
    assert np.mean(wrong) <= ALLOWED


def test_bounds_contain_the_sum_and_are_exact_in_the_end() -> None:
    rng = np.random.default_rng(2)
    scores, predicted = population("good predictions", rng)
    total = float(scores.sum())
    outside, widths = 0, []
    for _ in range(100):
        rounds = drawn(scores, predicted, rng, [10, 20])
        known = float(sum(each.scores.sum() for each in rounds))
        found = bounds(rounds, known, known + N - 30, CONFIDENCE)
        outside += not found.low <= total <= found.high
        widths.append(found.high - found.low)
    assert outside <= 100 * 2 * ALLOWED
    assert np.mean(widths) < N - 30, "narrower than what is possible"
    whole = bounds(drawn(scores, predicted, rng, [N]), total, total, CONFIDENCE)
    assert (whole.low, whole.high) == (total, total)


def test_good_predictions_settle_sooner() -> None:
    rng = np.random.default_rng(3)
    chance = np.repeat([0.05, 0.95], 200)
    scores = (rng.random(400) < chance).astype(float)
    evidence = {
        name: np.mean([log_evidence(drawn(scores, guess, rng, [60]), 0.4 * 400, Side.ABOVE) for _ in range(30)])
        for name, guess in {"good": chance, "none": np.full(400, 0.5)}.items()
    }
    assert evidence["good"] > 2 * evidence["none"] > 0


def test_a_question_without_an_answer_never_helps() -> None:
    rng = np.random.default_rng(4)
    scores, predicted = population("good predictions", rng)
    [whole] = drawn(scores, predicted, rng, [40])
    holes = np.where(np.arange(40) < 5, np.nan, whole.scores)
    partly = Round(holes, whole.predicted, N, whole.rest_sum, whole.rest_min, whole.rest_max, 0.0, 0)
    for side, total in ((Side.ABOVE, float(np.nansum(holes)) + 2), (Side.BELOW, float(np.nansum(holes)) + 20)):
        assert log_evidence([partly], total, side) <= log_evidence([whole], total, side)
