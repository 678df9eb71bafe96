"""Sentence embeddings as features: vectors of a frozen encoder, encoded once per text and encoder."""

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
from benchcoe_jobs.routers.window import RULE

# Vectors are kept this many at a time: what a crash can lose, less than a minute of two busy CPU cores.
_CHUNK = 256


def _whole(question: RouterInput) -> RouterInput:
    return question


def _without_choices(question: RouterInput) -> RouterInput:
    return RouterInput(question.text)


class EmbeddingFeatures:
    """Vectors of a sentence encoder, which is a folder or a hub id and is never trained.

    Raises InputError or MissingError where the encoder is not to be had, see `find_encoder`.
    """

    views: ClassVar[tuple[Callable[[RouterInput], RouterInput], ...]] = (_whole,)
    """What is encoded of a question, each into a vector of its own."""

    def __init__(self, setting: TrainingContext) -> None:
        self._encoder = find_encoder(setting.encoder or DEFAULT_ENCODER, setting.revision)
        self._cache = setting.cache

    def fit(self, questions: Sequence[RouterInput]) -> None:
        """Nothing to learn: the encoder is frozen."""

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Dense float32 rows of length one: (n, d). Only what the cache lacks is encoded."""
        parts = [self._vectors([view(question) for question in questions]) for view in self.views]
        return parts[0] if len(parts) == 1 else np.hstack(parts) / np.float32(np.sqrt(len(parts)))

    def _vectors(self, questions: Sequence[RouterInput]) -> NDArray[np.float32]:
        hashes = [_key(question) for question in questions]
        question_of = dict(zip(hashes, questions, strict=True))
        name = f"{self._encoder.fingerprint}/{RULE}"
        vectors = self._cache.get(name, list(question_of)) if self._cache else {}
        # Texts of like length side by side: a batch is padded to its longest.
        unseen = sorted((key for key in question_of if key not in vectors), key=lambda k: len(question_of[k].whole))
        for start in range(0, len(unseen), _CHUNK):
            chunk = unseen[start : start + _CHUNK]
            encoded = self._encoder.encode([question_of[key] for key in chunk])
            fresh = {key: vector.tobytes() for key, vector in zip(chunk, encoded, strict=True)}
            if self._cache:
                self._cache.put(name, fresh)
            vectors |= fresh
        return np.frombuffer(b"".join(vectors[key] for key in hashes), dtype="<f4").reshape(len(questions), -1)

    def config(self) -> dict[str, Any]:
        """Where the encoder was found, and its fingerprint."""
        found = self._encoder
        return {"encoder": found.name, "revision": found.revision, "fingerprint": found.fingerprint}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Nothing: the weights stay with the encoder."""
        return {}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The features back. Raises InputError where the encoder is not the one that was trained with."""
        features = cls(TrainingContext(encoder=config["encoder"], revision=config["revision"], cache=cache))
        if features._encoder.fingerprint != config["fingerprint"]:
            raise InputError(
                f"the router was trained with another encoder than the one now in {config['encoder']}: "
                "put that one back, or train the router again"
            )
        return features


class TwoViewFeatures(EmbeddingFeatures):
    """The vector of the question alone beside that of the question with its choices."""

    views = (_without_choices, _whole)


def _key(question: RouterInput) -> str:
    """The length of the text tells choices from lines of it: a long question is cut differently then."""
    return hashlib.sha256(f"{len(question.text)} {question.whole}".encode("utf-8", "surrogatepass")).hexdigest()


# A subject is plain from a few near questions; whether an expert is right is noisy and needs many.
EMBEDDING = FrozenFeatureKind(
    EmbeddingFeatures,
    {
        Level.SUBJECT: {"knn": partial(KnnHead, 20), "linear": LogisticHead, "mlp": PerceptronClassifier},
        Level.QUERY: {"knn": partial(KnnHead, 200), "linear": RidgeHead, "mlp": PerceptronRegressor},
    },
)
