"""A store with a router, written once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
import served_world
from made_once import made_once
from served_world import World


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "served", served_world.make)


@pytest.fixture
def world(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(template, tmp_path / "world", monkeypatch)
