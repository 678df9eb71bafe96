"""Predictions of an expert's scores from those of other experts: the control variate of the sequential test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchcoe_jobs.arrays import Floats

_FEWEST = 50
"""Scores that a fit needs. Until then the prediction is the mean score of the other experts."""

_LEAST, _MOST = 0.01, 0.99
"""The range of predictions: none is certain."""

_SUBJECT_SCALE, _EXPERT_SCALE = 0.6, 0.5
"""The scale of the indicator of a subject and of the score of one expert: the smaller, the more a fit shrinks them."""


@dataclass(frozen=True, slots=True)
class Features:
    """What predicts the scores of an expert: `values` (n, features), and a `first_guess` (n,) without a fit."""

    values: Floats
    first_guess: Floats

    @classmethod
    def of(cls, others: Floats, winners: Floats, subject_codes: NDArray[np.intp]) -> Features:
        """The features from the scores of other experts (n, experts), NaN if unknown, on the questions of subjects.

        `winners` (n,) are the scores of the best of them on the subject of each question, NaN if unknown.
        """
        known = ~np.isnan(others)
        totals, counts = np.where(known, others, 0.0).sum(axis=1), known.sum(axis=1)
        means = np.divide(totals, counts, out=np.full(len(others), 0.5), where=counts > 0)
        guess = (totals + 1) / (counts + 2)
        winning = np.where(np.isnan(winners), means, winners) - 0.5
        columns = [
            np.log(guess / (1 - guess)),
            winning,
            winning * (means - 0.5),
            *(_EXPERT_SCALE * (np.where(known, others, means[:, None]) - 0.5).T),
            *(_SUBJECT_SCALE * np.eye(int(subject_codes.max()) + 1)[subject_codes].T),
        ]
        return cls(np.column_stack(columns), guess)

    def predict(self, scores: Floats) -> Floats:
        """The predicted score of each question (n,), from the expert's own `scores` (n,) so far, NaN if unknown."""
        scored = np.flatnonzero(~np.isnan(scores))
        weights = np.concatenate([scores[scored], 1 - scores[scored]])  # a score of 0.3 is 0.3 right and 0.7 wrong
        right = np.repeat([1, 0], len(scored))
        used = weights > 0
        if len(scored) < _FEWEST or len(set(right[used])) < 2:
            return self.first_guess.clip(_LEAST, _MOST)
        model = LogisticRegression(max_iter=200)
        model.fit(np.tile(self.values[scored], (2, 1))[used], right[used], sample_weight=weights[used])
        predicted: Floats = model.predict_proba(self.values)[:, 1]
        return predicted.clip(_LEAST, _MOST)
