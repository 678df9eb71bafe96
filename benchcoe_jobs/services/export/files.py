"""New files of an export: private, complete or absent, and never in the place of another file."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchcoe_jobs.errors import InputError, UsageError


class FileOutput:
    """One new file. It gets its name when it is complete."""

    def __init__(self, path: Path) -> None:
        self.suffix = path.suffix.lower()
        self._path = path
        _require_free(path)

    @contextmanager
    def create(self, name: str = "") -> Iterator[IO[bytes]]:
        """See `Output.create`."""
        staged = _staged(self._path)
        try:
            with _explained(self._path):
                with open(staged, "wb", opener=_open_new) as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                _publish(staged, self._path)
        finally:
            staged.unlink(missing_ok=True)


class StreamOutput:
    """Standard output, or another open stream."""

    suffix = ""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    @contextmanager
    def create(self, name: str = "") -> Iterator[IO[bytes]]:
        """See `Output.create`."""
        yield self._stream
        self._stream.flush()


class FolderOutput:
    """A new folder. It gets its name when all of its files are complete."""

    suffix = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._staged = _staged(path)

    @contextmanager
    def create(self, name: str = "") -> Iterator[IO[bytes]]:
        """See `Output.create`."""
        path = self._staged / name
        with _explained(self._path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "wb", opener=_open_new) as file:
                yield file

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[FolderOutput]:
        """A folder to write files in; it is renamed to `path` at the end, unless an error is raised."""
        if not path.is_dir() or any(path.iterdir()):
            _require_free(path)
        output = cls(path)
        try:
            with _explained(path):
                output._staged.mkdir(mode=0o700)
            yield output
            with _explained(path):
                output._staged.rename(path)  # onto an empty folder, or a name that is free
        finally:
            shutil.rmtree(output._staged, ignore_errors=True)


def _require_free(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: folder {path.parent} does not exist")
    if os.path.lexists(path):
        raise UsageError(f"{path} exists, and an export replaces nothing: name another file, or remove it")


def _staged(path: Path) -> Path:
    return path.with_name(f".benchcoe-{secrets.token_hex(8)}")


def _publish(staged: Path, path: Path) -> None:
    """Give a complete file its name, unless another process has just taken it."""
    try:
        os.link(staged, path)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise
        _require_free(path)  # a file system without links
        staged.rename(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _open_new(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
