"""The fallback: questions unlike those of training go to the best single expert.

On such questions a router loses to the best single expert. The familiarity of a question is its mean cosine to the five
most similar training questions, times the probability of the predicted subject for a subject-level router. Below a
threshold the best single expert answers. The threshold is calibrated in training on held-out subjects. If the router
does not gain in cross-validation on questions like those of training, the best single expert answers every question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Annotated, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, Head, Matrix
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

NEIGHBOURS = 5
MAX_TRAINING_VECTORS = 20_000
SUBJECT_FOLDS = 14
_RANDOM_FOLDS = 5

# Shares of in-distribution questions are tried in this step, up to the largest that is allowed.
_STEP = 0.1

# A router is made for in-distribution questions: by default no larger share of them falls back.
DEFAULT_MAX_FALLBACK = 0.4
_CONFIDENCE = 0.95

# An expert with scores on a smaller share of the questions than the best covered expert is not compared.
_COVERED = 0.95
_BLOCK = 1 << 24


@runtime_checkable
class HeldOutSubjectHead(Protocol):
    """A head that can predict as if the subject of a question had not been in training."""

    def predict_held_out_subjects(self, x: Matrix, examples: Examples) -> Floats:
        """Predictions (n, k) for the examples that the head was fitted on, each without its own subject."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measurement behind the threshold: gains over the best single expert on held-out subjects, as fractions.

    `share` of in-distribution questions and `left_out_share` of questions on held-out subjects fall back. `gain` is
    measured with the fallback, `gain_without` without; `low` is the lower end of the 95 % interval of `gain`. `n`
    questions were scored. `cross_validated` is the gain on in-distribution questions without the fallback; None in
    artifacts of earlier releases. If it is not positive, every question falls back.
    """

    share: float
    left_out_share: float
    gain: float
    low: float
    gain_without: float
    n: int
    cross_validated: float | None = None


class _StoredCalibration(StoredConfig):
    share: float
    left_out_share: float
    gain: float
    low: float
    gain_without: float
    n: int
    cross_validated: float | None = None


class _Stored(StoredConfig):
    """`sparse` is the shape of the training vectors, None if they are dense."""

    threshold: float
    calibration: _StoredCalibration
    sparse: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)] | None


@dataclass(frozen=True, slots=True)
class Fallback:
    """The vectors of training questions, and how familiar a question must be to be routed."""

    training_vectors: Matrix
    threshold: float
    calibration: Calibration
    _by_feature: Matrix = field(init=False, repr=False, compare=False)
    """The training vectors by their features (d, n). Of a sparse matrix only the rows of a question's words are read;
    otherwise each product would begin by sorting all training vectors anew."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_feature", _transposed(self.training_vectors))

    def familiarity(self, level: Level, x: Matrix, predictions: Floats) -> Floats:
        """The familiarity of n questions (n,); x (n, d) has rows of length one, `predictions` are the router's (n, k).

        See the module's docstring for the definition.
        """
        return _similarity(x, self._by_feature, NEIGHBOURS) * _confidence(level, predictions)

    def config(self) -> dict[str, Any]:
        """The threshold, its calibration, and the shape of the training vectors if they are sparse."""
        shape = list(self.training_vectors.shape) if sparse.issparse(self.training_vectors) else None
        calibration = {name: value for name, value in asdict(self.calibration).items() if value is not None}
        return {"threshold": self.threshold, "calibration": calibration, "sparse": shape}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The training vectors."""
        if not sparse.issparse(self.training_vectors):
            return {"known": np.asarray(self.training_vectors)}
        return {part: getattr(self.training_vectors, part) for part in ("data", "indices", "indptr")}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The fallback back from `config()` and `arrays()`. Raises ValueError if they do not fit together."""
        stored = _Stored.model_validate(config)
        vectors: Matrix
        if stored.sparse is None:
            vectors = stored_array(arrays, "known", (None, None))
        else:
            data = stored_array(arrays, "data", (None,))
            indices = stored_array(arrays, "indices", data.shape, kind="i")
            indptr = stored_array(arrays, "indptr", (stored.sparse[0] + 1,), kind="i")
            vectors = sparse.csr_matrix((data, indices, indptr), shape=stored.sparse)
            vectors.check_format(full_check=True)
        if not vectors.shape[0]:
            raise ValueError("there are no training vectors")
        return cls(vectors, stored.threshold, Calibration(**stored.calibration.model_dump()))


Refit = Callable[[Matrix, Examples], Head]
"""Fits another head of the same kind on features (n, d) and examples."""


def unseen_predictions(level: Level, refit: Refit, x: Matrix, examples: Examples) -> Floats:
    """Predictions (n, k) for examples with features `x`, of heads that were fitted without the question's fold.

    An output that no other fold has an example of is predicted as -inf.
    """
    return _held_out_predictions(level, refit, x, examples, random_folds(len(examples.subjects)))


def in_distribution_familiarity(level: Level, x: Matrix, unseen: Floats) -> Floats:
    """The familiarity (n,) of questions of training as if they were new; `unseen` is that of `unseen_predictions`.

    At subject level a head is more confident of the questions that it was fitted on than of any other.
    """
    return _similarity(x, _transposed(x), NEIGHBOURS, skips_itself=True) * _confidence(level, unseen)


def calibrate(
    level: Level,
    head: Head,
    refit: Refit,
    x: Matrix,
    examples: Examples,
    scores: Floats,
    max_share: float,
    unseen: Floats,
) -> Fallback | None:
    """The fallback of a head that was fitted on examples with features `x`; None if no gain can be measured.

    `scores` (n, experts), NaN if unknown, are what each expert scored on the questions, `unseen` the predictions of
    `unseen_predictions`. The smallest share of
    in-distribution questions is chosen with which the gain on held-out subjects is significantly not negative. It is
    at most `max_share`; the calibration then reports the harm that remains. Every question falls back if the gain on
    in-distribution questions, in cross-validation, is not positive: labels from few questions are mostly chance.
    """
    if len(set(examples.subjects)) < 3:
        return None
    subjects = np.array(examples.subjects)
    predictions, familiarity = _on_held_out_subjects(level, head, refit, x, examples)
    gains = _gains(level, predictions, subjects, scores, _subject_folds(subjects))
    scored = ~np.isnan(gains)
    seen_gains = _gains(level, unseen, subjects, scores, random_folds(len(subjects)))
    if not scored.any() or np.isnan(seen_gains).all():
        return None
    cross_validated = float(np.nanmean(seen_gains))
    in_distribution = in_distribution_familiarity(level, x, unseen)
    shares = [*np.arange(0.0, max_share, _STEP).round(1).tolist(), max_share] if cross_validated > 0 else [1.0]
    threshold, calibration = _choose_threshold(in_distribution, familiarity[scored], gains[scored], shares)
    calibration = replace(calibration, cross_validated=cross_validated)
    kept = np.sort(np.random.default_rng(0).permutation(len(subjects))[:MAX_TRAINING_VECTORS])
    return Fallback(x[kept], threshold, calibration)


def _on_held_out_subjects(
    level: Level, head: Head, refit: Refit, x: Matrix, examples: Examples
) -> tuple[Floats, Floats]:
    """Predictions (n, k) and familiarity (n,) of each question as if its subject had not been in training."""
    folds = _subject_folds(np.array(examples.subjects))
    predictions = (
        head.predict_held_out_subjects(x, examples)
        if isinstance(head, HeldOutSubjectHead)
        else _held_out_predictions(level, refit, x, examples, folds)
    )
    similarity = np.empty(len(examples.subjects))
    for held_out in folds:
        similarity[held_out] = _similarity(x[held_out], _transposed(x[~held_out]), NEIGHBOURS)
    return predictions, similarity * _confidence(level, predictions)


def _choose_threshold(
    in_distribution: Floats, familiarity: Floats, gains: Floats, shares: Sequence[float]
) -> tuple[float, Calibration]:
    """The threshold of the smallest share without significant harm, and what was measured with it.

    `shares` are tried in their order. `in_distribution` (n,) is the familiarity of in-distribution questions;
    `familiarity` and `gains` (m,) are those of questions on held-out subjects.
    """
    # The last share is accepted in any case. The others are tests, and any of them may pass by chance.
    sigmas = _sigmas(1 - (1 - _CONFIDENCE) / max(1, len(shares) - 1))
    for share in shares:
        threshold = _threshold(in_distribution, share)
        kept = np.where(familiarity < threshold, 0.0, gains)
        if _lower_bound(kept, sigmas) >= 0:
            break
    return threshold, Calibration(
        share=share,
        left_out_share=float((familiarity < threshold).mean()),
        gain=float(kept.mean()),
        low=_lower_bound(kept, _sigmas(_CONFIDENCE)),
        gain_without=float(gains.mean()),
        n=len(kept),
    )


def _confidence(level: Level, predictions: Floats) -> Floats:
    """The probability of the predicted subject (n,); ones for a query-level router, which predicts no subject."""
    return predictions.max(axis=1) if level is Level.SUBJECT else np.ones(len(predictions))


def _threshold(familiarity: Floats, share: float) -> float:
    """The familiarity below which `share` of the questions are. It lies in [-1, 1]: -2 is below all, 2 above."""
    return {0.0: -2.0, 1.0: 2.0}.get(share, float(np.quantile(familiarity, share)))


def _sigmas(confidence: float) -> float:
    """Half the width of a two-sided interval, in standard errors."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _lower_bound(values: Floats, sigmas: float) -> float:
    """The mean less `sigmas` standard errors."""
    return float(values.mean() - sigmas * values.std() / np.sqrt(len(values)))


def _subject_folds(subjects: NDArray[np.str_]) -> list[NDArray[np.bool_]]:
    """Masks (n,) of the questions that are held out together: one subject, or several if there are many."""
    _, code = np.unique(subjects, return_inverse=True)
    return [code % SUBJECT_FOLDS == fold for fold in range(min(SUBJECT_FOLDS, code.max() + 1))]


def random_folds(n: int) -> list[NDArray[np.bool_]]:
    """Masks (n,) of the questions that are held out together, whatever their subjects; the same for equal n."""
    fold_of = np.random.default_rng(0).permutation(n) % _RANDOM_FOLDS
    return [fold_of == fold for fold in range(min(n, _RANDOM_FOLDS))]


def _held_out_predictions(
    level: Level, refit: Refit, x: Matrix, examples: Examples, folds: Sequence[NDArray[np.bool_]]
) -> Floats:
    """Predictions (n, k) of heads that were fitted without the fold of a question; -inf for outputs without targets."""
    predictions = np.full(examples.targets.shape, -np.inf)
    for held_out in folds:
        rest = examples.take(np.flatnonzero(~held_out))
        known = ~np.isnan(rest.targets) if level is Level.QUERY else rest.targets == 1.0
        columns = np.flatnonzero(known.any(axis=0))
        learned = Examples(rest.questions, rest.subjects, rest.targets[:, columns])
        if len(columns) > 1:
            predictions[np.ix_(held_out, columns)] = refit(x[~held_out], learned).predict(x[held_out])
        else:
            predictions[np.ix_(held_out, columns)] = 1.0
    return predictions


def _gains(
    level: Level,
    predictions: Floats,
    subjects: NDArray[np.str_],
    scores: Floats,
    folds: Sequence[NDArray[np.bool_]],
) -> Floats:
    """The score of the chosen expert less that of the best single expert (n,), NaN if either is unknown.

    Both experts are the best on the questions that were not held out together with the question. `folds` are masks
    (n,) of the questions that were.
    """
    names = np.unique(subjects)
    gains = np.full(len(subjects), np.nan)
    n_scored = (~np.isnan(scores)).sum(axis=0)
    covered = np.where(n_scored >= _COVERED * n_scored.max(), scores, np.nan)
    for held_out in folds:
        best_single = _best(covered[~held_out])
        if level is Level.SUBJECT:
            best_of = np.array([_best(scores[~held_out & (subjects == name)], best_single) for name in names])
            chosen = best_of[predictions[held_out].argmax(axis=1)]
        else:
            chosen = predictions[held_out].argmax(axis=1)
        fold_scores = scores[held_out]
        gains[held_out] = fold_scores[np.arange(len(fold_scores)), chosen] - fold_scores[:, best_single]
    return gains


def _best(scores: Floats, default: int = 0) -> int:
    """The expert with the highest mean among those with nearly as many scores as the best covered expert.

    `default` if no expert has a score.
    """
    n_scored = (~np.isnan(scores)).sum(axis=0)
    if not n_scored.any():
        return default
    means = np.nansum(scores, axis=0) / np.maximum(n_scored, 1)
    return int(np.where(n_scored >= _COVERED * n_scored.max(), means, -1.0).argmax())


def _transposed(vectors: Matrix) -> Matrix:
    """The transpose (d, n), with sparse rows in order."""
    return sparse.csr_matrix(vectors.T) if sparse.issparse(vectors) else vectors.T


def _similarity(x: Matrix, others: Matrix, k: int, *, skips_itself: bool = False) -> Floats:
    """The mean of the k highest cosines of each row of `x` (n, d) to columns of `others` (d, m): (n,).

    With `skips_itself`, `others` is the transpose of `x` and the highest cosine, that of a row to itself, is left out.
    """
    first, k = (1, k + 1) if skips_itself else (0, k)
    k = min(k, others.shape[1])
    found = np.empty(x.shape[0])
    size = max(1, _BLOCK // others.shape[1])
    for start in range(0, x.shape[0], size):
        product: Any = x[start : start + size] @ others
        cosines = product.toarray() if sparse.issparse(product) else product
        top = -np.sort(np.partition(-cosines, k - 1, axis=1)[:, :k], axis=1)
        found[start : start + size] = top[:, min(first, k - 1) :].mean(axis=1)
    return found
