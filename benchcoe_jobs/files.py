"""Read and write single files that a user names. Standard library only.

A name may belong to a pipe, a device or a link. A pipe would make a command wait forever, and a link may lead to a file
that must not be overwritten.
"""

from __future__ import annotations

import os
import stat
import tempfile
import tomllib
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from benchcoe_jobs.errors import InputError

_LARGEST_TOML = 1_000_000

_PIPE_S = 10.0
"""How long to wait for a program that writes to a pipe."""


def expanded(path: str) -> Path:
    """A path with ~ and ~USER replaced by a home folder. Raises InputError if this machine has no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: no user of this machine has that name; write ./~NAME for a file") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, also through a link. Raises InputError for anything else, without waiting."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer would block
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{path}: cannot be read: it is not a regular file but {_kind(path)}")
    return open(handle, "rb")  # noqa: PTH123 -- a descriptor


def open_readable(path: Path) -> BinaryIO:
    """Open a file or a pipe for reading. The caller limits how much it reads.

    Raises InputError if that is not possible, or if no program opens the pipe for writing within some seconds.
    """
    opened: SimpleQueue[BinaryIO | OSError] = SimpleQueue()

    def open_it() -> None:
        try:
            opened.put(path.open("rb"))
        except OSError as error:
            opened.put(error)

    Thread(target=open_it, daemon=True).start()  # there is no other way to wait for a writer, and then to give up
    try:
        found = opened.get(timeout=_PIPE_S)
    except Empty as error:
        raise InputError(f"{path} cannot be read: it is a pipe that no program writes to") from error
    if isinstance(found, OSError):
        raise InputError(f"{path} cannot be read: {found.strerror or found}") from found
    return found


def private_folder(path: Path) -> None:
    """Create a folder, and those above it that are missing, which only this user can open. Existing ones stay as is.

    Raises InputError if that is not possible.
    """
    try:
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be created: {error.strerror or error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises InputError if it cannot be read, is too large or is not valid."""
    with open_regular(path) as file:
        content = file.read(_LARGEST_TOML + 1)
    if len(content) > _LARGEST_TOML:
        raise InputError(f"{path}: larger than {_LARGEST_TOML:,} bytes, which no file of settings is")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise InputError(f"{path} is not valid TOML: its arrays or tables are nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, dates that do not exist
        raise InputError(f"{path} is not valid TOML: {error}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it: readers see the old content or the new one.

    A link is replaced, not followed. A file that is replaced keeps its permissions. Raises InputError if the name
    belongs to something other than a regular file, or if the file cannot be written.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be written: it is not a regular file but {_kind(path)}")
    temporary: str | None = None
    try:
        mode = mode_of(path)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # a new file: O_EXCL
        with open(handle, "wb") as file:  # noqa: PTH123 -- a descriptor
            os.fchmod(handle, mode)
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)  # noqa: PTH105 -- a plain name
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def mode_of(path: Path) -> int:
    """The permissions of a file; for a new one, those that the process gives to new files."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.is_fifo():
        return "a pipe: write it to a file first"
    return "a device or a socket"
