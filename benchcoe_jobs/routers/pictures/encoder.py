"""Frozen encoders of pictures: finding one, its fingerprint, and encoding. The model is loaded on first use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.picture_opener import open_image
from benchcoe_jobs.routers.encoder import find_encoder
from benchcoe_jobs.routers.pictures import handmade

if TYPE_CHECKING:
    from PIL import Image

HANDMADE, EFFICIENTNET = "handmade", "efficientnet-lite0"
"""The encoders that are no model of transformers."""

_BATCH = 16

Encode: TypeAlias = "Callable[[Sequence[Image.Image]], NDArray[np.float32]]"
"""Features (n, d) of n RGB pictures."""


@dataclass(frozen=True)
class PictureEncoder:
    """An encoder of pictures. `name` and `revision` are those for `find_picture_encoder`."""

    name: str
    revision: str | None
    fingerprint: str
    folder: Path | None = None

    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Features of n >= 1 RGB pictures: (n, d). Raises MissingError or InputError if the model cannot be loaded."""
        return self._encode(images)

    @cached_property
    def _encode(self) -> Encode:
        if self.folder is not None:
            return _TransformersEncoder(self.name, self.folder).encode
        if self.name == EFFICIENTNET:
            from benchcoe_jobs.routers.pictures.efficientnet import EfficientNet

            return EfficientNet().encode
        return handmade.encode


@lru_cache(maxsize=4)
def find_picture_encoder(name: str, revision: str | None) -> PictureEncoder:
    """The encoder "handmade" or "efficientnet-lite0", or a folder or hub id with a model that encodes pictures.

    Cached in the process. Raises InputError if the encoder does not exist or cannot be downloaded, MissingError if it
    needs packages that are not installed.
    """
    if find_spec("PIL") is None:
        raise MissingError("a router that sees needs Pillow: pip install 'benchcoe-jobs[routers]'")
    if name == HANDMADE:
        return PictureEncoder(name, None, handmade.FINGERPRINT)
    if name == EFFICIENTNET:
        try:
            from benchcoe_jobs.routers.pictures.efficientnet import fingerprint
        except ImportError as error:
            raise _missing() from error
        return PictureEncoder(name, None, fingerprint())
    found = find_encoder(name, revision)
    return PictureEncoder(found.name, found.revision, found.fingerprint, found.folder)


def opened(file: bytes) -> Image.Image | None:
    """An encoded picture as RGB pixels; None if it cannot be decoded, which the engine of the expert reports."""
    try:
        return open_image(file)
    except InputError:
        return None


class _TransformersEncoder:
    """The image part of a model of transformers, such as CLIP, SigLIP or DINOv2."""

    def __init__(self, name: str, folder: Path) -> None:
        try:
            transformers = import_module("transformers")
        except ImportError as error:
            raise _missing() from error
        transformers.utils.logging.disable_progress_bar()
        logging.getLogger("transformers").setLevel(logging.ERROR)
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._processor: Any = transformers.AutoImageProcessor.from_pretrained(str(folder), **options)
            self._model: Any = transformers.AutoModel.from_pretrained(str(folder), use_safetensors=True, **options)
        except Exception as error:  # the library raises many types for a folder without such a model
            raise InputError(f"image encoder {name} cannot be loaded: {first_line(error)}") from error
        self._model.eval()

    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Features of n RGB pictures: (n, d)."""
        import torch

        rows = []
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                pixels = self._processor(images=list(images[start : start + _BATCH]), return_tensors="pt")
                rows.append(_pooled(self._features(**pixels)).float().cpu().numpy())
        return np.concatenate(rows).astype("<f4", copy=False)

    @property
    def _features(self) -> Any:
        # Models with a text part have a method for the image part; the others are an image part.
        return getattr(self._model, "get_image_features", self._model)


def _pooled(output: Any) -> Any:
    """One vector for each picture: the pooled output of a model, or the mean of its patches."""
    if hasattr(output, "shape"):
        return output
    pooled = getattr(output, "pooler_output", None)
    return output.last_hidden_state.mean(1) if pooled is None else pooled.flatten(1)


def _missing() -> MissingError:
    return MissingError("this image encoder needs more packages: pip install 'benchcoe-jobs[routers]'")
