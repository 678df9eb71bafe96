"""Decode the images of a request."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from benchcoe_jobs.engines.errors import EngineError, first_line
from benchcoe_jobs.errors import MissingError

if TYPE_CHECKING:
    from PIL import Image

_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}


def open_image(encoded: bytes) -> Image.Image:
    """An encoded image as RGB pixels. Raises EngineError if it cannot be decoded, MissingError without Pillow."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingError("images need more packages: pip install 'benchcoe-jobs[engines]'") from error
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.convert("RGB")
    except UnidentifiedImageError as error:  # its message is only the address of an object
        raise EngineError("an image cannot be decoded: unknown format") from error
    except Exception as error:  # Pillow raises many types, one of them a warning about decompression bombs
        raise EngineError(f"an image cannot be decoded: {first_line(error)}") from error


def media_type(encoded: bytes) -> str:
    """The media type of an encoded image by its first bytes. Raises EngineError if they are unknown."""
    for start, name in _TYPES.items():
        if encoded.startswith(start):
            return name
    raise EngineError("an image cannot be decoded: it is neither PNG, JPEG, WebP nor GIF")
