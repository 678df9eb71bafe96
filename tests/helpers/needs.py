"""Packages that some machines lack."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


def skip_or_fail(reason: str) -> None:
    """What a test needs is not there: fine on a laptop, a fault in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def require_vllm() -> None:
    """Skip if vLLM is not installed; fail if BENCHCOE_REQUIRE_VLLM is set."""
    if importlib.util.find_spec("vllm") is None:
        if os.environ.get("BENCHCOE_REQUIRE_VLLM"):
            pytest.fail("BENCHCOE_REQUIRE_VLLM is set, but vllm is not installed")
        pytest.skip("vllm is not installed")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


def require_chromium() -> str:
    """The path of Chromium. Skip if it, Node.js or the packages of tests/browser are missing.

    Fail instead if BENCHCOE_REQUIRE_CHROMIUM is set, as `make test-report` does, which installs the packages.
    """
    browser = shutil.which("chromium")
    packages = Path(__file__).parents[1] / "browser" / "node_modules"
    missing = [name for name, found in (("chromium", browser), ("node", shutil.which("node"))) if found is None]
    missing += [] if packages.is_dir() else ["the packages of tests/browser"]
    if browser is None or missing:
        reason = (
            f"not installed: {', '.join(missing)}. On Debian: apt install chromium nodejs npm, then make test-report"
        )
        if os.environ.get("BENCHCOE_REQUIRE_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    return browser
