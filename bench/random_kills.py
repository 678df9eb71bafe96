"""SIGKILL at random moments of every command that writes, and the store after the command was given again.

    python bench/random_kills.py [--kills 200] [--record kills.jsonl] [--only NAME ...] [--table]

The commands are the trials of tests/helpers/kill_trials.py. Each runs undisturbed once on each database. Then it is
started in a copy of the same installation and killed once, twice or three times, at moments that are uniform over its
undisturbed duration after start-up: the process of the command, its engine server, or for work that is queued the
process of a worker that runs shards, its parent, both, or the engine server. After every kill the same command is
given again, as a user would do; if a worker has ended, another one is started. Afterwards all that the store holds,
the files of the command and its artifacts must equal those of the undisturbed run.

Each run adds a line to the record. A run that is in the record is not repeated, so a stopped script continues. A kill
that came too late is not counted, and its run is made again.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import pytest
from harness import markdown

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import fake_plugins
import installation
from disturbances import Broker
from installation import Site
from kill_checks import Undisturbed, faults_of, give_again
from kill_trials import TRIALS, Trial
from kill_victims import kill_command, kill_workers, ready_worker
from kill_worlds import DATABASES, Worlds, control, run

KILLS_PER_RUN, WEIGHTS = (1, 2, 3), (4, 1, 1)
SHORTEST_S = 0.3
"""The least width of the time in which a kill comes."""


@dataclass
class Result:
    """One run of a trial. `recovery_s`: from the last kill until all work was done again."""

    trial: str
    database: str
    number: int
    killed: list[str]
    recovery_s: float
    undisturbed_s: float
    faults: list[str]


@dataclass(frozen=True)
class Calm:
    """The undisturbed run of a trial: its end, and its seconds, in all and before it begins to work."""

    end: Undisturbed
    took_s: float
    begins_s: float

    @property
    def moments(self) -> tuple[float, float]:
        """The seconds after its start between which a kill comes."""
        return self.begins_s, max(self.took_s, self.begins_s + SHORTEST_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--record", type=Path, default=Path("kills.jsonl"))
    parser.add_argument("--only", nargs="*", metavar="NAME", help="names of trials")
    parser.add_argument("--table", action="store_true", help="print the table of the record, and kill nothing")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # servers and workers end with the script
    if not given.table:
        chosen = [trial for trial in TRIALS if not given.only or trial.name in given.only]
        with bench(given.record) as drill:
            drill.go(chosen, given.kills)
    results = read(given.record)
    table(results)
    sys.exit(any(result.faults for result in results))


def read(record: Path) -> list[Result]:
    """The results that a record has."""
    lines = record.read_text().splitlines() if record.exists() else []
    return [Result(**json.loads(line)) for line in lines]


def table(results: Sequence[Result]) -> None:
    """Print a row for each trial and database, and one for all."""
    columns = ["command", "database", "runs", "kills", "undisturbed s", "recovery s: median", "95 %", "longest"]
    pairs = dict.fromkeys((result.trial, result.database) for result in results)
    rows = [row(*pair, [each for each in results if (each.trial, each.database) == pair]) for pair in pairs]
    markdown([*columns, "runs with a fault"], [*rows, row("all", "both", results)] if results else [])


def row(name: str, database: str, results: Sequence[Result]) -> list[str]:
    took = sorted(result.recovery_s for result in results)
    tail = statistics.quantiles(took, n=20, method="inclusive")[-1] if len(took) > 1 else took[0]
    times = [statistics.median(result.undisturbed_s for result in results), statistics.median(took), tail, took[-1]]
    return [
        name,
        database,
        str(len(results)),
        str(sum(len(result.killed) for result in results)),
        *(f"{seconds:.1f}" for seconds in times),
        str(sum(bool(result.faults) for result in results)),
    ]


@contextmanager
def bench(record: Path) -> Iterator[Drill]:
    """A folder, a PostgreSQL server, a broker, and the plug-ins of the tests."""
    with tempfile.TemporaryDirectory(prefix="rk") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        fake_plugins.install(folder, patch)
        postgres, broker = installation.Postgres(folder / "pg"), Broker()
        try:
            yield Drill(Worlds(folder, postgres), broker, record)
        finally:
            broker.stop()
            postgres.stop()


@dataclass
class Drill:
    """Runs trials and records their results."""

    worlds: Worlds
    broker: Broker
    record: Path
    _calm: dict[tuple[str, str], Calm] = field(default_factory=dict)

    def go(self, trials: Sequence[Trial], kills: int) -> None:
        """Run the trials in turn, on both databases, until the record has `kills` kills of them."""
        names = {trial.name for trial in trials}
        done = [result for result in read(self.record) if result.trial in names]
        seen = {(result.trial, result.database, result.number) for result in done}
        n = sum(len(result.killed) for result in done)
        rounds = ((trial, database, number) for number in count() for trial in trials for database in DATABASES)
        while n < kills:
            trial, database, number = next(rounds)
            if (trial.name, database, number) not in seen:
                result = self.run(trial, database, number)
                n += len(result.killed)
                with self.record.open("a") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
                print(n, *asdict(result).values(), sep=" | ", file=sys.stderr, flush=True)

    def run(self, trial: Trial, database: str, number: int) -> Result:
        """Kill the command of a trial in a copy of its world, give it again, and compare."""
        calm = self._calm_run(trial, database)
        luck = random.Random(f"{trial.name}/{database}/{number}")
        [n] = luck.choices(KILLS_PER_RUN, WEIGHTS)
        while True:
            with self._copy(trial, database) as site:
                first, last = calm.moments
                if trial.by_workers:
                    kills = kill_workers(site, trial.words, last - first, luck, n)
                else:
                    kills = kill_command(site, trial.words, calm.moments, luck, n)
                if kills.victims:
                    faults = give_again(site, trial)
                    recovery_s = time.monotonic() - kills.last_at
                    faults += faults_of(site, trial, calm.end, len(kills.victims))
                    return Result(trial.name, database, number, kills.victims, recovery_s, calm.took_s, faults)

    def _calm_run(self, trial: Trial, database: str) -> Calm:
        """The undisturbed run of a trial, which is made once."""
        key = (trial.name, database)
        if key not in self._calm:
            with self._copy(trial, database) as site:
                began = time.monotonic()
                run(site, "--version")
                begins_s = time.monotonic() - began
                if trial.by_workers:
                    ready_worker(site, "calm")
                began = time.monotonic()
                run(site, *trial.words, *(["--wait"] if trial.by_workers else []))
                took_s = time.monotonic() - began
                self._calm[key] = Calm(Undisturbed.of(site, trial), took_s, begins_s)
        return self._calm[key]

    @contextmanager
    def _copy(self, trial: Trial, database: str) -> Iterator[Site]:
        if trial.by_workers:
            self.broker.flush()
        with self.worlds.copy(trial.world, database, self.broker.url if trial.by_workers else None) as site:
            control(site.folder, trial.slow_s)
            yield site


if __name__ == "__main__":
    main()
