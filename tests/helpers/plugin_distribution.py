"""A distribution that consists of entry points: plug-ins of the tests, installed as a user's would be."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # processes of engines import the plug-ins of the tests, but not pytest
    import pytest


# These modules read the names of plug-ins for the choices of an option when they are imported.
WITH_CHOICES = ["expert", "results", "router"]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, entry_points: str) -> None:
    """Make entry points known to this process and to every process that it starts; their modules are helpers."""
    modules = [importlib.import_module(f"benchcoe_jobs.cli.{command}") for command in WITH_CHOICES]
    info = folder / "site" / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.setenv("PYTHONPATH", f"{info.parent}:{Path(__file__).parent}")
    for command, module in zip(WITH_CHOICES, modules, strict=True):
        monkeypatch.setattr(sys.modules["benchcoe_jobs.cli"], command, module)
        monkeypatch.delitem(sys.modules, module.__name__)
