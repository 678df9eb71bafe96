"""A query-level head that starts from the mean scores by subject and learns what the question adds.

The score of an expert on one question is mostly noise, and a head that learns scores freely loses to the means by
subject. This head weights those means by the probability of each subject and fits a ridge regression to the residuals,
with a penalty chosen by cross-validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, FrozenFeatureKind, Matrix
from benchcoe_jobs.routers.embedding import TwoViewFeatures
from benchcoe_jobs.routers.linear import LogisticHead, column_products
from benchcoe_jobs.routers.refits import Refits, refits
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

FOLDS = 5

# Ridge penalties, from nearly none to little more than the means by subject.
PENALTIES = (30.0, 100.0, 300.0, 1000.0)


class _Stored(StoredConfig):
    subjects: list[str] = Field(min_length=1)
    penalty: float = Field(gt=0)


class BlendHead:
    """Expected score = sum over subjects of P(subject) x the expert's mean on it, + a ridge on the residual."""

    def __init__(self) -> None:
        self._subjects: tuple[str, ...] = ()
        self._penalty = PENALTIES[-1]
        self._classifier: LogisticHead | None = None  # None: there is only one subject
        self._out_of_fold: Floats | None = None  # of the last fit, for predict_held_out_subjects
        self._means: Floats = np.zeros((0, 0))  # (k, subjects)
        self._weights: Floats = np.zeros((0, 0))  # (k, d)
        self._intercepts: Floats = np.zeros(0)

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn scores (n, k), NaN if unknown, and the penalty of the ridge."""
        self._subjects = tuple(sorted(set(examples.subjects)))
        fits, nothing = refits(x), np.zeros(x.shape[0], dtype=bool)
        if len(self._subjects) > 1:
            self._classifier = fits.classifier(self._codes(examples.subjects), len(self._subjects), nothing)
        self._out_of_fold = self._out_of_fold_subjects(fits, x, examples.subjects)
        self._means = _means(examples, self._subjects)
        residuals = examples.targets - self._out_of_fold @ self._means.T
        self._penalty = _best_penalty(fits, x, residuals, examples.targets)
        [(self._weights, self._intercepts)] = fits.ridges(residuals, [self._penalty], nothing)

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k). They are not clipped to [0, 1]: clipping would make ties."""
        subjects = self._probabilities(x)
        return column_products(subjects, self._means) + column_products(x, self._weights) + self._intercepts

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns; it keeps the subjects and the penalty of the first fit."""
        means = _means(examples, self._subjects)
        fits = refits(x)
        residuals = examples.targets - self._out_of_fold_subjects(fits, x, examples.subjects) @ means.T
        [(weights, intercepts)] = fits.ridges(residuals, [self._penalty], np.zeros(x.shape[0], dtype=bool))
        grown = self.restore(self.config(), self.arrays())
        grown._means = np.vstack([self._means, means])
        grown._weights = np.vstack([self._weights, weights])
        grown._intercepts = np.concatenate([self._intercepts, intercepts])
        return grown

    def predict_held_out_subjects(self, x: Matrix, examples: Examples) -> Floats:
        """Predictions (n, k) for the examples of `fit`, each as if its subject had not been in training.

        The probability of the question's subject is shared among the others in proportion; the ridge is fitted again.
        """
        own, fits = self._codes(examples.subjects), refits(x)
        subjects = (
            self._out_of_fold_subjects(fits, x, examples.subjects)
            if self._out_of_fold is None
            else self._out_of_fold.copy()
        )
        residuals = examples.targets - subjects @ self._means.T
        subjects[np.arange(len(own)), own] = 0.0
        subjects /= np.maximum(subjects.sum(axis=1, keepdims=True), 1e-12)
        predictions = subjects @ self._means.T
        for number in range(len(self._subjects)):
            out = own == number
            has = (~np.isnan(residuals[~out])).any(axis=0)
            [(weights, intercepts)] = fits.ridges(residuals[:, has], [self._penalty], out)
            predictions[np.ix_(out, has)] += column_products(x[out], weights) + intercepts
        return predictions

    def predict_out_of_fold(self, x: Matrix, examples: Examples) -> Floats:
        """Predictions (n, k) for the examples of `fit`, each without the question in subject classifier and ridge.

        The means by subject and the penalty are those of the fit.
        """
        fits = refits(x)
        subjects = (
            self._out_of_fold_subjects(fits, x, examples.subjects) if self._out_of_fold is None else self._out_of_fold
        )
        predictions = subjects @ self._means.T
        residuals = examples.targets - predictions
        for held_out in _folds(x.shape[0]):
            has = (~np.isnan(residuals[~held_out])).any(axis=0)
            [(weights, intercepts)] = fits.ridges(residuals[:, has], [self._penalty], held_out)
            predictions[np.ix_(held_out, has)] += column_products(x[held_out], weights) + intercepts
        return predictions

    def config(self) -> dict[str, Any]:
        """The subjects and the chosen penalty."""
        return {"subjects": list(self._subjects), "penalty": self._penalty}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The subject classifier, the means by subject, and the ridge on the residual."""
        classifier = self._classifier.arrays() if self._classifier else {}
        return {f"subject_{name}": array for name, array in classifier.items()} | {
            "means": self._means,
            "weights": self._weights,
            "intercepts": self._intercepts,
        }

    @property
    def shape(self) -> tuple[int, int]:
        """See `Head`."""
        return self._weights.shape[0], self._weights.shape[1]

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The head back from `config()` and `arrays()`. Raises ValueError if they do not fit together."""
        stored = _Stored.model_validate(config)
        head = cls()
        head._subjects, head._penalty = tuple(stored.subjects), stored.penalty
        head._weights = stored_array(arrays, "weights", (None, None))
        outputs, width = head.shape
        head._intercepts = stored_array(arrays, "intercepts", (outputs,))
        head._means = stored_array(arrays, "means", (outputs, len(head._subjects)))
        prefix = "subject_"
        if classifier := {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}:
            head._classifier = LogisticHead.restore({}, classifier)
        of_subjects = head._classifier.shape if head._classifier else (1, width)
        if of_subjects != (len(head._subjects), width):
            raise ValueError(f"the subject classifier is {of_subjects}, not {(len(head._subjects), width)}")
        return head

    def _probabilities(self, x: Matrix) -> Floats:
        return self._classifier.predict(x) if self._classifier else np.ones((x.shape[0], 1))

    def _codes(self, subjects: Sequence[str]) -> NDArray[np.intp]:
        """The numbers (n,) of the subjects, -1 for one that was not in training."""
        number = {subject: code for code, subject in enumerate(self._subjects)}
        return np.array([number.get(subject, -1) for subject in subjects], dtype=np.intp)

    def _out_of_fold_subjects(self, fits: Refits, x: Matrix, subjects: Sequence[str]) -> Floats:
        """Probabilities (n, subjects) of each question from a classifier that was fitted without it (cross-validation).

        A classifier is more confident of the questions that it was fitted on than of any other.
        """
        probabilities = self._probabilities(x)
        if self._classifier is None:
            return probabilities
        codes = self._codes(subjects)
        for held_out in _folds(x.shape[0]):
            left_out = held_out | (codes < 0)
            if not left_out.all():
                classifier = fits.classifier(codes, len(self._subjects), left_out)
                probabilities[held_out] = classifier.predict(x[held_out])
        return probabilities


BLEND = FrozenFeatureKind(TwoViewFeatures, {Level.QUERY: {"ridge": BlendHead}})


def _means(examples: Examples, subjects: Sequence[str]) -> Floats:
    """Mean scores (k, subjects). The expert's overall mean counts as one more question of each subject."""
    of_all = np.nanmean(examples.targets, axis=0)
    subject_of = np.array(examples.subjects)
    means = np.empty((len(of_all), len(subjects)))
    for column, subject in enumerate(subjects):
        of_subject = examples.targets[subject_of == subject]
        means[:, column] = (np.nansum(of_subject, axis=0) + of_all) / ((~np.isnan(of_subject)).sum(axis=0) + 1)
    return means


def _best_penalty(fits: Refits, x: Matrix, residuals: Floats, scores: Floats) -> float:
    """The penalty whose out-of-fold predictions separate the experts of a question best.

    The errors are those of the scores less their mean over the experts of the question: the difficulty of a question
    can be learned with a smaller penalty, but it does not change which expert is best.
    """
    known = ~np.isnan(scores)
    errors = np.zeros(len(PENALTIES))
    for held_out in _folds(x.shape[0]):
        has = known[~held_out].any(axis=0)  # a column without a known score in this fold cannot be fitted
        fitted = fits.ridges(residuals[:, has], PENALTIES, held_out)
        for number, (weights, intercepts) in enumerate(fitted):
            wrong = column_products(x[held_out], weights) + intercepts - residuals[np.ix_(held_out, has)]
            scored = wrong[(~np.isnan(wrong)).any(axis=1)]
            errors[number] += np.nansum((scored - np.nanmean(scored, axis=1, keepdims=True)) ** 2)
    return PENALTIES[int(np.argmin(errors))] if errors.any() else PENALTIES[-1]


def _folds(n: int) -> Iterator[NDArray[np.bool_]]:
    """Masks (n,) of the rows that are held out together, the same for equal n; no fold for a single question."""
    fold = np.random.default_rng(0).permutation(n) % FOLDS
    for number in range(FOLDS):
        if (fold == number).any() and (fold != number).any():
            yield fold == number
