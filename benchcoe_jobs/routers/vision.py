"""Routers that look: features of a question's text beside those of its pictures.

How much the pictures count is chosen by cross-validation within the training questions. Without a gain beyond chance
they count for nothing, and the router reads the text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import Examples, Features, Head, Matrix, TrainingContext, VectorCache
from benchcoe_jobs.routers.blend import BlendHead
from benchcoe_jobs.routers.embedding import EmbeddingFeatures
from benchcoe_jobs.routers.linear import LogisticHead
from benchcoe_jobs.routers.pictures.features import PictureFeatures
from benchcoe_jobs.routers.stored import StoredConfig
from benchcoe_jobs.routers.tfidf import TfidfFeatures

SHARES = (0.0, 0.25, 0.5, 0.75)
"""The shares that pictures may have in the squared length of a question's features."""

# More questions choose the same share; the time grows with the cube of their number.
_ENOUGH = 2_000

_ROUNDING = 1e-9

_PENALTY = 3.0
"""That of the ridge head on features of the same length."""

_TEXTS: Mapping[str, type[TfidfFeatures | EmbeddingFeatures]] = {"tfidf": TfidfFeatures, "embedding": EmbeddingFeatures}


class _Stored(StoredConfig):
    text: Literal["tfidf", "embedding"]
    text_config: dict[str, Any]
    pictures: dict[str, Any]
    share: float = Field(ge=0, lt=1)


class VisionFeatures:
    """The features of the text, then those of the pictures; `share` is that of the pictures in the squared length."""

    def __init__(self, text: TfidfFeatures | EmbeddingFeatures, pictures: PictureFeatures, share: float) -> None:
        self._text, self._pictures, self._share = text, pictures, share

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Rows of length one, or zero if nothing of the question is known: (n, d), sparse without a text encoder."""
        return combined(self._text.transform(questions), self._pictures.transform(questions), self._share)

    def config(self) -> dict[str, Any]:
        """The kind and configuration of the text features, the encoder of pictures, and the share."""
        return {
            "text": next(name for name, features in _TEXTS.items() if isinstance(self._text, features)),
            "text_config": self._text.config(),
            "pictures": self._pictures.config(),
            "share": self._share,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of both, with a prefix."""
        parts: dict[str, Features] = {"text": self._text, "pictures": self._pictures}
        return {f"{part}_{name}": array for part, of in parts.items() for name, array in of.arrays().items()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The fitted features back. Raises ValueError if they do not fit together, InputError as both parts do."""
        stored = _Stored.model_validate(config)

        def of(part: str) -> dict[str, NDArray[Any]]:
            prefix = f"{part}_"
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

        text = _TEXTS[stored.text].restore(stored.text_config, of("text"), cache)
        return cls(text, PictureFeatures.restore(stored.pictures, of("pictures"), cache), stored.share)


def combined(text: Matrix, pictures: Floats, share: float) -> Matrix:
    """Text features (n, t) beside picture features (n, p), rows of length one or zero: (n, t + p), likewise.

    A question without pictures, or without a known word, has the features that it has.
    """
    text_weights, picture_weights = _weights(text, pictures, share)
    weighted = pictures * picture_weights
    if sparse.issparse(text):
        rows = sparse.diags(text_weights.ravel()) @ text
        return sparse.hstack([rows, sparse.csr_matrix(weighted)], format="csr")
    return np.hstack([text * text_weights, weighted])


def _weights(text: Matrix, pictures: Floats, share: float) -> tuple[Floats, Floats]:
    """The factor of each row's text and pictures, (n, 1) each."""
    has_text = np.asarray(abs(text).sum(axis=1)).reshape(-1, 1) > 0
    has_picture = abs(pictures).sum(axis=1, keepdims=True) > 0
    of_text, of_pictures = (1 - share) * has_text, share * has_picture
    total = of_text + of_pictures
    total[total == 0] = 1.0
    return np.sqrt(of_text / total), np.sqrt(of_pictures / total)


def best_share(text: Matrix, pictures: Floats, targets: Floats) -> float:
    """The share of pictures with which a ridge regression predicts questions best that it was not fitted on.

    It is the smallest share whose loss is not significantly above the smallest loss, so that pictures without
    information count for nothing. `targets` (n, k) are NaN if unknown.
    """
    some = np.sort(np.random.default_rng(0).permutation(text.shape[0])[:_ENOUGH])
    losses = [_losses(combined(text[some], pictures[some], share), targets[some]) for share in SHARES]
    best = losses[int(np.argmin([loss.mean() for loss in losses]))]
    above = [loss - best for loss in losses]
    chosen = next(n for n, loss in enumerate(above) if loss.mean() <= loss.std() / np.sqrt(len(loss)) + _ROUNDING)
    return SHARES[chosen]


def _losses(x: Matrix, targets: Floats) -> Floats:
    """The squared errors of each question (n,), predicted by a ridge regression on all others.

    The errors are those less their mean over the outputs: what is the same for all does not change the choice, see
    `blend`. Leave-one-out errors are exact and need one inversion: those of the fit over the diagonal (Allen 1974).
    """
    product: Any = x @ x.T
    kernel = product.toarray() if sparse.issparse(product) else np.asarray(product, dtype=np.float64)
    known = ~np.isnan(targets)
    means = np.nanmean(targets, axis=0)
    inverse = np.linalg.inv(kernel + _PENALTY * np.eye(len(kernel)))
    errors = inverse @ np.where(known, targets - means, 0.0) / np.diag(inverse)[:, None]
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, errors - np.where(known, errors, 0.0).sum(axis=1, keepdims=True) / n, 0.0)
    loss: Floats = (centred**2).sum(axis=1)
    return loss


@dataclass(frozen=True)
class VisionKind:
    """Text features, picture features, and the share of the pictures; then a head on both."""

    heads: Mapping[Level, Mapping[str, Callable[[], Head]]]
    features: type[VisionFeatures] = VisionFeatures
    learns_features: bool = False
    reads_pictures: bool = True

    def check(self, context: TrainingContext) -> None:
        """Find both encoders. Raises UsageError, InputError or MissingError if they cannot be used."""
        _text_features(context)
        PictureFeatures(context)

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, context: TrainingContext
    ) -> tuple[Features, Head]:
        """Learn the features, their weights, then the head. `validation` is not used: there are no epochs."""
        text, pictures = _text_features(context), PictureFeatures(context)
        has_text = any(question.whole.strip() for question in examples.questions)
        text.fit(examples.questions if has_text else [RouterInput(_UNUSED_WORD)])
        pictures.fit(examples.questions)
        of_text, of_pictures = text.transform(examples.questions), pictures.transform(examples.questions)
        share = best_share(of_text, of_pictures, examples.targets)
        fitted = self.heads[level][head]()
        fitted.fit(combined(of_text, of_pictures, share), examples)
        return VisionFeatures(text, pictures, share), fitted


_UNUSED_WORD = "picture"
"""The vocabulary where no question has a text: tf-idf features need one word."""


def _text_features(context: TrainingContext) -> TfidfFeatures | EmbeddingFeatures:
    if context.encoder is None and context.revision is not None:
        raise UsageError("the revision is that of the text encoder, which is not named: name both, or omit both")
    return TfidfFeatures(context) if context.encoder is None else EmbeddingFeatures(context)


VISION = VisionKind({Level.SUBJECT: {"linear": LogisticHead}, Level.QUERY: {"ridge": BlendHead}})
