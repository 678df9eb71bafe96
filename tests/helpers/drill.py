"""Plug-ins for drills: a benchmark, an engine without a model, and a kind of job without work.

They take orders from files in a folder, which `install` makes known to this process and to every one that it
starts. `slow` holds the seconds that the engine takes for a batch. The expert "shy" cannot answer a question with
the word UNANSWERABLE unless there is `healed`. A worker that judges the answer to one with the word POISON dies of
it while there is `poisoned`.
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

import pytest
import quiz
from sqlalchemy import Connection

from benchcoe_jobs.benchmarks.base import ScoredAnswer
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.domain import Completion, Decoding, Query, Queue, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.errors import ModelNotFoundError
from benchcoe_jobs.engines.vllm import VllmEngine
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup

FOLDER = "DRILL_FOLDER"
POINTS = """\
[benchcoe_jobs.benchmarks]
drill = drill:Drill
[benchcoe_jobs.engines]
drill = drill:DrillEngine
drill-vllm = drill:DrillVllm
[benchcoe_jobs.jobs]
exercise = drill:Exercise
"""


class Drill(MmluPro):
    """MMLU-Pro, judged at the risk of one's life."""

    name = "drill"

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """See `Benchmark.judge`."""
        if quiz.POISON in query.text and (folder() / "poisoned").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(text, query)


class DrillEngine:
    """Answers with a letter that depends on the model's name and the question alone."""

    def load(self, settings: ExpertSettings) -> None:
        if settings.model == "nowhere":
            raise ModelNotFoundError("there is no model nowhere")
        self._model = settings.model
        _note("loaded", str(os.getpid()))

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        _note("asked", *(request.question for request in requests))
        _be_slow()
        return [self._answer(request.question) for request in requests]

    def version(self) -> dict[str, str]:
        return {"engine": "drill"}

    def close(self) -> None:
        pass

    def _answer(self, question: str) -> Completion:
        if self._model == "shy" and quiz.UNANSWERABLE in question and not (folder() / "healed").exists():
            return Completion(finish_reason="error", error="nobody can answer this")
        letter = random.Random(f"{self._model} {question}").choice("ABCDEFGHIJ")
        return Completion(text=f"The answer is ({letter}).", completion_tokens=7, finish_reason="stop")


class DrillVllm(VllmEngine):
    """The real vLLM, in micro-batches of the usual size."""

    def load(self, settings: ExpertSettings) -> None:
        super().load(settings)
        _note("loaded", str(os.getpid()))

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        _note("asked", *(request.question for request in requests))
        _be_slow()
        return super().run(requests, decoding)


class Exercise:
    """A job of nothing but shards: its request says how many there are in each shard_group of each stage."""

    n_stages = 2

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """See `JobKind.plan`."""
        return [NewShardGroup(Queue.CPU, [({}, 3)] * n) for n in job.request["stages"][job.stage]]

    def run(self, assignment: Assignment) -> None:
        """There is nothing to do."""

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any]:
        """It is over."""
        return {"stage": job.stage}

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Nothing follows."""
        return []


def install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the plug-ins known, as another distribution would."""
    info = place / "site" / "drill-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drill\nVersion: 1\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.setenv("PYTHONPATH", f"{info.parent}:{Path(__file__).parent}")
    monkeypatch.setenv(FOLDER, str(place))


def asked() -> list[list[str]]:
    """The batches of questions that engines were asked."""
    return [questions for what, *questions in _diary() if what == "asked"]


def hosts() -> list[int]:
    """Process ids of engines, load by load."""
    return [int(words[0]) for what, *words in _diary() if what == "loaded"]


def _be_slow() -> None:
    if (slow := folder() / "slow").exists():
        time.sleep(float(slow.read_text()))


def _note(*words: str) -> None:
    with (folder() / "diary").open("a") as file:
        file.write(json.dumps(words) + "\n")


def _diary() -> list[list[str]]:
    path = folder() / "diary"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def folder() -> Path:
    """Where orders are, and the diary."""
    return Path(os.environ[FOLDER])
