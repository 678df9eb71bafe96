"""doctor: what is there, what is missing, and how to get it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import click

from benchcoe_jobs.errors import BenchcoeError, MissingError
from benchcoe_jobs.settings import Settings

from .command import Command, Session, table

PACKAGES = {
    "scikit-learn": "pip install benchcoe-jobs",
    "accelerate": "pip install 'benchcoe-jobs[routers]' (bert routers)",
    "sentence-transformers": "pip install 'benchcoe-jobs[routers]' (embedding routers)",
    "torch": "pip install 'benchcoe-jobs[engines]'",
    "transformers": "pip install 'benchcoe-jobs[engines]'",
    "vllm": "pip install 'benchcoe-jobs[vllm]' (GPU inference)",
    "psycopg": "pip install 'benchcoe-jobs[postgres]' (PostgreSQL)",
    "huggingface-hub": "pip install 'benchcoe-jobs[hub]' (downloads)",
    "pyarrow": "pip install 'benchcoe-jobs[hub]' (Parquet files)",
}

_COUNTED = 10_000
"""Waiting shards are counted so far: more of them are all the same."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `state` is ok, missing (optional) or broken (configured, yet unusable)."""

    what: str
    state: str
    detail: str


@click.command(cls=Command)
def doctor(session: Session) -> None:
    """Say what is there, what is missing and how to get it.

    Ends with 4 where something that is configured cannot be used; missing extras are no error.
    """
    checks = list(_checks(session.settings))
    session.show(
        {"checks": [asdict(check) for check in checks]},
        lambda: table([[f.what, f.state, f.detail] for f in checks], ["what", "state", "detail"]),
    )
    if broken := [check.what for check in checks if check.state == "broken"]:
        raise MissingError(f"not usable: {', '.join(broken)}")


def _checks(settings: Settings) -> Iterator[Check]:
    yield Check("python", "ok", sys.version.split()[0])
    yield Check("sqlite", "ok", sqlite3.sqlite_version)
    yield _database(settings)
    yield _broker(settings)
    yield from _queue(settings)
    for package, hint in PACKAGES.items():
        yield _package(package, hint)
    yield _gpus()


def _database(settings: Settings) -> Check:
    from benchcoe_jobs.store.session import connect, open_store

    try:
        with closing(connect(settings.database_url)) as store:
            if store.revision() is None:
                return Check("database", "missing", f"{store.shown_url} is empty: run `benchcoe-jobs init`")
        with closing(open_store(settings.database_url)) as store:
            return Check("database", "ok", f"{store.shown_url}, schema {store.revision()}")
    except BenchcoeError as error:
        return Check("database", "broken", str(error))


def _broker(settings: Settings) -> Check:
    if settings.broker_url is None:
        return Check("broker", "missing", "BENCHCOE_BROKER_URL is not set: work runs in the foreground")
    from benchcoe_jobs.dispatch.broker import fault_of

    fault = fault_of(settings)
    return Check("broker", "broken" if fault else "ok", fault or "it answers")


def _queue(settings: Settings) -> Iterator[Check]:
    """Workers as they were last seen, and queues in which shards wait that none of them serves."""
    from benchcoe_jobs.store.job_queue import jobs, workers
    from benchcoe_jobs.store.session import open_store

    try:
        with closing(open_store(settings.database_url)) as store, store.reading() as connection:
            crew = workers.workers(connection)
            waiting = jobs.waiting_shards(connection, at_most=_COUNTED)
    except BenchcoeError:  # the check about the database says it
        return
    # A worker tells of itself four times in a lease.
    alive = [worker for worker in crew if worker.seen_s_ago < settings.lease_s]
    served = {queue for worker in alive for queue in worker.queues.split(",")}
    if crew:
        names = [f"{worker.name} ({worker.queues}) seen {worker.seen_s_ago:.0f} s ago" for worker in crew]
        yield Check("workers", "ok" if alive else "missing", "; ".join(names))
    elif settings.broker_url is not None:
        yield Check("workers", "missing", "none has been seen: run `benchcoe-jobs worker`")
    for queue, n in sorted(waiting.items()):
        shards = f"{_COUNTED:,} shards or more" if n == _COUNTED else f"{n} shard{'' if n == 1 else 's'}"
        if queue in served:
            yield Check(f"queue {queue}", "ok", f"{shards} waiting")
        elif settings.broker_url is None:
            hint = "the command that began the job goes on with it"
            yield Check(f"queue {queue}", "missing", f"{shards} waiting and no worker: {hint}")
        else:
            hint = f"run `benchcoe-jobs worker --queues {queue}`"
            yield Check(f"queue {queue}", "missing", f"{shards} waiting and no worker: {hint}")


def _package(package: str, hint: str) -> Check:
    try:
        return Check(package, "ok", version(package))
    except PackageNotFoundError:
        return Check(package, "missing", hint)


def _gpus() -> Check:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("gpus", "missing", "no nvidia-smi: the CPU is used")
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 -- fixed words
    names = answer.stdout.strip().splitlines()
    return Check("gpus", "ok" if names else "missing", "; ".join(names) or answer.stderr.strip()[:200])
