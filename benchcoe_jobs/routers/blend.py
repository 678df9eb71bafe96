"""A query-level router that also knows the subject: subject table first, then what the question adds.

Whether an expert is right on one question is mostly noise, so a head that learns scores freely loses to
the plain means by subject. This one starts from those means, weighted by how likely each subject is,
and learns only what they leave unexplained, shrunk as far as cross-validation says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, FrozenFeatureKind, Matrix
from benchcoe_jobs.routers.embedding import TwoViewFeatures
from benchcoe_jobs.routers.linear import LogisticHead, column_products, ridge

FOLDS = 5

# Ridge penalties, from "nearly free" to "little more than the subject table".
PENALTIES = (30.0, 100.0, 300.0, 1000.0)


class BlendHead:
    """Expected score = sum over subjects of P(subject) x the expert's mean there, + a ridge on the rest."""

    def __init__(self) -> None:
        self._subjects: tuple[str, ...] = ()
        self._penalty = PENALTIES[-1]
        self._classifier: LogisticHead | None = None  # None: there is a single subject
        self._unseen: Floats | None = None  # of the last fit, for what asks again
        self._means: Floats = np.zeros((0, 0))  # (k, subjects)
        self._weights: Floats = np.zeros((0, 0))  # (k, d)
        self._intercepts: Floats = np.zeros(0)

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn scores (n, k), NaN where unknown, and how far to trust single questions."""
        self._subjects = tuple(sorted(set(examples.subjects)))
        self._classifier = _classifier(x, examples.subjects, self._subjects)
        self._unseen = self._subjects_unseen(x, examples.subjects)
        means = _means(examples, self._subjects)
        left = examples.targets - self._unseen @ means.T
        self._penalty = _best_penalty(x, left, examples.targets)
        self._means, (self._weights, self._intercepts) = means, ridge(x, left, self._penalty)

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k). They may leave [0, 1] a little: clipping would make ties."""
        subjects = self._probabilities(x)
        return column_products(subjects, self._means) + column_products(x, self._weights) + self._intercepts

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns; subjects and penalty are those that were learned at first."""
        means = _means(examples, self._subjects)
        left = examples.targets - self._subjects_unseen(x, examples.subjects) @ means.T
        weights, intercepts = ridge(x, left, self._penalty)
        grown = self.restore(self.config(), self.arrays())
        grown._means = np.vstack([self._means, means])
        grown._weights = np.vstack([self._weights, weights])
        grown._intercepts = np.concatenate([self._intercepts, intercepts])
        return grown

    def subjects_left_out(self, x: Matrix, examples: Examples) -> Floats:
        """Predictions (n, k) for the examples of `fit`, each as though its subject had never been seen.

        The other subjects' probabilities share what the question's own had; the ridge is learned again.
        """
        own = np.array([self._subjects.index(subject) for subject in examples.subjects])
        subjects = self._subjects_unseen(x, examples.subjects) if self._unseen is None else self._unseen.copy()
        left = examples.targets - subjects @ self._means.T
        subjects[np.arange(len(own)), own] = 0.0
        subjects /= np.maximum(subjects.sum(axis=1, keepdims=True), 1e-12)
        predictions = subjects @ self._means.T
        for number in range(len(self._subjects)):
            out = own == number
            has = (~np.isnan(left[~out])).any(axis=0)
            weights, intercepts = ridge(x[~out], left[np.ix_(~out, has)], self._penalty)
            predictions[np.ix_(out, has)] += column_products(x[out], weights) + intercepts
        return predictions

    def config(self) -> dict[str, Any]:
        """The subjects, and the penalty that was chosen."""
        return {"subjects": list(self._subjects), "penalty": self._penalty}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The subject classifier, the means by subject, and the weights of the rest."""
        classifier = self._classifier.arrays() if self._classifier else {}
        return {f"subject_{name}": array for name, array in classifier.items()} | {
            "means": self._means,
            "weights": self._weights,
            "intercepts": self._intercepts,
        }

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The head back from `config()` and `arrays()`."""
        head = cls()
        head._subjects, head._penalty = tuple(config["subjects"]), config["penalty"]
        prefix = "subject_"
        if classifier := {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}:
            head._classifier = LogisticHead.restore({}, classifier)
        head._means, head._weights, head._intercepts = arrays["means"], arrays["weights"], arrays["intercepts"]
        return head

    def _probabilities(self, x: Matrix) -> Floats:
        return self._classifier.predict(x) if self._classifier else np.ones((x.shape[0], 1))

    def _subjects_unseen(self, x: Matrix, subjects: Sequence[str]) -> Floats:
        """Probabilities (n, subjects) of each question by a classifier that was not shown its subject.

        On questions that it has learned a classifier is surer than it will ever be again.
        """
        probabilities = self._probabilities(x)
        for seen, unseen in _folds(x.shape[0]):
            known = np.array([subject in self._subjects for subject in subjects])[seen]
            named = [subjects[row] for row in seen[known].tolist()]
            present = tuple(sorted(set(named)))
            probabilities[unseen] = 0.0
            columns = np.array([self._subjects.index(subject) for subject in present])
            classifier = _classifier(x[seen[known]], named, present)
            probabilities[np.ix_(unseen, columns)] = classifier.predict(x[unseen]) if classifier else 1.0
        return probabilities


BLEND = FrozenFeatureKind(TwoViewFeatures, {Level.QUERY: {"ridge": BlendHead}})


def _classifier(x: Matrix, subjects: Sequence[str], names: Sequence[str]) -> LogisticHead | None:
    if len(names) < 2:
        return None
    column_of = {name: column for column, name in enumerate(names)}
    one_hot = np.eye(len(names))[[column_of[subject] for subject in subjects]]
    head = LogisticHead()
    head.fit(x, Examples((), subjects, one_hot))
    return head


def _means(examples: Examples, subjects: Sequence[str]) -> Floats:
    """Mean score (k, subjects). The expert's mean over all counts as one more question of each subject."""
    of_all = np.nanmean(examples.targets, axis=0)
    subject_of = np.array(examples.subjects)
    means = np.empty((len(of_all), len(subjects)))
    for column, subject in enumerate(subjects):
        of_subject = examples.targets[subject_of == subject]
        means[:, column] = (np.nansum(of_subject, axis=0) + of_all) / ((~np.isnan(of_subject)).sum(axis=0) + 1)
    return means


def _best_penalty(x: Matrix, left: Floats, scores: Floats) -> float:
    """The penalty whose out-of-fold predictions tell the experts of a question apart best.

    Judged on scores less the mean of their question: how hard a question is can be learned with less
    shrinking, but shifts all experts alike and chooses none.
    """
    if x.shape[0] < 2:
        return PENALTIES[-1]
    known = ~np.isnan(scores)
    errors = np.zeros(len(PENALTIES))
    for seen, unseen in _folds(x.shape[0]):
        has = known[seen].any(axis=0)  # a column without a known score in this part cannot be scored
        for number, penalty in enumerate(PENALTIES):
            weights, intercepts = ridge(x[seen], left[np.ix_(seen, has)], penalty)
            wrong = column_products(x[unseen], weights) + intercepts - left[np.ix_(unseen, has)]
            scored = wrong[(~np.isnan(wrong)).any(axis=1)]
            errors[number] += np.nansum((scored - np.nanmean(scored, axis=1, keepdims=True)) ** 2)
    return PENALTIES[int(np.argmin(errors))]


def _folds(n: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(learned from, left out) of each part; the deal is always the same. Nothing for a single question."""
    fold = np.random.default_rng(0).permutation(n) % FOLDS
    for number in range(FOLDS):
        if (fold == number).any() and (fold != number).any():
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)
