"""Do no harm: a router that knows which questions it knows nothing about.

On questions unlike anything in training a router loses to the best single expert. How familiar a
question is, is the mean cosine to the five most similar training questions, times how sure a subject-level
router is of the subject; below a threshold the best single expert answers. The threshold is calibrated within
training, by leaving whole subjects out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, Head, Matrix

NEIGHBOURS = 5
REMEMBERED = 20_000
FOLDS = 14
_UNSEEN_FOLDS = 5

# Shares of questions like those of training that are tried, in this step, up to the most that is allowed.
_STEP = 0.1

# Questions like the training ones are what a router is for: without a word from its user no more of them fall back.
USUAL_MOST = 0.4
_CONFIDENCE = 0.95

# Of the questions of whoever has most scores: who has fewer is not compared.
_COVERED = 0.95
_BLOCK = 1 << 24


@runtime_checkable
class LeavesSubjectsOut(Protocol):
    """A head that can say what it would predict had it never seen a question's subject."""

    def subjects_left_out(self, x: Matrix, examples: Examples) -> Floats:
        """Predictions (n, k) for the examples that it was fitted on."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the threshold rests on: gains over the best single expert, on subjects left out, as fractions.

    `share` of questions like those of training are held unfamiliar; of questions of subjects that
    were left out it is `left_out_share`. `gain` is what remained there, `gain_without` what the router
    gained with no fallback; `low` is the lower end of the 95 % interval of `gain`.
    """

    share: float
    left_out_share: float
    gain: float
    low: float
    gain_without: float
    n: int


@dataclass(frozen=True, slots=True)
class Fallback:
    """The questions of training, and how near to them a question must be."""

    known: Matrix
    threshold: float
    calibration: Calibration

    def familiarity(self, level: Level, x: Matrix, predictions: Floats) -> Floats:
        """How familiar questions are (n,): x has rows of length one, `predictions` (n, k) are what the router says."""
        return _nearness(x, self.known, NEIGHBOURS) * _sureness(level, predictions)

    def config(self) -> dict[str, Any]:
        """The threshold, what it rests on, and the shape of a sparse memory."""
        shape = list(self.known.shape) if sparse.issparse(self.known) else None
        return {"threshold": self.threshold, "calibration": asdict(self.calibration), "sparse": shape}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The memory."""
        if not sparse.issparse(self.known):
            return {"known": np.asarray(self.known)}
        return {part: getattr(self.known, part) for part in ("data", "indices", "indptr")}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The fallback back from `config()` and `arrays()`."""
        known: Matrix = (
            sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=config["sparse"])
            if config["sparse"]
            else arrays["known"]
        )
        return cls(known, config["threshold"], Calibration(**config["calibration"]))


def calibrate(
    level: Level,
    head: Head,
    refit: Callable[[Matrix, Examples], Head],
    x: Matrix,
    examples: Examples,
    scores: Floats,
    most: float,
) -> Fallback | None:
    """The fallback of a head that was fitted on examples with features `x`; None where nothing can be scored.

    `scores` (n, experts), NaN where unknown, say what each expert would have made of the questions;
    `refit` learns a head like this one on some of them. The least share is held unfamiliar with which the gain
    on the subjects left out is surely not below zero. It is never more than `most`; the calibration then says
    what harm may remain.
    """
    subjects = np.array(examples.subjects)
    if len(set(examples.subjects)) < 3:
        return None
    parts = _parts(subjects)
    left_out = (
        head.subjects_left_out(x, examples)
        if isinstance(head, LeavesSubjectsOut)
        else _unseen(level, refit, x, examples, parts)
    )
    gains, near = _gains(level, left_out, subjects, scores), np.empty(len(subjects))
    for out in parts:
        near[out] = _nearness(x[out], x[~out], NEIGHBOURS)
    unfamiliar = near * _sureness(level, left_out)
    usual = _nearness(x, x, NEIGHBOURS, itself=True)
    if level is Level.SUBJECT:  # of questions that it has learned a head is surer than of any other
        usual = usual * _sureness(level, _unseen(level, refit, x, examples, _folds(len(subjects))))
    scored = ~np.isnan(gains)
    if not scored.any():
        return None
    tried = [*np.arange(0.0, most, _STEP).round(1).tolist(), most]
    # Whatever the last one leaves is accepted: the others are tests, any of which may pass by luck.
    sigmas = _sigmas(1 - (1 - _CONFIDENCE) / max(1, len(tried) - 1))
    for share in tried:
        threshold = _threshold(usual, share)
        kept = np.where(unfamiliar[scored] < threshold, 0.0, gains[scored])
        if _lower(kept, sigmas) >= 0:
            break
    left_out_share = float((unfamiliar[scored] < threshold).mean())
    calibration = Calibration(
        share,
        left_out_share,
        float(kept.mean()),
        _lower(kept, _sigmas(_CONFIDENCE)),
        float(gains[scored].mean()),
        len(kept),
    )
    remembered = np.sort(np.random.default_rng(0).permutation(len(subjects))[:REMEMBERED])
    return Fallback(x[remembered], threshold, calibration)


def _sureness(level: Level, predictions: Floats) -> Floats:
    """The probability of the subject that is chosen (n,); a query-level router names none: all ones."""
    return predictions.max(axis=1) if level is Level.SUBJECT else np.ones(len(predictions))


def _threshold(usual: Floats, share: float) -> float:
    """Cosines lie in [-1, 1]: 2 is above all of them, -2 below."""
    return {0.0: -2.0, 1.0: 2.0}.get(share, float(np.quantile(usual, share)))


def _sigmas(confidence: float) -> float:
    """Half the width of a two-sided interval, in standard errors."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _lower(values: Floats, sigmas: float) -> float:
    return float(values.mean() - sigmas * values.std() / np.sqrt(len(values)))


def _parts(subjects: NDArray[np.str_]) -> list[NDArray[np.bool_]]:
    """Which questions are left out together: a subject, or a few where there are many."""
    _, number = np.unique(subjects, return_inverse=True)
    return [number % FOLDS == part for part in range(min(FOLDS, number.max() + 1))]


def _folds(n: int) -> list[NDArray[np.bool_]]:
    """Which questions are left out together where subjects do not matter; the deal is always the same."""
    fold = np.random.default_rng(0).permutation(n) % _UNSEEN_FOLDS
    return [fold == number for number in range(min(n, _UNSEEN_FOLDS))]


def _unseen(
    level: Level,
    refit: Callable[[Matrix, Examples], Head],
    x: Matrix,
    examples: Examples,
    parts: Sequence[NDArray[np.bool_]],
) -> Floats:
    """Predictions (n, k) of heads that have not seen the part of a question; -inf for what they know nothing of."""
    predictions = np.full(examples.targets.shape, -np.inf)
    for out in parts:
        rest = examples.take(np.flatnonzero(~out))
        known = ~np.isnan(rest.targets) if level is Level.QUERY else rest.targets == 1.0
        columns = np.flatnonzero(known.any(axis=0))
        learned = Examples(rest.questions, rest.subjects, rest.targets[:, columns])
        if len(columns) > 1:
            predictions[np.ix_(out, columns)] = refit(x[~out], learned).predict(x[out])
        else:
            predictions[np.ix_(out, columns)] = 1.0
    return predictions


def _gains(level: Level, predictions: Floats, subjects: NDArray[np.str_], scores: Floats) -> Floats:
    """Score of the expert that is chosen less that of the best single one, (n,), NaN where one is unknown.

    Both are the best on the subjects that were not left out with the question's own.
    """
    names = np.unique(subjects)
    gains = np.full(len(subjects), np.nan)
    known = (~np.isnan(scores)).sum(axis=0)
    covered = np.where(known >= _COVERED * known.max(), scores, np.nan)
    for out in _parts(subjects):
        single = _best(covered[~out])
        if level is Level.SUBJECT:
            best_of = np.array([_best(scores[~out & (subjects == name)], single) for name in names])
            chosen = best_of[predictions[out].argmax(axis=1)]
        else:
            chosen = predictions[out].argmax(axis=1)
        held_out = scores[out]
        gains[out] = held_out[np.arange(len(held_out)), chosen] - held_out[:, single]
    return gains


def _best(scores: Floats, otherwise: int = 0) -> int:
    """The expert of the highest mean among those known on nearly as many questions as the best known.

    `otherwise` where nobody is known on any.
    """
    known = (~np.isnan(scores)).sum(axis=0)
    if not known.any():
        return otherwise
    means = np.nansum(scores, axis=0) / np.maximum(known, 1)
    return int(np.where(known >= _COVERED * known.max(), means, -1.0).argmax())


def _nearness(x: Matrix, known: Matrix, k: int, *, itself: bool = False) -> Floats:
    """Mean of the k highest cosines (n,), of the next k where x is `known` and a question meets itself."""
    first, k = (1, k + 1) if itself else (0, k)
    k = min(k, known.shape[0])
    found = np.empty(x.shape[0])
    size = max(1, _BLOCK // known.shape[0])
    for start in range(0, x.shape[0], size):
        product: Any = x[start : start + size] @ known.T
        cosines = product.toarray() if sparse.issparse(product) else product
        top = -np.sort(np.partition(-cosines, k - 1, axis=1)[:, :k], axis=1)
        found[start : start + size] = top[:, min(first, k - 1) :].mean(axis=1)
    return found
