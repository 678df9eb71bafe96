"""Bounds on the sum of an expert's scores on a subject that hold after every question, however often one looks.

The questions of a subject are a finite set. They are drawn at random without replacement, so the sum of the scores of
the remaining ones is an unknown constant, and a score less its prediction is an unbiased draw of their mean residual.
Betting on these residuals gives a wealth that is not expected to grow if the sum is what is bet against. It exceeds
1 / (1 - confidence) at any time with a probability of at most 1 - confidence (Ville's inequality).

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024), section 5: sampling without
replacement. Shekhar et al., "Risk-limiting financial audits via weighted sampling without replacement" (2023), section
4: predictions as a control variate. Predictions may be arbitrarily bad: the bounds stay valid and become wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from benchcoe_jobs.arrays import Floats

_STAKES = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
"""The wealth is the mean over these stakes: small ones are best for small differences, large ones for large."""

_LARGEST_LOSS = 0.9
"""The share of the wealth that one question may cost at most."""

_STEPS = 24
"""Halvings of the range of a bound, which is then exact to less than a question in ten million."""


class Side(IntEnum):
    """What is to be shown: that the sum is above a value, or below it."""

    ABOVE = 1
    BELOW = -1


@dataclass(frozen=True, slots=True)
class Round:
    """Questions that were drawn together, and what was known when they were drawn.

    `scores` (k,) are in the order of the draw, NaN for a question without an answer; `predicted` (k,) are their
    predictions in [0, 1]. The k questions were drawn from `n_rest`, whose predictions have the sum `rest_sum` and lie
    between `rest_min` and `rest_max`. `known` is the sum of the scores before, and `n_errors` the number of questions
    before without an answer.
    """

    scores: Floats
    predicted: Floats
    n_rest: int
    rest_sum: float
    rest_min: float
    rest_max: float
    known: float
    n_errors: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """A sum of scores is between `low` and `high`, each with the confidence that was asked for."""

    low: float
    high: float


def log_evidence(rounds: Sequence[Round], total: float, side: Side) -> float:
    """The logarithm of the largest wealth so far from betting that the sum of all scores is on this side of `total`.

    `total` is possible: not below the known scores, and not above what they would be if all others were 1. A question
    without an answer counts as the score that speaks most against that side: 0 for ABOVE, 1 for BELOW.
    """
    unanswered = 0.0 if side is Side.ABOVE else 1.0
    wealth = np.zeros(len(_STAKES))
    best = 0.0
    for drawn in rounds:
        scores = np.where(np.isnan(drawn.scores), unanswered, drawn.scores)
        known = drawn.known + unanswered * drawn.n_errors + _before(scores)
        left = drawn.n_rest - np.arange(len(scores))
        # What a draw would be on average if the sum of all scores were `total`.
        expected = side * (total - known - drawn.rest_sum + _before(drawn.predicted)) / left
        worst = (drawn.rest_max if side is Side.ABOVE else 1 - drawn.rest_min) + expected
        stakes = np.minimum(_STAKES, _LARGEST_LOSS / np.maximum(worst, 1e-9)[:, None])
        gains = np.log1p(stakes * (side * (scores - drawn.predicted) - expected)[:, None])
        paths = wealth + np.cumsum(gains, axis=0)
        best = max(best, float(np.logaddexp.reduce(paths, axis=1).max()) - math.log(len(_STAKES)))
        wealth = paths[-1]
    return best


def bounds(rounds: Sequence[Round], lowest: float, highest: float, confidence: float) -> Bounds:
    """The bounds on the sum of all scores, within what the known scores leave possible: `lowest` to `highest`.

    Each bound is wrong at any time with a probability of at most 1 - `confidence`.
    """
    return Bounds(
        _bound(rounds, lowest, highest, Side.ABOVE, confidence),
        _bound(rounds, highest, lowest, Side.BELOW, confidence),
    )


def needed(confidence: float) -> float:
    """The logarithm of the wealth that shows something with a confidence."""
    return -math.log1p(-confidence)


def _bound(rounds: Sequence[Round], sure: float, open_end: float, side: Side, confidence: float) -> float:
    """The last value, from the sure end towards the other, that the evidence excludes. Evidence falls on the way."""
    for _ in range(_STEPS):
        middle = (sure + open_end) / 2
        if log_evidence(rounds, middle, side) >= needed(confidence):
            sure = middle
        else:
            open_end = middle
    return sure


def _before(values: Floats) -> Floats:
    """The sum of the values before each one."""
    return np.concatenate([[0.0], np.cumsum(values)[:-1]])
