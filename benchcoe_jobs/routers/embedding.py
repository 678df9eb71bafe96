"""Sentence embeddings as features: vectors of a frozen encoder, encoded once per text and encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.routers.base import Matrix, VectorCache
from benchcoe_jobs.routers.encoder import DEFAULT_ENCODER, find_encoder

# Vectors are kept this many at a time: what a crash can lose, less than a minute of two busy CPU cores.
_CHUNK = 256


class EmbeddingFeatures:
    """Vectors of a sentence encoder, which is a folder or a hub id and is never trained.

    Raises InputError or MissingError where the encoder is not to be had, see `find_encoder`.
    """

    heads: ClassVar[tuple[str, ...]] = ("knn", "linear")

    def __init__(
        self, *, encoder: str | None = None, revision: str | None = None, cache: VectorCache | None = None
    ) -> None:
        self._encoder = find_encoder(encoder or DEFAULT_ENCODER, revision)
        self._cache = cache

    def fit(self, texts: Sequence[str]) -> None:
        """Nothing to learn: the encoder is frozen."""

    def transform(self, texts: Sequence[str]) -> Matrix:
        """Dense float32 rows of length one: (n, d). Only what the cache lacks is encoded."""
        hashes = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        text_of = dict(zip(hashes, texts, strict=True))
        vectors = self._cache.get(self._encoder.fingerprint, list(text_of)) if self._cache else {}
        # Texts of like length side by side: a batch is padded to its longest.
        unseen = sorted((key for key in text_of if key not in vectors), key=lambda key: len(text_of[key]))
        for start in range(0, len(unseen), _CHUNK):
            chunk = unseen[start : start + _CHUNK]
            encoded = self._encoder.encode([text_of[key] for key in chunk])
            fresh = {key: vector.tobytes() for key, vector in zip(chunk, encoded, strict=True)}
            if self._cache:
                self._cache.put(self._encoder.fingerprint, fresh)
            vectors |= fresh
        return np.frombuffer(b"".join(vectors[key] for key in hashes), dtype="<f4").reshape(len(texts), -1)

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
        features = cls(encoder=config["encoder"], revision=config["revision"], cache=cache)
        if features._encoder.fingerprint != config["fingerprint"]:
            raise InputError(
                f"the router was trained with another encoder than the one now in {config['encoder']}: "
                "put that one back, or train the router again"
            )
        return features
