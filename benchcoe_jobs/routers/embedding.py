"""Sentence embeddings as features: vectors of a frozen encoder. Each text is encoded once per encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.routers.base import FrozenFeatureKind, Matrix, TrainingContext, VectorCache
from benchcoe_jobs.routers.encoder import DEFAULT_ENCODER, find_encoder
from benchcoe_jobs.routers.linear import LogisticHead, RidgeHead
from benchcoe_jobs.routers.neighbours import KnnHead
from benchcoe_jobs.routers.perceptron import PerceptronClassifier, PerceptronRegressor
from benchcoe_jobs.routers.stored import StoredConfig
from benchcoe_jobs.routers.window import RULE

# Vectors are stored after this many texts, so that a crash loses less than a minute of work on two CPU cores.
_CHUNK = 256


def _whole(question: RouterInput) -> RouterInput:
    return question


def _without_choices(question: RouterInput) -> RouterInput:
    return RouterInput(question.text)


class _Stored(StoredConfig):
    encoder: str
    revision: str | None
    fingerprint: str


class EmbeddingFeatures:
    """Vectors of a frozen sentence encoder, which is a folder or a hub id.

    Raises InputError or MissingError if the encoder is not available, see `find_encoder`.
    """

    views: ClassVar[tuple[Callable[[RouterInput], RouterInput], ...]] = (_whole,)
    """The parts of a question that are encoded, each as one vector."""

    def __init__(self, context: TrainingContext) -> None:
        self._encoder = find_encoder(context.encoder or DEFAULT_ENCODER, context.revision)
        self._cache = context.cache

    def fit(self, questions: Sequence[RouterInput]) -> None:
        """Do nothing: the encoder is frozen."""

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Dense float32 rows of length one: (n, d). Only texts that the cache lacks are encoded."""
        parts = [self._vectors([view(question) for question in questions]) for view in self.views]
        return parts[0] if len(parts) == 1 else np.hstack(parts) / np.float32(np.sqrt(len(parts)))

    def _vectors(self, questions: Sequence[RouterInput]) -> NDArray[np.float32]:
        hashes = [_key(question) for question in questions]
        question_of = dict(zip(hashes, questions, strict=True))
        name = f"{self._encoder.fingerprint}/{RULE}"
        vectors = self._cache.get(name, list(question_of)) if self._cache else {}
        # Texts of similar length are encoded together: a batch is padded to its longest text.
        missing = sorted((key for key in question_of if key not in vectors), key=lambda k: len(question_of[k].whole))
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            encoded = self._encoder.encode([question_of[key] for key in chunk])
            fresh = {key: vector.tobytes() for key, vector in zip(chunk, encoded, strict=True)}
            if self._cache:
                self._cache.put(name, fresh)
            vectors |= fresh
        return np.frombuffer(b"".join(vectors[key] for key in hashes), dtype="<f4").reshape(len(questions), -1)

    def config(self) -> dict[str, Any]:
        """The name, revision and fingerprint of the encoder."""
        found = self._encoder
        return {"encoder": found.name, "revision": found.revision, "fingerprint": found.fingerprint}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Empty: the weights of the encoder are not stored."""
        return {}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The features back. Raises InputError if the encoder has changed since training."""
        stored = _Stored.model_validate(config)
        features = cls(TrainingContext(encoder=stored.encoder, revision=stored.revision, cache=cache))
        if features._encoder.fingerprint != stored.fingerprint:
            raise InputError(
                f"encoder {stored.encoder} has changed since the router was trained: "
                "restore the encoder, or train the router again"
            )
        return features


class TwoViewFeatures(EmbeddingFeatures):
    """Two vectors: of the question's text, and of the text with its choices."""

    views = (_without_choices, _whole)


def _key(question: RouterInput) -> str:
    """The cache key. It includes the length of the text: where the choices start decides how a long question is cut."""
    return hashlib.sha256(f"{len(question.text)} {question.whole}".encode("utf-8", "surrogatepass")).hexdigest()


# Few neighbours suffice to predict a subject. The scores of an expert are noisy and need many.
EMBEDDING = FrozenFeatureKind(
    EmbeddingFeatures,
    {
        Level.SUBJECT: {"knn": partial(KnnHead, 20), "linear": LogisticHead, "mlp": PerceptronClassifier},
        Level.QUERY: {"knn": partial(KnnHead, 200), "linear": RidgeHead, "mlp": PerceptronRegressor},
    },
)
