"""Packages that some machines lack."""

from __future__ import annotations

import importlib.util
import os
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
