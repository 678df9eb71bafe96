"""The ground on which faults are injected: an installation in the middle of a job, and how it must end.

A scenario gets a `Ground` whose questions have not been run. It returns the seconds from the fault (for an outage:
from its end) to the next stored item, and raises AssertionError if a check fails.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fake_plugins
import installation
from disturbances import Broker
from installation import Postgres, Site, Worker
from sqlalchemy import text

from benchcoe_jobs.domain import JobState

N = 1300
"""Questions: five shards of 256, each of four micro-batches, and a short one."""

MICRO_BATCH = 64

POISONED = 300
"""The question that kills its worker."""


@dataclass
class Ground:
    """Where a fault happens. `folder` holds orders for the engine; `undisturbed` holds the expected results."""

    site: Site
    undisturbed: Site
    broker: Broker
    folder: Path
    postgres: Postgres | None = None

    def slow(self, seconds: float) -> None:
        """Set the duration of a micro-batch."""
        (self.folder / "slow").write_text(str(seconds))

    def begin(self, *, slow: float = 0.2, through: int = 100) -> tuple[Worker, int]:
        """Start a worker and wait until it is in the middle of a profile."""
        self.slow(slow)
        self.site.add_expert("ann")
        worker = self.site.start_worker()
        job_id = self.site.profile("ann")
        self.site.wait_until_processed(job_id, through)
        return worker, job_id

    def recovery_s(self, job_id: int) -> float:
        """Seconds from now to the next stored item; 0 if all items were stored before."""
        began, before = time.monotonic(), self.site.n_processed(job_id)
        self.site.wait_until_processed(job_id, min(before + 1, N))
        return time.monotonic() - began

    def require_undisturbed(self, job_id: int) -> None:
        """Wait for the end of a job, and check that its results equal those of an undisturbed run."""
        self.slow(0)
        job = self.site.wait(job_id)
        assert job.state is JobState.DONE, job
        installation.require_undisturbed(self.site, self.undisturbed)

    def undisturbed_after_s(self, job_id: int) -> float:
        """The end of most scenarios: the seconds of `recovery_s`, after the results were checked."""
        recovery = self.recovery_s(job_id)
        self.require_undisturbed(job_id)
        return recovery


Scenario = Callable[[Ground], float]


@contextmanager
def ground(
    folder: Path, url: str, undisturbed: Site, postgres: Postgres | None = None, *, lease_s: float = 8
) -> Iterator[Ground]:
    """The ground of one scenario. `url` is the URL of an upgraded, empty store."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("poisoned", "slow", "calls"):
        (orders() / name).unlink(missing_ok=True)
    broker = Broker()
    made = Ground(Site(folder, url, broker.url, lease_s), undisturbed, broker, orders(), postgres)
    first = made.site
    try:
        installation.prepare(first.store, folder, N, poison=[POISONED])
        yield made
    finally:
        made.site.close()
        first.close()
        broker.stop()


def undisturbed(folder: Path, url: str) -> Site:
    """The expected results: the same job in the foreground, without a fault."""
    site = Site(folder, url)
    installation.prepare(site.store, folder, N, poison=[POISONED])
    site.add_expert("ann")
    site.follow(site.profile("ann"))
    return site


def orders() -> Path:
    """The folder in which engines read their orders."""
    return fake_plugins.folder()


def command(site: Site, *words: str, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start a command in the foreground."""
    site.broker_url = None
    return subprocess.Popen(
        [installation.CONSOLE, *words, "--quiet"],
        env=site.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


def require_integrity(site: Site) -> None:
    with site.store.reading() as connection:
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
