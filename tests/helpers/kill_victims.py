"""Kill the processes of a command or a worker at a random moment."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import installation
from installation import Site, Worker, wait_for
from kill_worlds import run, start


@dataclass
class Kills:
    """Which processes were killed, and the time of the last kill."""

    victims: list[str] = field(default_factory=list)
    last_at: float = 0.0

    def add(self, victim: str, pids: Sequence[int]) -> None:
        """SIGKILL."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.victims.append(victim)
        self.last_at = time.monotonic()


def kill_command(site: Site, words: Sequence[str], moments: tuple[float, float], luck: random.Random, n: int) -> Kills:
    """Start the command and kill it or its engine server, `n` times; fewer if it ends before.

    A moment is uniform between the two of `moments`, in seconds after the start.
    """
    kills = Kills()
    for _ in range(n):
        command = start(site, *words)
        time.sleep(luck.uniform(*moments))
        engines = [pid for pid in descendants(command.pid) if is_engine(pid)]
        victim = luck.choice([command.pid, command.pid, *engines])
        if command.poll() is not None:
            break
        kills.add("command" if victim == command.pid else "engine", [victim])
        if command.wait() == 0:
            break
    return kills


def kill_workers(site: Site, words: Sequence[str], span_s: float, luck: random.Random, n: int) -> Kills:
    """Queue the command's work, and kill processes of a worker while the job is open; wait for its end.

    A worker whose parent process was killed is replaced, as systemd would do.
    """
    kills, worker = Kills(), ready_worker(site, "worker0")
    run(site, *words)
    for number in range(1, n + 1):
        time.sleep(luck.uniform(0, span_s))
        if not installation.open_ends(site.store)["jobs"]:
            break
        victim = luck.choice(["child", "parent", "worker", "engine"])
        if pids := _processes(worker, victim):
            kills.add(victim, pids)
        if worker.process.pid in pids:
            worker.process.wait()
            worker = site.start_worker(f"worker{number}")
    wait_for(lambda: not installation.open_ends(site.store)["jobs"], "the job is over")
    return kills


def _processes(worker: Worker, victim: str) -> list[int]:
    """The process that runs shards, its parent, both, or the engine server."""
    children = worker.children
    match victim:
        case "child":
            return children
        case "parent":
            return [worker.process.pid]
        case "worker":
            return [*children, worker.process.pid]
    return [pid for pid in descendants(worker.process.pid) if is_engine(pid)]


def ready_worker(site: Site, name: str) -> Worker:
    """A worker that has registered."""
    worker = site.start_worker(name)
    wait_for(lambda: any(listed.startswith(name) for listed in site.listed_workers()), f"worker {name} is registered")
    return worker


def descendants(pid: int) -> list[int]:
    """The processes below a process."""
    with suppress(OSError):
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [*children, *(below for child in children for below in descendants(child))]
    return []


def is_engine(pid: int) -> bool:
    """Whether a process is an engine server, and lives."""
    with suppress(OSError):
        return "engine_server" in Path(f"/proc/{pid}/cmdline").read_text()
    return False
