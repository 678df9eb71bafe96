"""Checks of the parts of a router that are read from an artifact: their configuration and their arrays.

An artifact may come from another machine. What fails these checks raises ValueError, which `artifact.load` explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from benchcoe_jobs.characters import one_line


class StoredConfig(BaseModel):
    """The configuration of a part. An unknown or missing key, or a value of another type, is refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


def stored_array(
    arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...], *, kind: str = "f", nan: bool = False
) -> NDArray[Any]:
    """An array of a part; None in `shape` stands for any length, and `kind` is that of its dtype.

    Raises ValueError if it is missing, has another shape or type, or has a value that is not a finite number; with
    `nan`, NaN is allowed.
    """
    array = arrays.get(name)
    if array is None:
        raise ValueError(f"{name} is missing")
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, found) for found, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype.kind != kind:
        wanted = " x ".join("n" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} is {array.dtype} {' x '.join(map(str, array.shape))}, not {kind} {wanted}")
    if kind == "f" and not (~np.isinf(array) if nan else np.isfinite(array)).all():
        raise ValueError(f"{name} has a value that is not a finite number")
    return array


_LONGEST_NAME = 80


def why(error: Exception) -> str:
    """What is wrong with a part, in one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = one_line(".".join(map(str, first["loc"])))  # the names are those of the file
        return f"{where[:_LONGEST_NAME] or 'it'}: {first['msg']}"
    return one_line(f"{error}".partition("\n")[0]).rstrip(".:") or type(error).__name__
