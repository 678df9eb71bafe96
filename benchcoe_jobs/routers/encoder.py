"""Frozen sentence encoders: finding one, its fingerprint, and encoding. The model is loaded on first use."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.model_folder import existing_folder, is_path, missing_folder
from benchcoe_jobs.routers.window import readable

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"

# The files of an encoder. Pickled weights, files of other runtimes and pictures are neither downloaded nor read.
_PARTS = ("*.json", "*.txt", "*.model", "*.safetensors")
_OTHER_RUNTIMES = ("onnx/*", "openvino/*")

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


@dataclass(frozen=True)
class Encoder:
    """An encoder on disk. `name` and `revision` are those for `find_encoder`; `fingerprint` identifies its content."""

    name: str
    revision: str | None
    folder: Path
    fingerprint: str

    def encode(self, questions: Sequence[RouterInput]) -> NDArray[np.float32]:
        """Vectors of length one: (n, d), d >= 1. A question that is too long is cut as described in `window`.

        Raises MissingError without sentence-transformers, InputError if the weights cannot be read.
        """
        texts = readable(questions, self._model.tokenizer, self._model.max_seq_length or 8192)
        vectors = self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype="<f4")

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer

            transformers_logging = import_module("transformers.utils.logging")
        except ImportError as error:
            raise _missing() from error
        transformers_logging.disable_progress_bar()
        for library in ("transformers", "sentence_transformers"):
            logging.getLogger(library).setLevel(logging.ERROR)
        try:
            return SentenceTransformer(
                str(self.folder),
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # the libraries raise many types for a folder that is no encoder
            raise InputError(f"encoder {self.name} cannot be loaded: {first_line(error)}") from error


@lru_cache(maxsize=4)
def find_encoder(name: str, revision: str | None) -> Encoder:
    """The encoder in a folder, or of a hub id at a revision (downloaded if necessary); cached in the process.

    The fingerprint of a folder is the SHA-256 of its files, that of a hub id is `id@commit`. Raises InputError if the
    encoder does not exist or the hub cannot be reached, MissingError without huggingface-hub.
    """
    if folder := existing_folder(name):
        if revision is not None:
            raise InputError(
                f"encoder {name} is a folder, and only an encoder from the hub has revisions: omit the revision"
            )
        folder = folder.resolve()
        return Encoder(str(folder), None, folder, _folder_fingerprint(folder))
    if is_path(name):
        raise InputError(f"encoder {missing_folder(name)}")
    if not _HUB_ID.fullmatch(name):
        raise InputError(f"encoder {name} is neither an existing folder nor a hub id such as owner/name")
    folder = _download(name, revision)
    commit = folder.name
    return Encoder(name, commit, folder, f"{name}@{commit}")


def default_encoder_here() -> str | None:
    """The default encoder if it can be used without a download, else None."""
    if find_spec("sentence_transformers") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    is_cached = isinstance(try_to_load_from_cache(DEFAULT_ENCODER, "modules.json"), str)
    return DEFAULT_ENCODER if is_cached else None


def _download(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise _missing() from error
    disable_progress_bars()
    at = f"{name}@{revision}" if revision else name
    try:
        snapshot = snapshot_download(
            name, revision=revision, allow_patterns=list(_PARTS), ignore_patterns=list(_OTHER_RUNTIMES)
        )
    except Exception as error:  # no network, unknown repository or revision, no access, no space
        raise InputError(
            f"encoder {at} is not in the cache of the hub and cannot be downloaded ({first_line(error)}); "
            "name a folder with an encoder, or use the kind tfidf"
        ) from error
    return Path(snapshot)


def _folder_fingerprint(folder: Path) -> str:
    files = sorted(
        path.relative_to(folder)
        for pattern in _PARTS
        for path in folder.rglob(pattern)
        if not any(path.relative_to(folder).match(other) for other in _OTHER_RUNTIMES)
    )
    if not any(path.suffix == ".safetensors" for path in files):
        raise InputError(f"encoder {folder}: the folder holds no safetensors weights")
    for pickled in folder.rglob("pytorch_model*.bin"):  # of a further layer; it would be read, and has no fingerprint
        if not any(pickled.parent.glob("*.safetensors")):
            raise InputError(f"encoder {folder}: {pickled.relative_to(folder)} is pickled: save it as safetensors")
    total = hashlib.sha256()
    for path in files:
        with (folder / path).open("rb") as file:
            total.update(f"{path.as_posix()}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _missing() -> MissingError:
    return MissingError("sentence embeddings need more packages: pip install 'benchcoe-jobs[routers]'")
