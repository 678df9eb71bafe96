"""Plug-ins of the tests: a small benchmark shaped like MMLU-Pro, and the transformers engine with a log of its calls.

`install` makes them known to this process and to every process that it starts.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import plugin_distribution
from letter_engine import UNANSWERABLE

from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.errors import AccessDeniedError
from benchcoe_jobs.engines.transformers import TransformersEngine

if TYPE_CHECKING:  # processes of engines import this module, but not pytest
    import pytest

SUBJECTS = ("biology", "law", "math")
ODD = {"NOTHING": "", "MEGABYTE": "The answer is (A). " + "é" * 500_000}
LONG = "LONG " * 1000
POISON = "POISON"
LIGHT = "light"
FOLDER = "QUIZ_FOLDER"
ENTRY_POINTS = """\
[benchcoe_jobs.benchmarks]
quiz = tiny_quiz:Quiz
[benchcoe_jobs.engines]
logged = tiny_quiz:LoggedEngine
echo = fake_engine:FakeEngine
hosted = fake_engine:HostedEngine
no-traits = fake_engine:EngineWithoutTraits
"""


class Quiz(MmluPro):
    """MMLU-Pro with answers short enough for a tiny model's context."""

    name = "quiz"
    decoding = Decoding(max_new_tokens=12, stop=("Question:",))


class LightEngine:
    """An engine without a model. To import the model libraries takes seconds in each process."""

    def load(self, settings: ExpertSettings) -> None:
        pass

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        return [self._answer(request) for request in requests]

    def version(self) -> dict[str, str]:
        return {"engine": LIGHT}

    def close(self) -> None:
        pass

    def _answer(self, request: Request) -> Completion:
        rng = random.Random(request.question)
        likely = tuple(-10 * rng.random() for _ in request.continuations)
        text = "" if likely else f"The answer is ({rng.choice('ABCDEFGHIJ')})."
        return Completion(text, prompt_tokens=9, completion_tokens=7, loglikelihoods=likely, latency_s=0.01)


class LoggedEngine:
    """The real engine, which logs its calls and is controlled by files in a folder.

    `slow` holds the seconds to wait at each micro-batch. `together` holds the number of micro-batches that all of its
    processes must have begun before one is answered. A question with the word UNANSWERABLE fails unless the file
    `healed` exists; a question with a word of ODD gets that answer. `revoked` holds the number of requests of a
    micro-batch that are answered before the account is refused. The model LIGHT needs no library, and its answer
    to a question is random, but always the same.
    """

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        self._engine = LightEngine() if settings.model == LIGHT else TransformersEngine()
        self._engine.load(replace(settings, engine="transformers"))
        self._folder = Path(os.environ[FOLDER])
        self._log("loaded", str(os.getpid()))

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        self._log("run", *(request.question for request in requests))
        if (slow := self._folder / "slow").exists():
            time.sleep(float(slow.read_text()))
        if (together := self._folder / "together").exists():
            while len(batches(self._folder)) < int(together.read_text()):
                time.sleep(0.02)
        completions = [
            next((replace(one, text=ODD[word]) for word in ODD if word in request.question), one)
            for request, one in zip(requests, self._engine.run(requests, decoding), strict=True)
        ]
        if (revoked := self._folder / "revoked").exists():
            raise AccessDeniedError("no credit left", answered=dict(enumerate(completions[: int(revoked.read_text())])))
        if (self._folder / "healed").exists():
            return completions
        failed = Completion(finish_reason="error", error="cannot\0 answer this", latency_s=0.5)
        return [
            failed if UNANSWERABLE in request.question else completion
            for request, completion in zip(requests, completions, strict=True)
        ]

    def version(self) -> dict[str, str]:
        extra = self._folder / "version"
        return self._engine.version() | ({"extra": extra.read_text()} if extra.exists() else {})

    def close(self) -> None:
        self._engine.close()

    def _log(self, *words: str) -> None:
        with (self._folder / "calls").open("a") as file:
            file.write(json.dumps(words) + "\n")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the plug-ins known, with `folder` as the folder of the files that control them."""
    plugin_distribution.install(folder, monkeypatch, "tiny-quiz", ENTRY_POINTS)
    monkeypatch.setenv(FOLDER, str(folder))


def require_engine() -> None:
    """Skip if the packages of the engine are missing; in CI, fail."""
    if missing := [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]:
        from needs import skip_or_fail

        skip_or_fail(f"{' and '.join(missing)} missing: pip install 'benchcoe-jobs[engines]'")


def batches(folder: Path) -> list[list[str]]:
    """The questions of each micro-batch that the engine was given, in order."""
    return [questions for what, *questions in _calls(folder) if what == "run"]


def engine_pids(folder: Path) -> list[int]:
    """The process id of the engine server of each load, in order."""
    return [int(words[0]) for what, *words in _calls(folder) if what == "loaded"]


def _calls(folder: Path) -> list[list[str]]:
    path = folder / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_quiz(
    folder: Path, n: int, *, unanswerable: Sequence[int] = (), poison: Sequence[int] = (), odd: Sequence[str] = ()
) -> Path:
    """Write `n` questions and five worked examples of each subject in the format of MMLU-Pro.

    The questions number `unanswerable` and `poison` contain those words; the first questions begin with the words of
    `odd`.
    """
    marks = dict.fromkeys(unanswerable, UNANSWERABLE) | dict.fromkeys(poison, POISON)
    rng = random.Random(1)
    folder.mkdir(exist_ok=True)
    rows = [_row(rng, number, marks) for number in range(n)]
    for row, words in zip(rows, odd, strict=False):
        row["question"] = f"{words} {row['question']}"
    _write(folder / "test.jsonl", rows)
    _write(
        folder / "validation.jsonl",
        [
            _row(rng, 10_000 + number, {})
            | {"category": SUBJECTS[number % 3], "cot_content": "A: Let's think step by step. The answer is (A)."}
            for number in range(15)
        ],
    )
    return folder


def _row(rng: random.Random, number: int, marks: Mapping[int, str]) -> dict[str, object]:
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    options = [str(a + b + step) for step in range(10)]
    return {
        "question_id": number,
        "question": f"{marks.get(number, '')}No {number}: {a} + {b}?",
        "options": options,
        "answer": "ABCDEFGHIJ"[rng.randrange(10)],
        "category": SUBJECTS[rng.randrange(3)],
    }


def write_hellaswag(folder: Path, n: int) -> Path:
    """Write `n` beginnings with four endings each in the format of HellaSwag."""
    rng = random.Random(2)
    words = ["walks", "sings", "sits", "runs", "reads", "waits", "talks", "cooks", "swims", "paints"]
    rows = [
        {
            "ind": number,
            "activity_label": f"Activity {number % 7}",
            "ctx_a": f"A man {rng.choice(words)}.",
            "ctx_b": "then he",
            "endings": [f"{word} for {rng.randint(2, 60)} minutes." for word in rng.sample(words, 4)],
            "label": rng.randrange(4),
            "split": "val",
            "split_type": "indomain",
            "source_id": f"activitynet~{number}",
        }
        for number in range(n)
    ]
    folder.mkdir(exist_ok=True)
    _write(folder / "hellaswag_val.jsonl", rows)
    return folder


def _write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
