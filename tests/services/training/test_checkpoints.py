"""The folder of checkpoints belongs to one process, survives a failure and goes after success or a week."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from benchcoe_jobs.services.training.checkpoints import ABANDONED_S, FOLDER, checkpoints

OPTIONS = ["query", "bert"]


def scratch(home: Path) -> Path:
    return home / "routers" / "r" / FOLDER


def test_a_second_training_of_the_same_has_none(tmp_path: Path) -> None:
    with checkpoints(tmp_path, "r", OPTIONS) as first, checkpoints(tmp_path, "r", OPTIONS) as second:
        assert first is not None
        assert first.is_dir()
        assert second is None
        with checkpoints(tmp_path, "r", ["query", "tfidf"]) as other:
            assert other not in (None, first)
        assert first.is_dir(), "the end of another training leaves it"
    assert not scratch(tmp_path).exists()


def test_what_a_failed_training_wrote_is_found_again(tmp_path: Path) -> None:
    with contextlib.suppress(KeyboardInterrupt), checkpoints(tmp_path, "r", OPTIONS) as folder:
        assert folder is not None
        (folder / "checkpoint-1").mkdir()
        raise KeyboardInterrupt
    with checkpoints(tmp_path, "r", ["another"]):
        pass
    with checkpoints(tmp_path, "r", OPTIONS) as again:
        assert again == folder
        assert (folder / "checkpoint-1").is_dir()
    assert not scratch(tmp_path).exists(), "it succeeded"


def test_a_failed_training_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), checkpoints(tmp_path, "r", OPTIONS):
        raise KeyboardInterrupt
    assert not scratch(tmp_path).exists()


def test_what_no_training_continued_for_a_week_is_removed(tmp_path: Path) -> None:
    old, new = scratch(tmp_path) / "old", scratch(tmp_path) / "new"
    for folder, age_s in ((old, ABANDONED_S + 60), (new, ABANDONED_S - 60)):
        (folder / "checkpoint-1").mkdir(parents=True)
        os.utime(folder, (time.time() - age_s,) * 2)
    with checkpoints(tmp_path, "r", OPTIONS) as running:
        assert running is not None
        os.utime(running, (0, 0))
        with checkpoints(tmp_path, "r", ["another"]):
            pass
        assert running.is_dir(), "a process holds it, so it is not abandoned"
    assert list(scratch(tmp_path).iterdir()) == [new]


def test_without_a_folder_there_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "routers").touch()
    with checkpoints(tmp_path, "r", OPTIONS) as folder:
        assert folder is None
