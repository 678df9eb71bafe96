"""How many clusters: the number whose labels route best in cross-validation within the training questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats

CANDIDATES = (2, 3, 4, 6, 8, 11, 16, 23, 32)
MIN_QUESTIONS = 40
"""Training questions per cluster, on average, that a candidate needs: labels of fewer are mostly chance."""

_FOLDS = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen number of clusters, and the cross-validated accuracy of their labels by number of clusters.

    `accuracies[1]` is that of the best single expert. `n` questions were scored by every expert.
    """

    k: int
    accuracies: Mapping[int, float]
    n: int


def choose(codes_of: Mapping[int, NDArray[np.intp]], scores: Floats) -> Choice:
    """The number of clusters of training questions, from their scores (n, experts), NaN if unknown.

    `codes_of` has the cluster of each question (n,) by number of clusters. Clusters depend on texts alone, so they may
    be learned from all training questions; which expert labels a cluster is learned on nine tenths of the questions and
    measured on the last, in turn. Of the numbers that are not worse than the best one by more than one standard error
    of the difference, the smallest is chosen.
    """
    rows = np.flatnonzero(~np.isnan(scores).any(axis=1))
    known = scores[rows]
    fold = np.random.default_rng(0).permutation(len(rows)) % _FOLDS
    earned = {1: _earned(known, np.zeros(len(rows), dtype=np.intp), fold)}
    for k, codes in codes_of.items():
        earned[k] = _earned(known, codes[rows], fold)
    best = max((k for k in earned if k > 1), key=lambda k: float(earned[k].mean()))
    k = min(k for k in earned if k > 1 and not _surely_worse(earned[best] - earned[k]))
    return Choice(k, {k: float(each.mean()) for k, each in earned.items()}, len(rows))


def candidates(n_questions: int) -> list[int]:
    """The numbers of clusters that are tried with `n_questions` training questions; none if they are too few."""
    return [k for k in CANDIDATES if k * MIN_QUESTIONS <= n_questions]


def _earned(scores: Floats, codes: NDArray[np.intp], fold: NDArray[np.intp]) -> Floats:
    """The score (n,) of the expert that labels the cluster of each question without the question's own fold.

    A cluster that the other folds do not have gets the best single expert.
    """
    earned = np.empty(len(scores))
    for held_out in range(_FOLDS):
        train, test = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        totals = np.zeros((codes.max() + 1, scores.shape[1]))
        np.add.at(totals, codes[train], scores[train])
        label = np.where(totals.any(axis=1), totals.argmax(axis=1), scores[train].sum(axis=0).argmax())
        earned[test] = scores[test, label[codes[test]]]
    return earned


def _surely_worse(difference: Floats) -> bool:
    """Whether the mean of paired differences (n,) is above its standard error."""
    return bool(difference.mean() * len(difference) ** 0.5 > difference.std(ddof=1))
