"""The folder where an unfinished training keeps its checkpoints, used by one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = ".scratch"
"""Beside a router's artifacts. It has a folder for each training, which resumes from it after a kill."""

_LOCK = "lock"

ABANDONED_S = 7 * 86_400
"""Seconds after which the files of a training that was not started again are removed."""


@contextmanager
def checkpoints(home: Path, name: str, options: Sequence[object]) -> Iterator[Path | None]:
    """The checkpoint folder of the training of router `name` with these options, for the time of the block.

    It is removed after a block that ends without an exception. None if another process is training the same, or if the
    folder cannot be locked: such a training has no checkpoints.
    """
    key = hashlib.sha256(json.dumps(options).encode()).hexdigest()[:16]
    folder = home / "routers" / name / FOLDER / key
    lock = _locked(folder)
    if lock is None:
        yield None
        return
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if [path.name for path in folder.glob("*")] == [_LOCK]:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        _remove_abandoned(folder.parent)


def _locked(folder: Path) -> int | None:
    """A file handle that holds the lock of a folder until it is closed; None if another process holds it."""
    path = folder / _LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except FileNotFoundError:  # its last holder has removed it in the meantime
            pass
        except OSError:
            os.close(handle)
            return None
        os.close(handle)


def _remove_abandoned(scratch: Path) -> None:
    """Remove the folders of trainings that were killed long ago and that no process continues."""
    for folder in scratch.glob("*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED_S and (lock := _locked(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
    with suppress(OSError):  # another training uses it
        scratch.rmdir()
