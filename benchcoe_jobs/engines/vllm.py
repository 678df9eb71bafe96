"""The engine `vllm`: vLLM's offline interface, which schedules, batches and caches prefixes by itself.

Prompts are built and tokenised by the same code as for `transformers`; only images go through vLLM's
own processor. A sampled answer depends on its prompt and the seed.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.errors import (
    ContextTooLongError,
    EngineError,
    ModelNotFoundError,
    OutOfMemoryError,
    engine_error,
    first_line,
)
from benchcoe_jobs.engines.images import media_type, open_image
from benchcoe_jobs.engines.prompts import Pair, Prompt, Prompter, clean, completed, failure, request_seed
from benchcoe_jobs.engines.weights import find_model
from benchcoe_jobs.errors import MissingError, UsageError

# GiB. On a CPU vLLM would take half of the machine's memory for the keys and values of its cache.
_CPU_CACHE_GIB = "4"

# At most so many images in one request; MMMU has up to 7.
_IMAGES = 8


class VllmEngine:
    """One model in one `vllm.LLM`."""

    _llm: Any = None

    def load(self, settings: ExpertSettings) -> None:
        """See `Engine.load`. On CPUs: float32, no compilation, a small cache. On GPUs: vLLM's defaults."""
        settings.refuse("base_url", "api_key_env", "batch_size")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
        try:
            self._vllm: Any = import_module("vllm")
            on_cpu = import_module("vllm.platforms").current_platform.is_cpu()
        except ImportError as error:
            raise MissingError(f"engine vllm needs more packages ({error}): pip install 'benchcoe-jobs[vllm]'") from error
"""
