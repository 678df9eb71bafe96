"""Folders that one process of the test run makes for all of them: models, databases, whatever takes seconds."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, common to all processes of pytest-xdist. `make` fills it in the process that comes first.

    A test that changes the content works on a copy.
    """
    common = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    folder, unfinished = common / name, common / f"{name}.unfinished"
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)  # `make` has failed in another process
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder
