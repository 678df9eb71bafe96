"""Recovery times after real faults during a run, on both databases.

    python bench/faults.py [--fast] [--kills 200] [--lease 60] [SCENARIO ...]

The scenarios are those of tests/helpers/scenarios.py. The test suite runs a few of them; --fast runs all others once,
and is a part of .ci/run. With --kills N the child process of a worker is killed N times at random points, in the
profile of one expert after the other. The exit code is 1 if a scenario ends differently than it must.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from harness import markdown

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "helpers"))

import fake_plugins  # noqa: E402
import fault_ground  # noqa: E402
import installation  # noqa: E402  (they are where the tests are)
import scenarios  # noqa: E402

from benchcoe_jobs.domain import JobState  # noqa: E402
from benchcoe_jobs.services.inference.job import profile_request  # noqa: E402
from benchcoe_jobs.services.rescore import rescore  # noqa: E402

N_QUERIES = 512
"""Queries of each profile: two shards, eight micro-batches."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    parser.add_argument("--fast", action="store_true", help="only what the test suite does not run")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--lease", type=float, default=8.0, help="seconds")
    given = parser.parse_args()
    with bench(given.lease) as place:
        if given.kills:
            columns = ["database", "lease s", "kills", "recovery s: median", "95 %", "longest", "lost or doubled"]
            markdown(columns, [place.kills(database, given.kills) for database in scenarios.DATABASES])
        else:
            sys.exit(not measure(place, chosen(given.scenarios, fast=given.fast)))


def chosen(names: Sequence[str], *, fast: bool) -> list[tuple[fault_ground.Scenario, str]]:
    """The scenarios of these names, or all, with their databases."""
    pairs = scenarios.pairs()
    if fast:
        pairs = [pair for pair in pairs if pair not in scenarios.IN_THE_SUITE]
    elif find_spec("vllm") is not None:
        pairs += [(scenario, scenarios.SQLITE) for scenario in scenarios.WITH_VLLM]
    return [pair for pair in pairs if not names or pair[0].__name__ in names]


def measure(place: Bench, pairs: Sequence[tuple[fault_ground.Scenario, str]]) -> bool:
    """Run the scenarios and print their recovery times; whether all ended as they must."""
    rows, good = [], True
    for scenario, database in pairs:
        began = time.monotonic()
        try:
            recovery = f"{place.run(scenario, database):.1f}"
        except (AssertionError, TimeoutError):
            traceback.print_exc()
            recovery, good = "failed", False
        rows.append([(scenario.__doc__ or "").strip(), database, recovery])
        print(*rows[-1], f"{time.monotonic() - began:.1f} s in all", sep=" | ", file=sys.stderr, flush=True)
    markdown(["fault", "database", "recovery s"], rows)
    return good


@contextmanager
def bench(lease_s: float) -> Iterator[Bench]:
    """A folder, a PostgreSQL server, and the registered plug-ins."""
    with tempfile.TemporaryDirectory(prefix="bf") as folder, pytest.MonkeyPatch.context() as patch:
        fake_plugins.install(Path(folder), patch)
        postgres = installation.Postgres(Path(folder) / "pg")
        try:
            yield Bench(Path(folder), postgres, lease_s)
        finally:
            postgres.stop()


class Bench:
    """Makes a store for each scenario. All share one PostgreSQL server, which scenarios restart."""

    def __init__(self, folder: Path, postgres: installation.Postgres, lease_s: float) -> None:
        self._folder = folder
        self._postgres = postgres
        self._lease_s = lease_s
        self._n = 0
        self._undisturbed = fault_ground.undisturbed(folder / "undisturbed", self._sqlite(folder / "undisturbed"))

    def run(self, scenario: fault_ground.Scenario, database: str) -> float:
        """The recovery time of a scenario, in seconds."""
        with self._ground(database) as ground:
            return scenario(ground)

    def kills(self, database: str, n: int) -> list[str]:
        """The row of the table for `n` kills of the process that runs shards."""
        rng = random.Random(1)
        took: list[float] = []
        with self._ground(database) as ground:
            site = ground.site
            site.add_expert("calm")
            calm = self._profile(site, "calm")
            worker = site.start_worker()
            site.wait(calm)
            began = time.monotonic()
            site.add_expert("timed")
            site.wait(self._profile(site, "timed"))
            span = time.monotonic() - began
            expected = installation.responses_of(site.store, "calm")
            for number in range(n):
                name = f"expert{number}"
                site.add_expert(name)
                job_id = self._profile(site, name)
                time.sleep(rng.uniform(0, span))
                worker.signal_child(signal.SIGKILL)
                before, killed = site.n_processed(job_id), time.monotonic()
                if before < N_QUERIES:
                    site.wait_until_processed(job_id, before + 1)
                    took.append(time.monotonic() - killed)
                assert site.wait(job_id).state is JobState.DONE
                found = installation.responses_of(site.store, name)
                assert found == expected, f"{name}: {len(found)} of {len(expected)}"
                print(database, number + 1, f"{took[-1] if took else 0:.2f}", file=sys.stderr, flush=True)
            assert rescore(site.store, "fake").changed == 0
            assert installation.open_ends(site.store) == {"jobs": 0, "shards": 0}
        tail = statistics.quantiles(took, n=20, method="inclusive")[-1] if len(took) > 1 else took[0]
        figures = [statistics.median(took), tail, max(took)]
        return [database, f"{self._lease_s:g}", str(n), *(f"{figure:.2f}" for figure in figures), "0"]

    def _profile(self, site: installation.Site, expert: str) -> int:
        return site.submit("profile", profile_request(expert, ["fake"], limit=N_QUERIES))

    @contextmanager
    def _ground(self, database: str) -> Iterator[fault_ground.Ground]:
        self._n += 1
        folder = self._folder / f"site{self._n}"
        url = self._sqlite(folder) if database == scenarios.SQLITE else self._postgres.fresh(f"site{self._n}")
        with fault_ground.ground(folder, url, self._undisturbed, self._postgres, lease_s=self._lease_s) as ground:
            yield ground
        shutil.rmtree(folder)

    def _sqlite(self, folder: Path) -> str:
        folder.mkdir()
        url = f"sqlite:///{folder / 'benchcoe.db'}"
        installation.migrate(url)
        return url


if __name__ == "__main__":
    main()
