"""Engines that record what they are asked, as a plug-in for bench/kills.py.

The environment variable RECORD names the file, RECORD_ENGINE the engine.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.vllm import VllmEngine

WAIT_S = 0.2
"""Added to the time of a batch: otherwise tiny experts would finish before they are killed often enough."""


class RecordingEngine:
    """The real engine; every batch is recorded before it is answered."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        inner = os.environ["RECORD_ENGINE"]
        self._engine: Any = registry.load("engines", inner)()
        self._engine.load(replace(settings, engine=inner))
        self._note([])

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        self._note([request.question for request in requests])
        time.sleep(WAIT_S)
        return self._engine.run(requests, decoding)

    def version(self) -> dict[str, str]:
        return self._engine.version()

    def close(self) -> None:
        self._engine.close()

    def _note(self, questions: list[str]) -> None:
        with Path(os.environ["RECORD"]).open("a") as file:
            file.write(json.dumps(questions) + "\n")


class ContinuousRecordingEngine(RecordingEngine):
    """The same for an engine that has several batches under way."""

    prefetch = VllmEngine.prefetch

    def submit(self, requests: Sequence[Request], decoding: Decoding) -> Callable[[], list[Completion]]:
        self._note([request.question for request in requests])
        answers = self._engine.submit(requests, decoding)

        def finish() -> list[Completion]:
            time.sleep(WAIT_S)
            return answers()

        return finish


def install(folder: Path, engine: str) -> dict[str, str]:
    """Install the plug-in; returns the environment with which processes find it."""
    kept_by = ContinuousRecordingEngine if engine == "vllm" else RecordingEngine
    info = folder / "site" / "recording-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recording\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[benchcoe_jobs.engines]\nrecording = recording_engine:{kept_by.__name__}\n"
    )
    inner = {"RECORD": str(folder / "record"), "RECORD_ENGINE": engine}
    return inner | {"PYTHONPATH": f"{info.parent}:{Path(__file__).parent}"}


def batches(path: Path) -> list[list[str]]:
    """The batches so far, in order; an empty one is a load."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
