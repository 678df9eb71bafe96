"""Rounds of questions for a subject, until it is settled whether an expert wins it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.settling.sequential_test import Bounds, Round, Side, bounds, log_evidence, needed

_FIRST = 10
"""Questions of the first round."""

_GROWTH = 0.2
"""Questions of a later round, as a share of those asked before; at least `_FEWEST`."""

_FEWEST = 4

_ALMOST_ALL = 0.9
"""If a round would end above this share of the questions, it asks all: labels then rest on the scores themselves."""

_APART = 1e-6
"""How far an estimate is from the mean of a rival at least: labels must not break a tie where the test found none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a subject is settled.

    A result is wrong with a probability of at most 1 - `confidence`. Whether an expert would win by less than
    `worthwhile` (a difference of means) does not matter.
    """

    confidence: float
    worthwhile: float

    def holds(self, known: Bounds, rivals: Sequence[Rival]) -> bool:
        """Whether bounds on the mean, found with this confidence, already settle who wins."""
        return all(known.low > rival.high or known.high < rival.low + self.worthwhile for rival in rivals)


@dataclass(frozen=True, slots=True)
class Rival:
    """The best other expert of a pool on a subject: its mean is between `low` and `high`, equal if it is known."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of an expert on a subject from `n` of its questions; each bound holds with the confidence of the rule.

    `mean` is on the side of every rival on which the test has shown it to be.
    """

    n: int
    mean: float
    low: float
    high: float


def settled(
    rounds: Sequence[Round],
    scores: Floats,
    errors: NDArray[np.bool_],
    predicted: Floats,
    rivals: Sequence[Rival],
    rule: Rule,
) -> Estimate | None:
    """The estimate of a subject on which it is settled against every rival who wins; None if it is not settled yet.

    `scores` (n,) has NaN for the questions without a score, of which `errors` (n,) have been asked in vain;
    `predicted` (n,) are the present predictions. `rounds` are those that the scores came from.
    """
    n, known = len(scores), float(np.nansum(scores))
    lowest, highest = known, known + float(np.isnan(scores).sum())
    floors, ceilings = [0.0], [1.0]
    for rival in rivals:
        least, most = rival.high * n, (rival.low + rule.worthwhile) * n
        if highest < most or (lowest < most and log_evidence(rounds, most, Side.BELOW) >= needed(rule.confidence)):
            ceilings.append(rival.low - _APART)
        elif lowest > least or log_evidence(rounds, least, Side.ABOVE) >= needed(rule.confidence):
            floors.append(rival.high + _APART)
        else:
            return None
    scored = ~np.isnan(scores)
    rest = ~scored & ~errors
    residual = float((scores - predicted)[scored].mean()) if scored.any() else 0.0
    total = known + float((predicted[rest] + residual).clip(0, 1).sum()) + float(predicted[errors].sum())
    found: Bounds = bounds(rounds, lowest, highest, rule.confidence)
    mean = min(max(total / n, found.low / n, *floors), found.high / n, *ceilings)
    return Estimate(int(scored.sum()), mean, found.low / n, found.high / n)


def next_round(rest: NDArray[np.intp], n_scored: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """The questions of the next round, drawn from the rest in the order in which the test takes them."""
    wanted = max(_FEWEST, math.ceil(_GROWTH * n_scored)) if n_scored else _FIRST
    if n_scored + wanted > _ALMOST_ALL * (n_scored + len(rest)):
        wanted = len(rest)
    return rng.permutation(rest)[:wanted]
