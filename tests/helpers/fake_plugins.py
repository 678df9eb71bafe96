"""Fake plug-ins: a benchmark, an engine without a model (letter_engine.py), and a kind of job without work.

Files in a folder control them; `install` names the folder to this process and to every process that it starts.
`slow` holds the seconds that the engine takes for a micro-batch. The expert "shy" cannot answer a question with the
word UNANSWERABLE unless the file `healed` exists. A worker that scores the answer to a question with the word POISON
is killed if the file `poisoned` exists.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plugin_distribution
import tiny_quiz
from letter_engine import FOLDER, folder
from sqlalchemy import Connection

from benchcoe_jobs.benchmarks.base import ScoredAnswer
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.domain import Query, Queue
from benchcoe_jobs.job_queue.job_kind import Assignment, Needs
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup

if TYPE_CHECKING:  # processes of workers import this module, but not pytest
    import pytest

ENTRY_POINTS = """\
[benchcoe_jobs.benchmarks]
fake = fake_plugins:FakeBenchmark
[benchcoe_jobs.engines]
fake = letter_engine:LetterEngine
fake-vllm = logged_vllm:LoggedVllm
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


class EmptyJob:
    """A job whose shards do nothing: its request gives the number of shards of each group of each stage."""

    n_stages = 2

    def needs(self, request: Mapping[str, Any]) -> Needs:
        """Nothing is needed."""
        return Needs()

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


def _calls() -> list[list[str]]:
    path = folder() / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
