"""Find the files of a model, and what identifies them: a hub commit, or the hash of a folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from benchcoe_jobs.engines.errors import ModelNotFoundError
from benchcoe_jobs.errors import MissingError
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.model_folder import existing_folder, is_path, missing_folder

# The files of a model. Pickled weights are neither downloaded nor read.
_PARTS = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.safetensors")
_CODE = ("*.py",)

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def find_model(model: str, revision: str | None, *, with_code: bool) -> tuple[Path, str]:
    """The folder of a model and its identity: "sha256:..." for a folder, the commit for a hub id.

    A hub id is downloaded if need be, its Python code only if `with_code`. Raises ModelNotFoundError if the model or
    revision does not exist or has no safetensors weights, MissingError without huggingface-hub.
    """
    parts = _PARTS + _CODE if with_code else _PARTS
    if folder := existing_folder(model):
        if revision is not None:
            raise ModelNotFoundError(f"model {model} is a folder: only models from the hub have revisions")
        folder = folder.resolve()
        _require_weights(model, folder)
        return folder, _fingerprint(folder, parts)
    if is_path(model):
        raise ModelNotFoundError(f"model {missing_folder(model)}")
    if not _HUB_ID.fullmatch(model):
        raise ModelNotFoundError(f"model {model}: no such folder, and a hub id looks like owner/name")
    folder = _download(model, revision, parts)
    _require_weights(model, folder)
    return folder, folder.name


def _download(model: str, revision: str | None, parts: tuple[str, ...]) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise MissingError("models from the hub need more packages: pip install 'benchcoe-jobs[engines]'") from error
    disable_progress_bars()
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(parts)))
    except Exception as error:  # no network, no such repository or revision, no access, no space
        at = f"{model}@{revision}" if revision else model
        raise ModelNotFoundError(
            f"model {at} is not in the hub's cache and cannot be downloaded ({first_line(error)}); "
            "check its name and revision, or name a folder"
        ) from error


def _require_weights(model: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"model {model} has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise ModelNotFoundError(f"model {model} has no safetensors weights")


def _fingerprint(folder: Path, parts: tuple[str, ...]) -> str:
    """SHA-256 over names and contents; about 10 s for the 15 GB of a 7B model."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in parts for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"
