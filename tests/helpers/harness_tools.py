"""The programs of the environment that `make test-harnesses` creates: they would double the packages of this one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("BENCHCOE_HARNESSES", ROOT / ".venv-harnesses")) / "bin"


def tool(name: str, *arguments: str, folder: Path) -> str:
    """Run a program of the environment without a network. Skips the test if there is none."""
    if not (TOOLS / name).exists():
        if os.environ.get("BENCHCOE_REQUIRE_HARNESSES"):
            pytest.fail(f"BENCHCOE_REQUIRE_HARNESSES is set, but {name} is not in {TOOLS}")
        pytest.skip(f"{name} is not installed: make test-harnesses installs it")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("BENCHCOE_", "PYTHON", "INSPECT_"))}
    clean |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "HOME": str(folder)}
    done = subprocess.run([TOOLS / name, *arguments], cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout
