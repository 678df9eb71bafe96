"""The real vLLM, which logs its calls as the engine of the fake plug-ins does."""

from __future__ import annotations

import os
from collections.abc import Sequence

from letter_engine import log, wait

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.vllm import VllmEngine


class LoggedVllm(VllmEngine):
    """The real vLLM with the default traits."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        super().load(settings)
        log("loaded", str(os.getpid()))

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        log("run", *(request.question for request in requests))
        wait()
        return super().run(requests, decoding)
