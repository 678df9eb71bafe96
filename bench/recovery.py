"""The time until the shard of a killed worker runs again, with the default lease (60 s) and sweep (every 15 s).

    python bench/recovery.py [--kills 12] [--foreign 40]

Three kinds of kills, on PostgreSQL and Valkey:
- the process that runs shards gets SIGKILL; its parent process forks another one and sweeps;
- the whole worker gets SIGKILL; another worker on the machine finds that its process is gone;
- a worker on another machine stops between two heartbeats, and only its lease expires. It is simulated by claims with
  the identity of another machine, last extended up to one heartbeat interval (10 s) before the kill.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass

from harness import markdown
from plugins import NOTES
from servers import Site, postgres_store, site, stop, until, url_of

from benchcoe_jobs.dispatch.celery import TicketApp, top_up
from benchcoe_jobs.job_queue.lease import HEARTBEATS_PER_LEASE
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import claims, workers
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.workers.sweeper import SWEEPS_PER_LEASE

LEASE_S = 60.0
RNG = random.Random(7)


@dataclass(frozen=True)
class Begun:
    """The start of a shard: its id, attempt and process, and the time."""

    shard: int
    attempt: int
    pid: int
    at: float


class OpenShards:
    """A store with waiting shards, and the file to which they write their starts."""

    def __init__(self, made: Site, name: str) -> None:
        self.made = made
        self.store: Store = postgres_store(made, name)
        self.notes = made.folder / f"{name}.notes"
        self.notes.touch()
        self.settings = {NOTES: str(self.notes)}
        self._app = TicketApp(Settings(broker_url=made.broker_url))

    def submit(self, shards: int, seconds: float, number: int = 0) -> None:
        with self.store.writing() as connection:
            submit(connection, "sleep", {"shards": shards, "seconds": seconds, "number": number})

    def start_worker(self, number: int) -> subprocess.Popen[bytes]:
        return self.made.start_worker(url_of(self.store), f"worker{number}", **self.settings)

    def is_ready(self, number: int) -> bool:
        """Whether a worker has registered."""
        with self.store.reading() as connection:
            return any(worker.name.startswith(f"worker{number}-") for worker in workers.workers(connection))

    def one_at_work(self, number: int) -> Begun:
        """A new long shard that a worker started some time ago."""
        seen = len(self.begun())
        self.submit(1, 600.0, number)
        top_up(self._app, self.store)
        until(lambda: len(self.begun()) > seen)
        time.sleep(RNG.uniform(0, LEASE_S / SWEEPS_PER_LEASE))  # so that kills come at any distance from a sweep
        return self.begun()[-1]

    def idle_s(self, victim: Begun, killed: float) -> float:
        """Seconds from a kill to the next start of the shard."""
        until(lambda: self.begun()[-1].attempt == victim.attempt + 1)
        again = self.begun()[-1]
        assert again.shard == victim.shard
        return again.at - killed

    def begun(self) -> list[Begun]:
        rows = (line.split() for line in self.notes.read_text().splitlines())
        return [Begun(int(shard), int(attempt), int(pid), float(at)) for shard, attempt, pid, at in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--foreign", type=int, default=40)
    options = parser.parse_args()
    with site("benchcoe_jobs.jobs: sleep = plugins:Sleep") as made:
        rows = [
            row("the process that runs shards", killed_children(OpenShards(made, "child"), options.kills)),
            row("the whole worker, another on the machine", killed_workers(OpenShards(made, "whole"), options.kills)),
            row("a worker on another machine", silent_elsewhere(OpenShards(made, "silent"), options.foreign)),
        ]
    markdown(["killed", "kills", "median s", "90 % s", "longest s", "promised s"], rows)


def row(what: str, waits: list[float]) -> list[str]:
    waits = sorted(waits)
    ninth = waits[min(int(0.9 * len(waits)), len(waits) - 1)]
    return [what, str(len(waits)), *(f"{s:.1f}" for s in (statistics.median(waits), ninth, waits[-1])), "75"]


def killed_children(waiting: OpenShards, kills: int) -> list[float]:
    waits = []
    with waiting.made.workers(url_of(waiting.store), **waiting.settings):
        for number in range(kills):
            victim = waiting.one_at_work(number)
            killed = time.time()
            os.kill(victim.pid, signal.SIGKILL)
            waits.append(waiting.idle_s(victim, killed))
    return waits


def killed_workers(waiting: OpenShards, kills: int) -> list[float]:
    """Two workers; the one that has the shard is killed, and a new one replaces it."""
    waits = []
    running = {w.pid: w for w in (waiting.start_worker(0), waiting.start_worker(1))}
    try:
        for number in range(kills):
            victim = waiting.one_at_work(number)
            worker = running.pop(os.getpgid(victim.pid))
            killed = time.time()
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            waits.append(waiting.idle_s(victim, killed))
            new = waiting.start_worker(2 + number)
            running[new.pid] = new
            until(lambda number=2 + number: waiting.is_ready(number))
    finally:
        stop(list(running.values()))
    return waits


def silent_elsewhere(waiting: OpenShards, n: int) -> list[float]:
    """All stop together, each a different time after its last heartbeat; one worker then takes their shards."""
    waiting.submit(n, 0.0)
    last_heartbeats = [RNG.uniform(0, LEASE_S / HEARTBEATS_PER_LEASE) for _ in range(n)]
    with waiting.store.writing() as connection:
        for ago in last_heartbeats:
            claims.claim(connection, "elsewhere:1@another.1", ["cpu"], lease_s=LEASE_S - ago)
    killed = time.time()
    time.sleep(
        RNG.uniform(0, LEASE_S / SWEEPS_PER_LEASE)
    )  # the worker sweeps when it starts, which must not be at the kill
    with waiting.made.workers(url_of(waiting.store), **waiting.settings):
        until(lambda: len(waiting.begun()) == n, at_most_s=2 * LEASE_S)
    return [begun.at - killed for begun in waiting.begun()]


if __name__ == "__main__":
    main()
