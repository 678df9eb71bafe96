"""Faults of workers and engines: killed processes, lost leases, and lost or superfluous tickets."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import fake_plugins
import installation
from fault_ground import Ground, require_integrity
from installation import Worker, wait_for
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from benchcoe_jobs import demo
from benchcoe_jobs.demo.questions import SUBJECTS, write_questions
from benchcoe_jobs.dispatch.celery import TicketApp
from benchcoe_jobs.dispatch.tickets import TICKET
from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.job_queue.lifecycle import retry
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.store.job_queue import expired_leases
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS

ENGINE_CORE = "VLLM::EngineCore"
"""The name of vLLM's own process."""


# --- killed processes --------------------------------------------------------------------------------------------


def worker_child_killed(ground: Ground) -> float:
    """SIGKILL of the process that runs shards."""
    worker, job_id = ground.begin()
    worker.signal_child(signal.SIGKILL)
    return ground.undisturbed_after_s(job_id)


def worker_parent_killed(ground: Ground) -> float:
    """SIGKILL of Celery's parent; another worker is started, as systemd would do."""
    worker, job_id = ground.begin()
    worker.process.kill()
    worker.process.wait()
    ground.site.start_worker("another")
    return ground.undisturbed_after_s(job_id)


def child_killed_in_mid_sweep(ground: Ground) -> float:
    """SIGKILL of the process that runs shards while its parent has the store open: Celery forks when it is closed."""
    worker, job_id = ground.begin()
    [child] = wait_for(lambda: worker.children, "the worker has a child")
    path = ground.site.folder / "benchcoe.db"
    with closing(sqlite3.connect(path, timeout=installation.PATIENCE_S, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # a sweep waits for it; one that is just ending has ended half a second later
        wait_for(lambda: worker.has_open(path) and _still(worker, path), "the parent waits in its sweep")
        os.kill(child, signal.SIGKILL)
        time.sleep(2)  # Celery forks immediately if it can
        forked = set(worker.children) - {child}
        other.execute("ROLLBACK")
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    assert not forked, "SQLite in that child takes its parent's locks for its own"
    require_integrity(ground.site)
    return recovery


def _still(worker: Worker, path: Path) -> bool:
    time.sleep(0.5)
    return worker.has_open(path)


def whole_worker_killed(ground: Ground) -> float:
    """SIGKILL of parent and child, as when the machine runs out of memory."""
    worker, job_id = ground.begin()
    worker.end()
    ground.site.start_worker("another")
    return ground.undisturbed_after_s(job_id)


def engine_host_killed(ground: Ground) -> float:
    """SIGKILL of the process that holds the expert."""
    _, job_id = ground.begin()
    subprocess.run(["kill", "-KILL", str(fake_plugins.engine_pids()[-1])], check=True)
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    assert {attempts for _, attempts in ground.site.shards(job_id)} == {1}, "no shard was lost by it"
    return recovery


def engine_core_killed(ground: Ground) -> float:
    """SIGKILL of vLLM's own process, the grandchild of the one that runs shards."""
    site = ground.site
    write_questions(ground.folder / "skills.jsonl", per_subject=80)
    add_benchmark(site.store, "skills", ground.folder / "skills.jsonl")
    for name in ("calm", "ann"):
        site.add_expert(name, str(demo.model_folder("clerk")), "fake-vllm")
    worker = site.start_worker()
    calm = site.profile("calm", "skills")
    site.wait_until_processed(calm, 1)
    site.wait(calm)
    ground.slow(0.2)
    job_id = site.profile("ann", "skills")
    site.wait_until_processed(job_id, 100)
    victim = worker.descendant(ENGINE_CORE)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    recovery = ground.recovery_s(job_id)
    ground.slow(0)
    assert site.wait(job_id).state is JobState.DONE
    assert worker.descendant(ENGINE_CORE) not in (victim, None)
    found = installation.responses_of(site.store, "ann")
    assert (len(found), set(found.values())) == (80 * len(SUBJECTS), {1})
    assert found == installation.responses_of(site.store, "calm")
    assert {attempts for _, attempts in site.shards(job_id)} == {1}, "no shard was lost by it"
    assert installation.open_ends(site.store) == {"jobs": 0, "shards": 0}
    return recovery


def poisoned_shard(ground: Ground) -> float:
    """A shard that always kills its worker fails after MAX_ATTEMPTS; other shards do not; it can be retried."""
    (ground.folder / "poisoned").touch()
    ground.slow(0)
    ground.site.add_expert("ann")
    ground.site.start_worker()
    job_id = ground.site.profile("ann")
    job = ground.site.wait(job_id)
    assert (job.state, job.exit_code) == (JobState.PARTIAL, 3), job
    shards = ground.site.shards(job_id)
    assert [shard for shard in shards if shard[0] == "failed"] == [("failed", MAX_ATTEMPTS)]
    assert [state for state, _ in shards].count("done") == len(shards) - 1
    (ground.folder / "poisoned").unlink()
    assert retry(ground.site.store, job_id) == 1
    ground.site.runner.announce()
    return ground.undisturbed_after_s(job_id)


# --- leases ------------------------------------------------------------------------------------------------------


def worker_stopped_past_its_lease(ground: Ground) -> float:
    """SIGSTOP: another worker takes over when the lease expires; after SIGCONT the late writes are refused."""
    ground.site = installation.Site(ground.site.folder, ground.site.url, ground.site.broker_url, lease_s=3)
    worker, job_id = ground.begin()
    _stop_between_transactions(ground, worker)
    with ground.site.store.reading() as connection:
        stopped = expired_leases.running_owners(connection)

    def is_taken_from_it() -> bool:
        with ground.site.store.reading() as connection:
            return stopped.isdisjoint(expired_leases.running_owners(connection))

    ground.site.start_worker("another")
    recovery = ground.recovery_s(job_id)
    wait_for(is_taken_from_it, "its shard has another owner")
    worker.signal_child(signal.SIGCONT)
    ground.require_undisturbed(job_id)
    wait_for(lambda: "has gone to another worker" in worker.log.read_text(), "the late worker reports its lost lease")
    return recovery


def _stop_between_transactions(ground: Ground, worker: Worker) -> None:
    """Stop a worker that holds no lock of the database: all that write would wait for it, whatever its lease is."""
    worker.signal_child(signal.SIGSTOP)
    while _holds_lock(ground):
        worker.signal_child(signal.SIGCONT)
        time.sleep(0.05)
        worker.signal_child(signal.SIGSTOP)


def _holds_lock(ground: Ground) -> bool:
    store = ground.site.store
    try:
        if store.is_sqlite:
            with closing(sqlite3.connect(ground.site.folder / "benchcoe.db", timeout=1, isolation_level=None)) as file:
                file.execute("BEGIN IMMEDIATE")
        else:
            with store.writing() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '1s'"))
                connection.execute(text("SELECT id FROM shard FOR UPDATE"))
    except (sqlite3.OperationalError, DBAPIError, BenchcoeError):
        return True
    return False


def one_clock_is_wrong(ground: Ground) -> float:
    """Two workers with a sweeper each, one of them five minutes ahead: neither takes shards from the other."""
    (ground.folder / "ahead").mkdir(exist_ok=True)
    code = "import time\ntrue = time.time\ntime.time = lambda: true() + 300\n"
    (ground.folder / "ahead" / "sitecustomize.py").write_text(code)
    path = f"{ground.folder / 'ahead'}:{ground.site.environment()['PYTHONPATH']}"
    ground.site.start_worker("ahead", PYTHONPATH=path)
    _, job_id = ground.begin()
    wait_for(lambda: len(ground.site.listed_workers()) == 2, "both workers are registered")
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    assert {attempts for _, attempts in ground.site.shards(job_id)} == {1}
    return recovery


# --- tickets -----------------------------------------------------------------------------------------------------


def tickets_by_the_thousand(ground: Ground) -> float:
    """Two thousand superfluous tickets."""
    _, job_id = ground.begin()
    app = TicketApp(ground.site.settings)
    with app.connection_for_write() as connection:
        for _ in range(2000):
            app.send_task(TICKET, args=["gpu"], queue="gpu", connection=connection)
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    assert {attempts for _, attempts in ground.site.shards(job_id)} == {1}
    return recovery


def tickets_lost(ground: Ground) -> float:
    """A job without tickets: they went to a broker that lost them."""
    ground.slow(0)
    ground.site.add_expert("ann")
    ground.site.start_worker()
    wait_for(ground.site.listed_workers, "the worker is registered")
    job_id = ground.site.profile("ann")
    ground.broker.flush()
    return ground.undisturbed_after_s(job_id)
