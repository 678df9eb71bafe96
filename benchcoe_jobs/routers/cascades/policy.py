"""The policy of a cascade: in each state, whether to stop or which later expert of the chain to ask.

It is learned by fitted dynamic programming (fitted Q iteration on a finite horizon; Ernst et al. 2005) from questions
that every expert of the chain has answered. From the last states back to the start, a ridge regression of the worth
that asking adds gives the worth of each action, and the realised worth under the resulting policy is the target of the
states before. All regressions are cross-fitted: a question is never decided by weights that were learned from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.cascades.states import ChainView

FOLDS = 5
_PENALTY = 30.0


def actions(state: int, length: int) -> range:
    """The places of a chain of `length` that may be asked next: those after the last that was asked."""
    return range(state.bit_length(), length)


class CrossFit:
    """Ridge regressions on standardised features (n, d), each question predicted by one that was fitted without it."""

    def __init__(self, x: Floats, fold: NDArray[np.intp]) -> None:
        self.means, scales = x.mean(axis=0), x.std(axis=0)
        self.scales = np.where(scales > 1e-9, scales, 1.0)
        self._z = np.column_stack([(x - self.means) / self.scales, np.ones(len(x))])
        self._rows = [np.flatnonzero(fold == number) for number in range(FOLDS)]
        grams = [self._z[rows].T @ self._z[rows] for rows in self._rows]
        self._whole = np.sum(grams, axis=0)
        ridge = np.diag([*[_PENALTY] * x.shape[1], 1e-6])
        self._factors = [linalg.cho_factor(self._whole - gram + ridge) for gram in grams]
        self._factor = linalg.cho_factor(self._whole + ridge)

    def fit(self, targets: Floats) -> tuple[Floats, Floats]:
        """Targets (n, w) -> predictions (n, w) of each question by a fit without it, weights (d + 1, w) of all."""
        products = [self._z[rows].T @ targets[rows] for rows in self._rows]
        whole = np.sum(products, axis=0)
        predicted = np.empty_like(targets)
        for rows, factor, product in zip(self._rows, self._factors, products, strict=True):
            predicted[rows] = self._z[rows] @ linalg.cho_solve(factor, whole - product)
        return predicted, linalg.cho_solve(self._factor, whole)


@dataclass(frozen=True)
class Action:
    """The worth that asking an expert adds: weights (d + 1, quality weights) on standardised features of a state."""

    means: Floats
    scales: Floats
    weights: Floats

    def worth(self, features: Floats, column: int) -> Floats:
        """The worth (n,) at a quality weight, by its number."""
        weights = self.weights[:, column]
        worth: Floats = (features - self.means) / self.scales @ weights[:-1] + weights[-1]
        return worth


@dataclass(frozen=True)
class Fitted:
    """A learned policy: its actions by (state, place), and what it does on the questions that it was learned from.

    `scores` and `costs` (n, quality weights) are the score and the cost of each question, cross-fitted; costs are
    shares of the dearest expert's.
    """

    actions: Mapping[tuple[int, int], Action]
    scores: Floats
    costs: Floats

    def worth(self, weights: Sequence[float]) -> Floats:
        """The mean worth at each quality weight."""
        w = np.array(weights)
        worth: Floats = w * self.scores.mean(axis=0) - (1.0 - w) * self.costs.mean(axis=0)
        return worth


def learn(view: ChainView, scores: Floats, costs: Floats, weights: Sequence[float]) -> Fitted:
    """Learn a policy for each quality weight from the scores and costs (n, m) of a chain.

    Costs are shares of the dearest expert's.
    """
    length, w = scores.shape[1], np.array(weights)
    fold = np.random.default_rng(0).permutation(view.n) % FOLDS
    reached: dict[int, tuple[Floats, Floats]] = {}
    learned: dict[tuple[int, int], Action] = {}
    for state in range((1 << length) - 1, -1, -1):
        stopped = scores[np.arange(view.n), view.winner(state)] if state else np.zeros(view.n)
        score = np.repeat(stopped[:, None], len(w), axis=1)
        cost = np.zeros_like(score)
        reached[state] = score, cost
        if not actions(state, length):
            continue
        worth = cost if state else np.full_like(cost, -np.inf)  # one expert must be asked
        regression = CrossFit(view.features(state), fold)
        for place in actions(state, length):
            then_score, then_cost = reached[state | 1 << place]
            then_cost = then_cost + costs[:, [place]]
            gain = w * (then_score - stopped[:, None]) - (1.0 - w) * then_cost
            predicted, coefficients = regression.fit(gain)
            learned[state, place] = Action(regression.means, regression.scales, coefficients)
            better = predicted > worth
            score, cost = np.where(better, then_score, score), np.where(better, then_cost, cost)
            worth = np.where(better, predicted, worth)
        reached[state] = score, cost
    return Fitted(learned, *reached[0])
