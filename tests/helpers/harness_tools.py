"""The programs of the environments of `make test-harnesses` and `make test-lmms`, whose packages are many."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("BENCHCOE_HARNESSES", ROOT / ".venv-harnesses")) / "bin"
LMMS = Path(os.environ.get("BENCHCOE_LMMS", ROOT / ".venv-lmms")) / "bin"

_INSTALLED_BY = {
    TOOLS: ("BENCHCOE_REQUIRE_HARNESSES", "test-harnesses"),
    LMMS: ("BENCHCOE_REQUIRE_LMMS", "test-lmms"),
}


def tool(name: str, *arguments: str, folder: Path, tools: Path = TOOLS) -> str:
    """Run a program of an environment without a network. Skips the test if there is none."""
    if not (tools / name).exists():
        variable, target = _INSTALLED_BY[tools]
        if os.environ.get(variable):
            pytest.fail(f"{variable} is set, but {name} is not in {tools}")
        pytest.skip(f"{name} is not installed: make {target} installs it")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("BENCHCOE_", "PYTHON", "INSPECT_"))}
    clean |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "HOME": str(folder)}
    done = subprocess.run([tools / name, *arguments], cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout
