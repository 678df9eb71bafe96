"""What an engine finds out about pictures when it loads a model: whether it takes one, and what processes it."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchcoe_jobs.domain import Request
from benchcoe_jobs.engines.errors import EngineError, ModelNotFoundError, OutOfMemoryError


def try_a_picture(n_tokens: Callable[[Request], int]) -> None:
    """Process a picture. `n_tokens` gives the length of a prompt, its images included, and raises EngineError.

    Raises ModelNotFoundError if that fails, or if the chat template has no place for a picture; OutOfMemoryError.
    """
    try:
        shown, hidden = (n_tokens(Request("Look", images=images)) for images in ((_picture(),), ()))
    except OutOfMemoryError:
        raise
    except EngineError as error:
        raise ModelNotFoundError(f"its image processor fails at a picture of 64 x 48 pixels: {error}") from error
    if shown <= hidden:
        raise ModelNotFoundError("its chat template has no place for an image")


def image_versions(processor: Any) -> dict[str, str]:
    """For a run's fingerprint: the class of the image processor of a model's processor, and the opener's library.

    Image processors that use torchvision resize otherwise than those that use Pillow.
    """
    return {"image_processor": type(processor.image_processor).__name__, "pillow": version("pillow")}


def _picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).save(file, "PNG")
    return file.getvalue()
