"""The plug-ins of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_quiz


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_quiz.install(tmp_path, monkeypatch)
    return tmp_path
