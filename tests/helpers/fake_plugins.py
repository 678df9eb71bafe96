"""Fake plug-ins: a benchmark, an engine without a model, and a kind of job without work.

Files in a folder control them; `install` names the folder to this process and to every process that it starts.
`slow` holds the seconds that the engine takes for a micro-batch. The expert "shy" cannot answer a question with the
word UNANSWERABLE unless the file `healed` exists. A worker that scores the answer to a question with the word POISON
is killed if the file `poisoned` exists.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plugin_distribution
import pytest
import tiny_quiz
from sqlalchemy import Connection

from benchcoe_jobs.benchmarks.base import ScoredAnswer
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.domain import Completion, Decoding, Query, Queue, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.errors import ModelNotFoundError
from benchcoe_jobs.engines.vllm import VllmEngine
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup

FOLDER = "FAKE_PLUGINS_FOLDER"
ENTRY_POINTS = """\
[benchcoe_jobs.benchmarks]
fake = fake_plugins:FakeBenchmark
[benchcoe_jobs.engines]
fake = fake_plugins:LetterEngine
fake-vllm = fake_plugins:LoggedVllm
[benchcoe_jobs.jobs]
empty = fake_plugins:EmptyJob
"""


class FakeBenchmark(MmluPro):
    """MMLU-Pro with a scorer that can kill its process."""

    name = "fake"

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """See `Benchmark.score`."""
        if tiny_quiz.POISON in query.text and (folder() / "poisoned").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(text, query)


class LetterEngine:
    """Answers with a letter that depends only on the model's name and the question."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        if settings.model == "nowhere":
            raise ModelNotFoundError("there is no model nowhere")
        self._model = settings.model
        _log("loaded", str(os.getpid()))

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        _log("run", *(request.question for request in requests))
        _wait()
        return [self._answer(request.question) for request in requests]

    def version(self) -> dict[str, str]:
        return {"engine": "fake"}

    def close(self) -> None:
        pass

    def _answer(self, question: str) -> Completion:
        if self._model == "shy" and tiny_quiz.UNANSWERABLE in question and not (folder() / "healed").exists():
            return Completion(finish_reason="error", error="cannot answer this")
        letter = random.Random(f"{self._model} {question}").choice("ABCDEFGHIJ")
        return Completion(text=f"The answer is ({letter}).", completion_tokens=7, finish_reason="stop")


class LoggedVllm(VllmEngine):
    """The real vLLM with the default traits, which logs its calls."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        super().load(settings)
        _log("loaded", str(os.getpid()))

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        _log("run", *(request.question for request in requests))
        _wait()
        return super().run(requests, decoding)


class EmptyJob:
    """A job whose shards do nothing: its request gives the number of shards of each group of each stage."""

    n_stages = 2

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """See `JobKind.plan`."""
        return [NewShardGroup(Queue.CPU, [({}, 3)] * n) for n in job.request["stages"][job.stage]]

    def run(self, assignment: Assignment) -> None:
        """Do nothing."""

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any]:
        """The stage that the job ended in."""
        return {"stage": job.stage}

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Nothing follows."""
        return []


def install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the plug-ins known, with `place` as the folder of the files that control them."""
    plugin_distribution.install(place, monkeypatch, "fake-plugins", ENTRY_POINTS)
    monkeypatch.setenv(FOLDER, str(place))


def batches() -> list[list[str]]:
    """The questions of each micro-batch that an engine was given, in order."""
    return [questions for what, *questions in _calls() if what == "run"]


def engine_pids() -> list[int]:
    """The process id of the engine server of each load, in order."""
    return [int(words[0]) for what, *words in _calls() if what == "loaded"]


def _wait() -> None:
    if (slow := folder() / "slow").exists():
        time.sleep(float(slow.read_text()))


def _log(*words: str) -> None:
    with (folder() / "calls").open("a") as file:
        file.write(json.dumps(words) + "\n")


def _calls() -> list[list[str]]:
    path = folder() / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def folder() -> Path:
    """The folder of the files that control the plug-ins, and of the log of engine calls."""
    return Path(os.environ[FOLDER])
