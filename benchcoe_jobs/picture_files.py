"""Pictures as files name them: the bytes themselves, a data URI, or the path of a file beside the one that names it.

Nothing is downloaded.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.files import open_regular

MAX_BYTES = 2**26
"""The largest encoded picture, in bytes."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|//")
_DATA_URI = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_SHOWN = 60


def read_picture(value: object, folder: Path) -> bytes:
    """An encoded picture: bytes, an object with `bytes` or `path` as Hugging Face's data sets have it, a data URI with
    base64, or the path of a regular file inside `folder`.

    Raises ValueError with the reason if there is none: for a URL, a path out of the folder, a file that cannot be read,
    and for more than MAX_BYTES.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        content = value
    elif not isinstance(value, str):
        raise ValueError("it is neither bytes nor the path of a file")
    elif value.startswith("data:"):
        content = _decoded(value)
    elif _URL.match(value):
        raise ValueError(f"{_short(value)} is a URL, and no picture is downloaded: save it as a file and name its path")
    else:
        content = _file(value, folder)
    if not content:
        raise ValueError("it is empty")
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
    return content


def sent_picture(uri: str) -> bytes | None:
    """The picture in a message, which must be a data:image/...;base64,... URI; None if it is something else.

    Raises ValueError if its base64 cannot be read.
    """
    head, _, content = uri.partition(";base64,")
    if not head.startswith("data:image/") or not content:
        return None
    return base64.b64decode(content, validate=True)


def picture_file(path: Path) -> bytes:
    """The content of a regular file that a user names. Raises InputError if it cannot be read or is too large."""
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    if not 0 < len(content) <= MAX_BYTES:
        size = f"is larger than {MAX_BYTES >> 20} MiB" if content else "is empty"
        raise InputError(f"{path}: cannot be used as a picture: it {size}")
    return content


def _decoded(uri: str) -> bytes:
    start = _DATA_URI.match(uri)
    if start is None:
        raise ValueError(f"{_short(uri)} is not a data:image/...;base64,... URI")
    try:
        return base64.b64decode(uri[start.end() :], validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: characters that are not ASCII
        raise ValueError(f"the base64 of {_short(uri)} cannot be read") from error


def _file(name: str, folder: Path) -> bytes:
    inside = Path(name)  # not resolved: the folder of images may be a link to another disk
    if inside.is_absolute() or ".." in inside.parts:
        raise ValueError(f"{_short(name)} is outside the folder of its file")
    try:
        with open_regular(folder / inside) as file:
            return file.read(MAX_BYTES + 1)
    except InputError as error:
        raise ValueError(str(error)) from error


def _short(value: str) -> str:
    return repr(value) if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]!r}..."
