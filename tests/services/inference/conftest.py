"""The plug-ins of the tests, and a tiny Llama for those that need a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_quiz


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny_quiz.require_engine()
    import tiny

    return tiny.save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_quiz.install(tmp_path, monkeypatch)
    return tmp_path
