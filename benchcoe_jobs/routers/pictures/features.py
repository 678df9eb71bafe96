"""Features of the pictures of a question: vectors of a frozen encoder. Each picture is encoded once per encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.groups import groups
from benchcoe_jobs.routers.base import TrainingContext, VectorCache
from benchcoe_jobs.routers.pictures.encoder import HANDMADE, find_picture_encoder, opened
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

if TYPE_CHECKING:
    from PIL import Image

# Pictures that are open at a time, and their pixels, beside the next picture: 16 photographs would have 300 MB.
_CHUNK = 16
_CHUNK_PIXELS = 32_000_000

# Columns that vary less than this share of the column that varies most are noise, which scaling would amplify.
_LEAST_DEVIATION = 1e-3


class _Stored(StoredConfig):
    encoder: str
    revision: str | None
    fingerprint: str


class PictureFeatures:
    """The vectors of a question's pictures, averaged, and standardised by their mean and deviation in training."""

    def __init__(self, context: TrainingContext) -> None:
        self._encoder = find_picture_encoder(context.image_encoder or HANDMADE, None)
        self._cache = context.cache
        self._mean: Floats = np.zeros(0)
        self._scale: Floats = np.zeros(0)

    def fit(self, questions: Sequence[RouterInput]) -> None:
        """Learn mean and deviation. Raises UsageError if no question has a picture that can be decoded."""
        vectors, has = self._averages(questions)
        if not has.any():
            raise UsageError(
                "no question has a picture to learn from: choose another kind, or add the pictures with "
                "`benchcoe-jobs add-benchmark`"
            )
        deviation = vectors[has].std(axis=0)
        varies = deviation > _LEAST_DEVIATION * max(deviation.max(), 1e-12)
        self._mean = vectors[has].mean(axis=0)
        self._scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)

    def transform(self, questions: Sequence[RouterInput]) -> Floats:
        """Rows of length one, or zero for a question without pictures: (n, d)."""
        vectors, has = self._averages(questions)
        if not has.any():
            return np.zeros((len(questions), len(self._mean)))
        if vectors.shape[1] != len(self._mean):
            raise InputError(
                f"image encoder {self._encoder.name} gives {vectors.shape[1]} values, and the router was trained on "
                f"{len(self._mean)}: train the router again"
            )
        x: Floats = (vectors - self._mean) * self._scale * has[:, None]
        length = np.linalg.norm(x, axis=1, keepdims=True)
        x /= np.where(length > 0, length, 1.0)
        return x

    def config(self) -> dict[str, Any]:
        """The name, revision and fingerprint of the encoder."""
        found = self._encoder
        return {"encoder": found.name, "revision": found.revision, "fingerprint": found.fingerprint}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The mean of the vectors, and what they are multiplied with; (d,) each."""
        return {"mean": self._mean, "scale": self._scale}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The features back. Raises InputError if the encoder has changed since training."""
        stored = _Stored.model_validate(config)
        features = cls.__new__(cls)
        features._encoder = find_picture_encoder(stored.encoder, stored.revision)
        features._cache = cache
        if features._encoder.fingerprint != stored.fingerprint:
            raise InputError(
                f"image encoder {stored.encoder} has changed since the router was trained: "
                "restore the encoder, or train the router again"
            )
        features._mean = stored_array(arrays, "mean", (None,))
        features._scale = stored_array(arrays, "scale", features._mean.shape)
        return features

    def _averages(self, questions: Sequence[RouterInput]) -> tuple[Floats, NDArray[np.bool_]]:
        """The mean vector of each question's pictures (n, d), and whether it has any (n,)."""
        vectors = self._vectors(questions)
        width = len(next(iter(vectors.values()))) if vectors else len(self._mean)
        averages = np.zeros((len(questions), width))
        has = np.zeros(len(questions), dtype=bool)
        for row, question in enumerate(questions):
            known = [vectors[picture.sha256] for picture in question.pictures if picture.sha256 in vectors]
            if known:
                averages[row], has[row] = np.mean(known, axis=0, dtype=np.float64), True
        return averages, has

    def _vectors(self, questions: Sequence[RouterInput]) -> dict[str, NDArray[np.float32]]:
        """The vectors of all pictures by their hash, without those that cannot be decoded."""
        picture_of = {picture.sha256: picture for question in questions for picture in question.pictures}
        name = self._encoder.fingerprint
        stored = self._cache.get(name, list(picture_of)) if self._cache else {}
        missing = [picture for key, picture in picture_of.items() if key not in stored]
        images = ((picture.sha256, opened(picture.read())) for picture in missing)
        decoded = ((key, image) for key, image in images if image is not None)
        for chunk in groups(decoded, _pixels, _CHUNK_PIXELS, longest=_CHUNK):
            encoded = self._encoder.encode([image for _, image in chunk])
            fresh = {key: row.tobytes() for (key, _), row in zip(chunk, encoded, strict=True)}
            if self._cache:
                self._cache.put(name, fresh)
            stored |= fresh
        return {key: np.frombuffer(vector, dtype="<f4") for key, vector in stored.items()}


def _pixels(named: tuple[str, Image.Image]) -> int:
    _, image = named
    return image.width * image.height
