"""The states of a cascade: the experts that were asked, what their answers look like, and which answer wins.

A state is a set of places in the chain, as the bits of a number: 0 is the start, 0b101 means that the first and the
third expert were asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.cascades.answers import NO_ANSWER, Answers, Scales

# Predicted scores are not taken for more certain than this.
_LOWEST, _HIGHEST = 0.05, 0.97

# The number of answers that a question without choices is taken to have.
_CHOICES = 10

# The weight of a response without an answer: less than any answer has.
_LEAST = -5.0


def places(state: int) -> list[int]:
    """The places of the chain that were asked in a state."""
    return [place for place in range(state.bit_length()) if state >> place & 1]


def n_features(n_experts: int, state: int) -> int:
    """The number of features of a state of a chain whose router predicts the scores of `n_experts`."""
    queried = len(places(state))
    return n_experts + (2 + 5 * queried + 2 * queried * (queried - 1) if queried else 0)


class ChainView:
    """A chain of m experts on n questions: predicted scores (n, m), and what is seen of the answers (n, m)."""

    def __init__(self, predictions: Floats, context: Floats, answers: Answers, scales: Scales) -> None:
        """`context` (n, k) are the predicted scores of all experts, which tell about the question."""
        self.n = len(predictions)
        self._context = context
        self._predicted = np.clip(predictions, _LOWEST, _HIGHEST)
        self._codes = answers.codes
        self._seen = scales.apply(answers)
        choices = np.where(answers.n_choices > 1, answers.n_choices, _CHOICES)
        self._choices = choices.astype(np.float64)
        self._weights = np.log(self._predicted / (1.0 - self._predicted)) + np.log(self._choices - 1.0)[:, None]

    def winner(self, state: int) -> NDArray[np.intp]:
        """The place (n,) of the expert whose answer wins in a state.

        Each answer has the sum of the log odds of the experts that gave it, by their predicted scores; of equal sums,
        and of experts that gave the same answer, the one that is predicted to be best.
        """
        queried = np.array(places(state))
        votes = self._votes(state)
        best = votes >= votes.max(axis=1, keepdims=True) - 1e-9
        winner: NDArray[np.intp] = queried[np.where(best, self._predicted[:, queried], -1.0).argmax(axis=1)]
        return winner

    def features(self, state: int) -> Floats:
        """What is known in a state, (n, d)."""
        columns = [*self._context.T]
        queried = places(state)
        if queried:
            probability = self._probability(state)
            columns += [probability, np.log(probability / (1.0 - probability))]
        for number, first in enumerate(queried):
            columns += [*self._seen[:, first].T, self._seen[:, first, 2] ** 2]
            for second in queried[number + 1 :]:
                agree = (self._codes[:, first] == self._codes[:, second]) & (self._codes[:, first] != NO_ANSWER)
                p, q = self._predicted[:, first], self._predicted[:, second]
                columns += [agree * 1.0, agree * p, ~agree * p, ~agree * q]
        return np.column_stack(columns)

    def _votes(self, state: int) -> Floats:
        """The vote (n, asked) of the answer of each expert that was asked."""
        queried = places(state)
        codes, weights = self._codes[:, queried], self._weights[:, queried]
        same = codes[:, :, None] == codes[:, None, :]
        votes = (same * weights[:, None, :]).sum(axis=2)
        found: Floats = np.where(codes == NO_ANSWER, _LEAST, votes)
        return found

    def _probability(self, state: int) -> Floats:
        """The probability (n,) that the winning answer is right, if experts were right independently of each other."""
        queried = places(state)
        codes, votes = self._codes[:, queried], np.clip(self._votes(state), _LEAST, 20.0)
        total = np.zeros(self.n)
        for place in range(len(queried)):
            is_new = (codes[:, place] != NO_ANSWER) & ~(codes[:, :place] == codes[:, [place]]).any(axis=1)
            total += np.where(is_new, np.exp(votes[:, place]), 0.0)
        best = np.exp(votes.max(axis=1))
        rest = np.maximum(self._choices - len(queried), 1.0)
        probability: Floats = np.clip(best / (total + rest), 1e-3, 1.0 - 1e-3)
        return probability
