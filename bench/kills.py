"""kill -9 at random moments of a profile of 2,000 queries, and the responses afterwards.

    python bench/kills.py cli transformers [TIMES]
    python bench/kills.py host transformers [TIMES]
    python bench/kills.py engine vllm [TIMES]

Kills the command line, the engine server (host) or the process of vLLM (engine) 20 times, or TIMES, during one profile.
The command is started again whenever it has ended, and finally runs to its end. About a third of the kills come while
the expert is being loaded, the others while it answers.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import recording_engine
from harness import markdown
from sqlalchemy import text

from benchcoe_jobs import demo
from benchcoe_jobs.demo.questions import SUBJECTS, write_questions
from benchcoe_jobs.engines.vllm import VllmEngine
from benchcoe_jobs.errors import UnfinishedError
from benchcoe_jobs.store.session import open_store

N_QUERIES = 2000
CONSOLE = Path(sys.executable).with_name("benchcoe-jobs")
SAID = text(
    "SELECT q.key, r.text, r.error, s.value FROM response r JOIN run ON run.id = r.run_id"
    " JOIN expert e ON e.id = run.expert_id JOIN query q ON q.id = r.query_id"
    " LEFT JOIN score s ON s.query_id = q.id AND s.expert_id = e.id AND s.run_id = run.id"
    " WHERE e.name = :expert ORDER BY q.key"
)


class Trial:
    """A folder with a store and 2,000 questions in it."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self.record = folder / "diary"
        self.url = f"sqlite:///{folder / 'benchcoe.db'}"
        self.environment = os.environ | recording_engine.install(folder, engine) | {"BENCHCOE_DATABASE_URL": self.url}
        self.n_open = 1 + (VllmEngine.prefetch if engine == "vllm" else 0)
        self.environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        write_questions(folder / "skills.jsonl", N_QUERIES // len(SUBJECTS))
        self.run("init")
        self.run("add-benchmark", "skills", "skills.jsonl")
        for name in ("disturbed", "undisturbed"):
            model = str(demo.model_folder("clerk"))
            self.run("add-expert", name, "--engine", "recording", "--model", model, "--no-profile")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([CONSOLE, *words], cwd=self.folder, env=self.environment, **quiet)

    def run(self, *words: str) -> None:
        assert self.start(*words).wait() == 0, words

    def answers(self, expert: str) -> list[tuple[Any, ...]]:
        store = open_store(self.url)
        with store.reading() as connection:
            rows = [tuple(row) for row in connection.execute(SAID, {"expert": expert})]
        store.close()
        return rows


def main(victim: str, engine: str, times: str = "20") -> None:
    luck = random.Random(f"{victim}/{engine}")
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), engine)
        restarts, killed_at = disturb(trial, victim, int(times), luck)
        disturbed, recorded = (
            trial.answers("disturbed"),
            [batch for batch in recording_engine.batches(trial.record) if batch],
        )
        trial.run("profile", "undisturbed")
        undisturbed = trial.answers("undisturbed")
    again = Counter(question for batch in recorded for question in batch)
    twice = {question for question, count in again.items() if count > 1}
    open_batches = {question for batch in killed_at for question in batch}
    keys = {key for key, *_ in disturbed}
    assert len(disturbed) == len(keys) == N_QUERIES, (len(disturbed), len(keys))
    assert not [error for _, _, error, _ in disturbed if error]
    assert disturbed == undisturbed
    assert twice <= open_batches, "a query of a batch that was stored has been asked again"
    columns = ["killed", "engine", "kills", "of them while answering", "restarts of the command", "responses"]
    columns += ["asked again", "of an open batch", "differ from undisturbed"]
    row = [victim, engine, times, str(len(killed_at)), str(restarts), str(len(disturbed)), str(len(twice))]
    markdown(columns, [[*row, str(len(twice & open_batches)), "0"]])


def disturb(trial: Trial, victim: str, times: int, luck: random.Random) -> tuple[int, list[list[str]]]:
    """Profile with `times` kills. Returns the number of restarts of the command, and the batches open at kills."""
    command, restarts, killed_at = trial.start("profile", "disturbed"), 0, []
    kills = began = 0  # `began`: batches recorded at the previous kill
    while kills < times:
        if (ended := command.poll()) is not None:
            if ended == 0:
                raise SystemExit(f"done after {kills} kills: it is too fast for {times}")
            command, restarts = trial.start("profile", "disturbed"), restarts + 1
        seen = len(recording_engine.batches(trial.record))
        if luck.random() < 2 / 3:  # while it answers: once it is loaded and asked
            wait_for_batches(trial, command, seen, luck.randint(1, 2))
            time.sleep(luck.uniform(0, 0.3))
        else:
            time.sleep(luck.uniform(0.2, 8))
        pid = command.pid if victim == "cli" else child_of(command.pid, victim)
        if pid is None or command.poll() is not None:
            continue
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            kills += 1
            time.sleep(
                1
            )  # a process that still runs may begin another batch; no other engine is loaded within a second
            noted = recording_engine.batches(trial.record)
            under_way = [question for batch in noted[began:][-trial.n_open :] for question in batch]
            killed_at += [under_way] if under_way else []
            began = len(noted)
        if victim == "cli":
            command.wait()
        print(f"{victim}: kill {kills} of {times}", file=sys.stderr, flush=True)
    while (code := command.wait()) != 0:
        # A question that was alone in the engine at two kills is an error row: it is taken for the cause.
        again = ["--retry-errors"] if code == UnfinishedError.exit_code else []
        command, restarts = trial.start("profile", "disturbed", *again), restarts + 1
    return restarts, killed_at


def wait_for_batches(trial: Trial, command: subprocess.Popen[bytes], seen: int, n: int) -> None:
    while command.poll() is None and sum(map(bool, recording_engine.batches(trial.record)[seen:])) < n:
        time.sleep(0.02)


def child_of(pid: int, victim: str) -> int | None:
    """The engine server of a command, or the process that vLLM has started in its group."""
    wanted = "benchcoe_jobs.engines.engine_server" if victim == "host" else "VLLM::EngineCor"
    for child in descendants(pid):
        with suppress(OSError):
            name = Path(f"/proc/{child}/comm").read_text()
            if wanted in Path(f"/proc/{child}/cmdline").read_text() or wanted in name:
                return child
    return None


def descendants(pid: int) -> Sequence[int]:
    found = []
    with suppress(OSError):
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            found += [child, *descendants(child)]
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
