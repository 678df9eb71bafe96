"""A trained router on disk: a folder with router.json and weights.safetensors, without pickle.

router.json holds the names of the outputs, the configuration of features, head and fallback, the SHA-256 of the
weights and its own SHA-256 (over its other fields). An incomplete or altered folder is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import numpy as safetensors

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.routers.base import RouterKind, VectorCache
from benchcoe_jobs.routers.fallback import Fallback
from benchcoe_jobs.routers.model import RouterModel

_FORMAT = 3
_ROUTER = "router.json"
_WEIGHTS = "weights.safetensors"


def save(model: RouterModel, folder: Path) -> str:
    """Write a router to a folder atomically and return the fingerprint of its content (SHA-256, hex).

    An existing router is replaced. Equal routers have equal files and fingerprints. Raises OSError if the folder
    cannot be written.
    """
    arrays = _prefixed("features", model.features.arrays()) | _prefixed("head", model.head.arrays())
    if model.fallback:
        arrays |= _prefixed("fallback", model.fallback.arrays())
    weights = safetensors.save(arrays)
    content = {
        "format": _FORMAT,
        "level": model.level.value,
        "kind": model.kind,
        "head": model.head_name,
        "outputs": list(model.outputs),
        "features_config": model.features.config(),
        "head_config": model.head.config(),
        "fallback_config": model.fallback.config() if model.fallback else None,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    fingerprint = _fingerprint(content)
    written = json.dumps(content | {"sha256": fingerprint}, indent=1)
    _write_folder(folder, {_WEIGHTS: weights, _ROUTER: written.encode()})
    return fingerprint


def load(folder: Path, *, cache: VectorCache | None = None) -> RouterModel:
    """The router that was saved to a folder; its predictions are the same bits as before.

    Raises InputError if the artifact is missing, incomplete, altered or of another format, or if its encoder is not
    available.
    """
    try:
        content = json.loads((folder / _ROUTER).read_bytes())
        weights = (folder / _WEIGHTS).read_bytes()
    except OSError as error:
        raise _refusal(folder, f"{Path(error.filename).name} cannot be read") from error
    except ValueError as error:
        raise _refusal(folder, f"{_ROUTER} is damaged") from error
    if not isinstance(content, dict) or "format" not in content:
        raise _refusal(folder, f"{_ROUTER} is damaged")
    if content["format"] != _FORMAT:
        raise _refusal(folder, f"its format is {content['format']}, and this version reads {_FORMAT}")
    if content.pop("sha256", None) != _fingerprint(content):
        raise _refusal(folder, f"{_ROUTER} is damaged")
    if hashlib.sha256(weights).hexdigest() != content["weights_sha256"]:
        raise _refusal(folder, f"{_WEIGHTS} is damaged")
    arrays = safetensors.load(weights)
    level = Level(content["level"])
    kind: RouterKind = registry.load("routers", content["kind"])
    return RouterModel(
        level,
        content["kind"],
        content["head"],
        tuple(content["outputs"]),
        kind.features.restore(content["features_config"], _of("features", arrays), cache),
        kind.heads[level][content["head"]]().restore(content["head_config"], _of("head", arrays)),
        Fallback.restore(content["fallback_config"], _of("fallback", arrays)) if content["fallback_config"] else None,
    )


def _fingerprint(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _prefixed(part: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    # safetensors writes the memory as it is laid out, and would read an array in column order back as rows.
    return {f"{part}.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}


def _of(part: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}


def _refusal(folder: Path, why: str) -> InputError:
    return InputError(f"router artifact {folder}: {why}; train the router again")


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files to a temporary folder beside `folder`, sync them to disk, then rename it to `folder`."""
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    new, old = temporary.with_suffix(".new"), temporary.with_suffix(".old")
    try:
        new.mkdir()
        for name, content in files.items():
            with (new / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
