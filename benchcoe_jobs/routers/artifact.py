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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator
from safetensors import numpy as safetensors

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import BenchcoeError, InputError
from benchcoe_jobs.files import open_regular
from benchcoe_jobs.routers.base import RouterKind, VectorCache
from benchcoe_jobs.routers.fallback import Fallback
from benchcoe_jobs.routers.model import RouterModel
from benchcoe_jobs.routers.stored import StoredConfig, why

_FORMAT = 3
_FINGERPRINT_LENGTHS = (64, 16)
_ROUTER = "router.json"
_WEIGHTS = "weights.safetensors"

# Far above any router: a vocabulary or a tokenizer has some MiB, a fine-tuned encoder up to a few GiB.
_MAX_JSON = 256 << 20
_MAX_WEIGHTS = 32 << 30


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


def load(folder: Path, fingerprint: str, *, cache: VectorCache | None = None) -> RouterModel:
    """The router that was saved to a folder; its predictions are the same bits as before.

    `fingerprint` is what `save` returned, or its first 16 digits, which is what releases before 0.3.0 stored. Raises
    InputError if the artifact is not there, has another fingerprint, is damaged or of another format, or if its encoder
    is not available.
    """
    content, weights = _read(folder, _ROUTER, _MAX_JSON), _read(folder, _WEIGHTS, _MAX_WEIGHTS)
    stored = _stored(folder, content)
    if stored.sha256[: len(fingerprint)] != fingerprint or len(fingerprint) not in _FINGERPRINT_LENGTHS:
        raise _refusal(folder, f"it is another router than the one that the store names ({fingerprint[:16]})")
    if hashlib.sha256(weights).hexdigest() != stored.weights_sha256:
        raise _refusal(folder, f"{_WEIGHTS} is damaged")
    try:
        arrays = safetensors.load(weights)
    except Exception as error:  # a wrong header, or a type that numpy does not have
        raise _refusal(folder, f"{_WEIGHTS} is damaged ({why(error)})") from error
    level, kind = Level(stored.level), _kind(folder, stored)
    features = _restored(
        folder, "features", lambda: kind.features.restore(stored.features_config, _of("features", arrays), cache)
    )
    head = _restored(
        folder, "head", lambda: kind.heads[level][stored.head]().restore(stored.head_config, _of("head", arrays))
    )
    fallback = None
    if (config := stored.fallback_config) is not None:
        fallback = _restored(folder, "fallback", lambda: Fallback.restore(config, _of("fallback", arrays)))
    outputs, width = head.shape
    if outputs != len(stored.outputs):
        raise _refusal(folder, f"its head has {outputs} outputs, and {len(stored.outputs)} are named")
    if fallback is not None and fallback.training_vectors.shape[1] != width:
        raise _refusal(folder, "its fallback and its head have different features")
    return RouterModel(level, stored.kind, stored.head, tuple(stored.outputs), features, head, fallback)


def exists(folder: Path) -> bool:
    """Whether the folder has the files of a router; a training that has replaced it may be removing them."""
    return all(os.access(folder / name, os.F_OK) for name in (_ROUTER, _WEIGHTS))


class _Stored(StoredConfig):
    """The content of router.json."""

    format: Literal[3]
    level: Literal["query", "subject"]
    kind: str
    head: str
    outputs: list[str] = Field(min_length=2)
    features_config: dict[str, Any]
    head_config: dict[str, Any]
    fallback_config: dict[str, Any] | None
    weights_sha256: str
    sha256: str

    @field_validator("outputs")
    @classmethod
    def _different(cls, outputs: list[str]) -> list[str]:
        if len(set(outputs)) < len(outputs):
            raise ValueError("a name occurs twice")
        return outputs


def _stored(folder: Path, content: bytes) -> _Stored:
    """The validated content of router.json."""
    try:
        fields = json.loads(content)
        if not isinstance(fields, dict) or "format" not in fields:
            raise _refusal(folder, f"{_ROUTER} is damaged")
        if fields["format"] != _FORMAT:
            raise _refusal(folder, f"its format is {fields['format']!r:.40}, and this version reads {_FORMAT}")
        sha256 = fields.pop("sha256", None)
        if sha256 != _fingerprint(fields):
            raise _refusal(folder, f"{_ROUTER} is damaged")
        return _Stored.model_validate(fields | {"sha256": sha256})
    except ValidationError as error:
        raise _refusal(folder, f"{_ROUTER} is damaged ({why(error)})") from error
    except (ValueError, RecursionError) as error:  # not JSON, or nested too deeply
        raise _refusal(folder, f"{_ROUTER} is damaged") from error


def _kind(folder: Path, stored: _Stored) -> RouterKind:
    """The kind of a router, which has its level and head."""
    if stored.kind not in registry.names("routers"):
        raise _refusal(folder, f"its kind {stored.kind!r:.40} is not installed here")
    kind: RouterKind = registry.load("routers", stored.kind)
    if stored.head not in kind.heads.get(Level(stored.level), {}):
        raise _refusal(folder, f"kind {stored.kind} has no {stored.level}-level head {stored.head!r:.40}")
    return kind


_Part = TypeVar("_Part")


def _restored(folder: Path, name: str, restore: Callable[[], _Part]) -> _Part:
    """A part of a router. Errors that are not ours mean that what is stored of it does not fit together."""
    try:
        return restore()
    except BenchcoeError:
        raise
    except Exception as error:  # the libraries raise many types
        raise _refusal(folder, f"its {name} cannot be restored ({why(error)})") from error


def _read(folder: Path, name: str, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes."""
    try:
        with open_regular(folder / name) as file:
            content = file.read() if os.fstat(file.fileno()).st_size <= limit else None
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):  # no permission, or not a regular file
            raise InputError(f"router artifact {error}") from error
        if folder.is_dir():
            raise _refusal(folder, f"{name} is missing") from error
        raise InputError(
            f"router artifact {folder} is not on this machine, although the store names it: it was trained under "
            "another BENCHCOE_HOME, which all machines must share; only if that folder is lost, train the router again"
        ) from error
    if content is None:
        raise _refusal(folder, f"{name} is larger than {limit >> 20:,} MiB")
    return content


def _fingerprint(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _prefixed(part: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    # safetensors writes the memory as it is laid out, and would read an array in column order back as rows.
    return {f"{part}.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}


def _of(part: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}


def _refusal(folder: Path, why: str) -> InputError:
    return InputError(f"router artifact {folder}: {why}; train the router again")


def place(staged: Path, folder: Path) -> None:
    """Move a saved router to `folder`, which may hold the same router already, complete or damaged.

    A process that reads it meanwhile finds each file complete. Raises OSError if the folder cannot be written.
    """
    if not folder.exists():
        staged.rename(folder)
    else:
        for name in (_WEIGHTS, _ROUTER):
            (staged / name).replace(folder / name)
        staged.rmdir()
    _sync(folder.parent)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files to a temporary folder beside `folder`, sync them to disk, then rename it to `folder`.

    Only the user may read them: the words of the training questions are among them.
    """
    # Not with_suffix, which takes all after a leading dot for the suffix: processes would share one temporary folder.
    temporary = f".{folder.name}-{uuid.uuid4().hex}"
    new, old = folder.with_name(f"{temporary}.new"), folder.with_name(f"{temporary}.old")
    try:
        new.mkdir(mode=0o700)
        for name, content in files.items():
            with os.fdopen(os.open(new / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
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
