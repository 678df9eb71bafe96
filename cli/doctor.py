"""The command doctor: check the installation, the store, the broker and the workers."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from benchcoe_jobs.errors import BenchcoeError, MissingError
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.wording import counted

from .command import Command, Session, table

PACKAGES = {
    "scikit-learn": "pip install benchcoe-jobs",
    "accelerate": "pip install 'benchcoe-jobs[routers]' (bert routers)",
    "sentence-transformers": "pip install 'benchcoe-jobs[routers]' (embedding routers)",
    "httpx2": "pip install 'benchcoe-jobs[endpoints]' (experts behind endpoints)",
    "torch": "pip install 'benchcoe-jobs[engines]'",
    "transformers": "pip install 'benchcoe-jobs[engines]'",
    "vllm": "pip install 'benchcoe-jobs[vllm]' (GPU inference)",
    "psycopg": "pip install 'benchcoe-jobs[postgres]' (PostgreSQL)",
    "huggingface-hub": "pip install 'benchcoe-jobs[hub]' (downloads)",
    "pyarrow": "pip install 'benchcoe-jobs[tables]' (Parquet files)",
    "openpyxl": "pip install 'benchcoe-jobs[tables]' (workbooks)",
}

_COUNT_LIMIT = 10_000
"""Waiting shards are counted up to this number."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `state` is ok, missing (optional) or broken (configured but unusable)."""

    what: str
    state: str
    detail: str


@click.command(cls=Command)
def doctor(session: Session) -> None:
    """Check the installation, the store, broker and workers.

    Lists what works, what is missing and how to install it. The exit code is 4 if something that is
    configured cannot be used; a missing extra is not an error.
    """
    checks = list(_checks(session.settings))
    session.show(
        {"checks": [asdict(check) for check in checks]},
        lambda: table([[check.what, check.state, check.detail] for check in checks], ["what", "state", "detail"]),
    )
    if broken := [check.what for check in checks if check.state == "broken"]:
        raise MissingError(f"not usable: {', '.join(broken)}")


def _checks(settings: Settings) -> Iterator[Check]:
    yield Check("python", "ok", sys.version.split()[0])
    yield Check("sqlite", "ok", sqlite3.sqlite_version)
    yield _database(settings)
    yield _home(settings)
    yield _broker(settings)
    yield from _queue(settings)
    for package, hint in PACKAGES.items():
        yield _package(package, hint)
    yield _pictures()
    yield _gpus()


def _database(settings: Settings) -> Check:
    from benchcoe_jobs.store.session import connect, open_store

    try:
        with closing(connect(settings.database_url)) as store:
            if store.revision() is None:
                return Check("database", "missing", f"{store.shown_url} is empty: run `benchcoe-jobs init`")
        with closing(open_store(settings.database_url)) as store:
            return Check("database", "ok", f"{store.shown_url}, schema {store.revision()}{_others(store.address.path)}")
    except BenchcoeError as error:
        return Check("database", "broken", str(error))


def _others(path: Path | None) -> str:
    """A note if other users can read the file of a store, as with files that releases before 0.3.0 created."""
    if path is None or not (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        return ""
    return f"; other users of this machine can open it (mode {mode:04o}): `chmod 600 {shlex.quote(str(path))}`"


def _home(settings: Settings) -> Check:
    """The folder of artifacts, and the routers of the store whose artifacts it lacks."""
    from benchcoe_jobs.store.routing import routers
    from benchcoe_jobs.store.session import open_store

    home = settings.home
    try:
        with closing(open_store(settings.database_url)) as store, store.reading() as connection:
            known = routers.routers(connection)
    except BenchcoeError:  # the check of the database reports it
        known = []
    if lost := [router.name for router in known if not os.access(home / router.artifact, os.R_OK | os.X_OK)]:
        return Check(
            "home",
            "broken",
            f"{home} lacks {counted(len(lost), 'router')} of the store ({', '.join(lost[:5])}): "
            "set BENCHCOE_HOME to the folder where they were trained, which all machines must share",
        )
    if not home.is_dir():
        return Check("home", "ok", f"{home}, which the first training makes")
    return Check("home", "ok", f"{home}, {counted(len(known), 'router')} of the store")


def _broker(settings: Settings) -> Check:
    if settings.broker_url is None:
        return Check("broker", "missing", "BENCHCOE_BROKER_URL is not set: jobs run in the foreground")
    from benchcoe_jobs.dispatch.broker import fault_of

    fault = fault_of(settings)
    return Check("broker", "broken" if fault else "ok", fault or "it answers")


def _queue(settings: Settings) -> Iterator[Check]:
    """The workers with their last heartbeats, and the queues with waiting shards."""
    from benchcoe_jobs.store.job_queue import unfinished, workers
    from benchcoe_jobs.store.session import open_store

    try:
        with closing(open_store(settings.database_url)) as store, store.reading() as connection:
            all_workers = workers.workers(connection)
            waiting = unfinished.waiting_shards(connection, at_most=_COUNT_LIMIT)
    except BenchcoeError:  # the check of the database reports it
        return
    # A worker sends four heartbeats during a lease.
    alive = [worker for worker in all_workers if worker.seen_s_ago < settings.lease_s]
    served = {queue for worker in alive for queue in worker.queues.split(",")}
    if all_workers:
        names = [f"{worker.name} ({worker.queues}) seen {worker.seen_s_ago:.0f} s ago" for worker in all_workers]
        yield Check("workers", "ok" if alive else "missing", "; ".join(names))
    elif settings.broker_url is not None:
        yield Check("workers", "missing", "none is registered: run `benchcoe-jobs worker`")
    for queue, n in sorted(waiting.items()):
        shards = f"{_COUNT_LIMIT:,} or more shards" if n == _COUNT_LIMIT else counted(n, "shard")
        if queue in served:
            yield Check(f"queue {queue}", "ok", f"{shards} waiting")
            continue
        hint = f"run `benchcoe-jobs worker --queues {queue}`"
        if settings.broker_url is None:
            hint = "repeat the command that started the job"
        yield Check(f"queue {queue}", "missing", f"{shards} waiting and no worker: {hint}")


def _package(package: str, hint: str) -> Check:
    try:
        return Check(package, "ok", version(package))
    except PackageNotFoundError:
        return Check(package, "missing", hint)


def _pictures() -> Check:
    """What the installed packages can do with pictures; no model library is imported."""
    try:
        pillow = version("pillow")
    except PackageNotFoundError:
        return Check("pictures", "missing", "no expert can be shown one: pip install 'benchcoe-jobs[endpoints]'")
    from benchcoe_jobs.picture_opener import formats

    resizing = "models that need torchvision for them cannot be loaded; no tested family does"
    with suppress(PackageNotFoundError):
        resizing = f"torchvision {version('torchvision')} resizes them for models here"
    return Check("pictures", "ok", f"Pillow {pillow} opens {', '.join(formats())}; {resizing}")


def _gpus() -> Check:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("gpus", "missing", "nvidia-smi is not installed: the CPU is used")
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        finished = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 -- constant arguments
    except (OSError, subprocess.TimeoutExpired) as error:  # a driver that hangs
        return Check("gpus", "missing", f"nvidia-smi cannot be run: {type(error).__name__}")
    names = finished.stdout.strip().splitlines()
    return Check("gpus", "ok" if names else "missing", "; ".join(names) or finished.stderr.strip()[:200])
