"""How long a shard lies idle after its worker is killed, with the default lease (60 s) and sweep (every 15 s).

    python bench/recovery.py [--kills 12] [--foreign 40]

Three deaths, each until the shard is run again, on PostgreSQL and Valkey:
- the process that runs shards gets SIGKILL; its parent lives, forks another and sweeps;
- the whole worker gets SIGKILL; another worker on the machine sees by its process number that it is gone;
- a worker on another machine goes silent between two beats: only its lease tells. It is played by claims with
  another machine's signature, last extended up to one beat (10 s) before the death.
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

from benchcoe_jobs.dispatch.celery import make_app, top_up
from benchcoe_jobs.job_queue.lease import BEATS_PER_LEASE
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import claims, workers
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.workers.sweeper import SWEEPS_PER_LEASE

LEASE_S = 60.0
RNG = random.Random(7)


@dataclass(frozen=True)
class Begun:
    """A shard that was begun: which, at which attempt, by which process, when."""

    shard: int
    attempt: int
    pid: int
    at: float


class Drill:
    """A store with waiting shards, and the notes that they leave."""

    def __init__(self, made: Site, name: str) -> None:
        self.made = made
        self.store: Store = postgres_store(made, name)
        self.notes = made.folder / f"{name}.notes"
        self.notes.touch()
        self.settings = {NOTES: str(self.notes)}
        self._app = make_app(Settings(broker_url=made.broker_url))

    def submit(self, shards: int, seconds: float, number: int = 0) -> None:
        with self.store.writing() as connection:
            submit(connection, "sleep", {"shards": shards, "seconds": seconds, "number": number})

    def start_worker(self, number: int) -> subprocess.Popen[bytes]:
        return self.made.start_worker(url_of(self.store), f"worker{number}", **self.settings)

    def is_ready(self, number: int) -> bool:
        """Whether a worker has told of itself."""
        with self.store.reading() as connection:
            return any(worker.name.startswith(f"worker{number}-") for worker in workers.workers(connection))

    def one_at_work(self, number: int) -> Begun:
        """A new shard that some worker has begun a while ago; it would not end for long."""
        seen = len(self.begun())
        self.submit(1, 600.0, number)
        top_up(self._app, self.store)
        until(lambda: len(self.begun()) > seen)
        time.sleep(RNG.uniform(0, LEASE_S / SWEEPS_PER_LEASE))  # so that deaths meet sweeps at any distance
        return self.begun()[-1]

    def idle_s(self, victim: Begun, died: float) -> float:
        """From a death to the next beginning of the shard."""
        until(lambda: self.begun()[-1].attempt == victim.attempt + 1)
        again = self.begun()[-1]
        assert again.shard == victim.shard
        return again.at - died

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
            row("the process that runs shards", killed_children(Drill(made, "child"), options.kills)),
            row("the whole worker, another on the machine", killed_workers(Drill(made, "whole"), options.kills)),
            row("a worker on another machine", silent_elsewhere(Drill(made, "silent"), options.foreign)),
        ]
    markdown(["killed", "deaths", "median s", "90 % s", "longest s", "promised s"], rows)


def row(what: str, waits: list[float]) -> list[str]:
    waits = sorted(waits)
    ninth = waits[min(int(0.9 * len(waits)), len(waits) - 1)]
    return [what, str(len(waits)), *(f"{s:.1f}" for s in (statistics.median(waits), ninth, waits[-1])), "75"]


def killed_children(drill: Drill, kills: int) -> list[float]:
    waits = []
    with drill.made.workers(url_of(drill.store), **drill.settings):
        for number in range(kills):
            victim = drill.one_at_work(number)
            died = time.time()
            os.kill(victim.pid, signal.SIGKILL)
            waits.append(drill.idle_s(victim, died))
    return waits


def killed_workers(drill: Drill, kills: int) -> list[float]:
    """Two workers, of which one has the shard and dies; a new one takes its place for the next time."""
    waits = []
    crew = {w.pid: w for w in (drill.start_worker(0), drill.start_worker(1))}
    try:
        for number in range(kills):
            victim = drill.one_at_work(number)
            worker = crew.pop(os.getpgid(victim.pid))
            died = time.time()
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            waits.append(drill.idle_s(victim, died))
            new = drill.start_worker(2 + number)
            crew[new.pid] = new
            until(lambda number=2 + number: drill.is_ready(number))
    finally:
        stop(list(crew.values()))
    return waits


def silent_elsewhere(drill: Drill, deaths: int) -> list[float]:
    """All die at once, each another time after its last beat; one worker is there to take their shards."""
    drill.submit(deaths, 0.0)
    last_beats = [RNG.uniform(0, LEASE_S / BEATS_PER_LEASE) for _ in range(deaths)]
    with drill.store.writing() as connection:
        for ago in last_beats:
            claims.claim(connection, "elsewhere:1@another.1", ["cpu"], lease_s=LEASE_S - ago)
    died = time.time()
    time.sleep(RNG.uniform(0, LEASE_S / SWEEPS_PER_LEASE))  # a sweep begins with the worker: not with the death
    with drill.made.workers(url_of(drill.store), **drill.settings):
        until(lambda: len(drill.begun()) == deaths, at_most_s=2 * LEASE_S)
    return [begun.at - died for begun in drill.begun()]


if __name__ == "__main__":
    main()
