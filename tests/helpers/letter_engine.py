"""The engine of the fake plug-ins. Its module imports little, because every engine process of the tests imports it."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.errors import ModelNotFoundError

FOLDER = "FAKE_PLUGINS_FOLDER"
UNANSWERABLE = "UNANSWERABLE"


class LetterEngine:
    """Answers with a letter that depends only on the model's name and the question."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        if settings.model == "nowhere":
            raise ModelNotFoundError("there is no model nowhere")
        self._model = settings.model
        log("loaded", str(os.getpid()))

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        log("run", *(request.question for request in requests))
        wait()
        return [self._answer(request.question) for request in requests]

    def version(self) -> dict[str, str]:
        return {"engine": "fake"}

    def close(self) -> None:
        pass

    def _answer(self, question: str) -> Completion:
        if self._model == "shy" and UNANSWERABLE in question and not (folder() / "healed").exists():
            return Completion(finish_reason="error", error="cannot answer this")
        letter = random.Random(f"{self._model} {question}").choice("ABCDEFGHIJ")
        return Completion(text=f"The answer is ({letter}).", completion_tokens=7, finish_reason="stop")


def wait() -> None:
    """Take the seconds that the file `slow` holds."""
    if (slow := folder() / "slow").exists():
        time.sleep(float(slow.read_text()))


def log(*words: str) -> None:
    """Add a line to the log of engine calls."""
    with (folder() / "calls").open("a") as file:
        file.write(json.dumps(words) + "\n")


def folder() -> Path:
    """The folder of the files that control the plug-ins, and of the log of engine calls."""
    return Path(os.environ[FOLDER])
