"""Fault scenarios, each injected into a running queue: the fault, and what must hold afterwards.

A scenario gets a `Ground` whose questions have not been run. It returns the seconds from the fault (for an outage:
from its end) to the next stored item, and raises AssertionError if a check fails.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import fake_plugins
import installation
from disturbances import Broker, Terminal, Wire
from installation import Postgres, Site, Worker, wait_for
from sqlalchemy import select, text, update

from benchcoe_jobs import demo
from benchcoe_jobs.demo.questions import SUBJECTS, write_questions
from benchcoe_jobs.dispatch.celery import TICKET, make_app
from benchcoe_jobs.domain import JobState
from benchcoe_jobs.job_queue.lifecycle import cancel, retry
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.store.job_queue import claims, transitions
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS
from benchcoe_jobs.store.job_queue.tables import Shard
from benchcoe_jobs.store.session import connect

N = 1300
"""Questions: five shards of 256, each of four micro-batches, and a short one."""

MICRO_BATCH = 64

ENGINE_CORE = "VLLM::EngineCore"
"""The name of vLLM's own process."""

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


Scenario = Callable[[Ground], float]


# --- killed processes --------------------------------------------------------------------------------------------


def worker_child_killed(ground: Ground) -> float:
    """SIGKILL of the process that runs shards."""
    worker, job_id = ground.begin()
    worker.signal_child(signal.SIGKILL)
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


def worker_parent_killed(ground: Ground) -> float:
    """SIGKILL of Celery's parent; another worker is started, as systemd would do."""
    worker, job_id = ground.begin()
    worker.process.kill()
    worker.process.wait()
    ground.site.start_worker("another")
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


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
    _require_integrity(ground.site)
    return recovery


def _still(worker: Worker, path: Path) -> bool:
    time.sleep(0.5)
    return worker.has_open(path)


def whole_worker_killed(ground: Ground) -> float:
    """SIGKILL of parent and child, as when the machine runs out of memory."""
    worker, job_id = ground.begin()
    worker.end()
    ground.site.start_worker("another")
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


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
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


# --- the broker --------------------------------------------------------------------------------------------------


def broker_gone_for_5_s(ground: Ground) -> float:
    """SIGKILL of the broker, which is restarted empty."""
    _, job_id = ground.begin()
    ground.broker.kill()
    time.sleep(5)
    ground.broker.restart()
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


def broker_emptied(ground: Ground) -> float:
    """FLUSHALL while the job runs."""
    _, job_id = ground.begin()
    ground.broker.flush()
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


def broker_gone_for_good(ground: Ground) -> float:
    """Without a broker, work stops with every shard waiting or done; it continues when the broker is back."""
    _, job_id = ground.begin(slow=0.5, through=1)
    ground.broker.kill()
    wait_for(lambda: "running" not in {state for state, _ in ground.site.shards(job_id)}, "the worker stops")
    stopped = ground.site.n_processed(job_id)
    time.sleep(3)
    assert ground.site.n_processed(job_id) == stopped < N
    assert {state for state, _ in ground.site.shards(job_id)} == {"waiting", "done"}
    ground.site.runner.announce()  # a command that submits more does not fail
    ground.broker.restart()
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


# --- the database ------------------------------------------------------------------------------------------------


def connections_cut(ground: Ground) -> float:
    """All connections to the database are cut ten times, at any point."""
    _, job_id = ground.begin()
    admin = connect(ground.site.url)
    for _ in range(10):
        with admin.reading() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        ground.site.store.engine.dispose()  # the test's own connections were cut too
        time.sleep(0.15)
    admin.close()
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


def database_restarted(ground: Ground) -> float:
    """PostgreSQL crashes while the job runs, and is restarted after two seconds."""
    assert ground.postgres is not None
    _, job_id = ground.begin()
    ground.postgres.crash()
    time.sleep(2)
    ground.postgres.restart()
    ground.site.store.engine.dispose()
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


def database_restarted_under_commands(ground: Ground) -> float:
    """PostgreSQL crashes while one foreground command waits for shards and another one watches."""
    assert ground.postgres is not None
    ground.slow(0)
    ground.site.add_expert("ann")
    job_id = ground.site.profile("ann")
    with ground.site.store.writing() as connection:
        while claims.claim(connection, "elsewhere", ["gpu"], lease_s=3600):
            pass
    commands = [
        _command(ground.site, *words) for words in (["profile", "ann", "--benchmark", "fake"], ["watch", str(job_id)])
    ]
    wait_for(lambda: _others(ground.site) == len(commands), "both commands are connected")
    time.sleep(2)  # they poll twice a second
    ground.postgres.crash()
    time.sleep(2)
    ground.postgres.restart()
    ground.site.store.engine.dispose()
    with ground.site.store.writing() as connection:
        connection.execute(update(Shard).values(lease_until=0))
    recovery = ground.recovery_s(job_id)
    ends = [(command.communicate(timeout=installation.PATIENCE_S)[1], command.returncode) for command in commands]
    assert ends == [("", 0)] * len(commands)
    ground.require_undisturbed(job_id)
    return recovery


def _others(site: Site) -> int:
    """The number of other sessions that are between two transactions."""
    looks = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"
    with site.store.reading() as connection:
        return int(connection.scalar(text(f"{looks} AND pid <> pg_backend_pid()")) or 0)


def cut_while_committing(ground: Ground) -> float:
    """The worker's connection is cut at COMMIT twenty times: before it arrives, or before its reply arrives."""
    wire = Wire(ground.site.url)
    behind_wire = Site(ground.site.folder, wire.url, ground.site.broker_url, lease_s=8)
    with installation.opened(behind_wire):
        ground.slow(0.1)
        ground.site.add_expert("ann")
        behind_wire.start_worker()
        job_id = ground.site.profile("ann")
        ground.site.wait_until_processed(job_id, 1)
        wire.cuts = ["before", "after", "after", "before"] * 5
        recovery = ground.recovery_s(job_id)
        ground.require_undisturbed(job_id)
        assert not wire.cuts, "there were fewer commits than cuts"
    wire.stop()
    return recovery


def eight_write_and_one_dies(ground: Ground) -> float:
    """Eight commands write to one SQLite store; one is killed in the middle and run again."""
    names = [f"expert{number}" for number in range(8)]
    for name in names:
        ground.site.add_expert(name, name)
    ground.slow(0.05)
    running = {name: _command(ground.site, "profile", name) for name in names}
    wait_for(lambda: len(installation.responses_of(ground.site.store, names[0])) > 0, "one has stored something")
    running[names[0]].kill()
    running[names[0]].wait()
    began = time.monotonic()
    running["again"] = _command(ground.site, "profile", names[0])
    ends = {name: process.communicate(timeout=installation.PATIENCE_S)[1] for name, process in running.items()}
    recovery = time.monotonic() - began
    assert {process.returncode for name, process in running.items() if name != names[0]} == {0}, ends
    assert not any("locked" in output or "Traceback" in output for output in ends.values()), ends
    for name in names:
        rows = installation.responses_of(ground.site.store, name)
        assert (len(rows), set(rows.values())) == (N, {1})
    assert installation.open_ends(ground.site.store) == {"jobs": 0, "shards": 0}
    _require_integrity(ground.site)
    return recovery


def disk_full(ground: Ground) -> float:
    """Files cannot grow any more: the command reports it in one line; run again later, it continues."""
    ground.site.add_expert("ann")
    ground.slow(0)
    ground.site.store.engine.dispose()
    size = sum(path.stat().st_size for path in ground.site.folder.glob("benchcoe.db*"))
    limit = size + 300_000
    full = _command(
        ground.site, "profile", "ann", limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit,) * 2)
    )
    output = full.communicate(timeout=installation.PATIENCE_S)[1]
    assert full.returncode == 1, output
    assert output.splitlines()[-1].startswith("Error: "), output
    assert "Traceback" not in output
    _require_integrity(ground.site)
    began = time.monotonic()
    again = _command(ground.site, "profile", "ann")
    output = again.communicate(timeout=installation.PATIENCE_S)[1]
    assert again.returncode == 0, output
    installation.require_undisturbed(ground.site, ground.undisturbed)
    return time.monotonic() - began


def _command(site: Site, *words: str, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
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


def _require_integrity(site: Site) -> None:
    with site.store.reading() as connection:
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"


# --- leases ------------------------------------------------------------------------------------------------------


def worker_stopped_past_its_lease(ground: Ground) -> float:
    """SIGSTOP: another worker takes over when the lease expires; after SIGCONT the late writes are refused."""
    ground.site = installation.Site(ground.site.folder, ground.site.url, ground.site.broker_url, lease_s=3)
    worker, job_id = ground.begin()
    worker.signal_child(signal.SIGSTOP)
    with ground.site.store.reading() as connection:
        stopped = transitions.running_owners(connection)

    def is_taken_from_it() -> bool:
        with ground.site.store.reading() as connection:
            return stopped.isdisjoint(transitions.running_owners(connection))

    ground.site.start_worker("another")
    recovery = ground.recovery_s(job_id)
    wait_for(is_taken_from_it, "its shard has another owner")
    worker.signal_child(signal.SIGCONT)
    ground.require_undisturbed(job_id)
    wait_for(lambda: "has gone to another worker" in worker.log.read_text(), "the late worker reports its lost lease")
    return recovery


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
    app = make_app(ground.site.settings)
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
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return recovery


# --- stop and cancel ---------------------------------------------------------------------------------------------


def cancelled_in_mid_shard(ground: Ground) -> float:
    """Stored results stay; the same request continues from them."""
    _, job_id = ground.begin()
    cancel(ground.site.store, job_id)
    again = ground.site.profile("ann")
    recovery = ground.recovery_s(again)
    ground.require_undisturbed(again)
    assert ground.site.wait(job_id).state is JobState.CANCELLED
    return recovery


def _told(ground: Ground, *signals: signal.Signals) -> tuple[int, float]:
    worker, job_id = ground.begin(slow=1.0)
    for number in signals:
        worker.signal(number)
        time.sleep(0.2)
    code = worker.process.wait(installation.PATIENCE_S)
    waiting = [attempts for state, attempts in ground.site.shards(job_id) if state == "waiting"]
    if signals == (signal.SIGTERM,):
        assert set(waiting) == {0}, "giving back a shard costs no attempt"
        assert len(waiting) == 6 - [state for state, _ in ground.site.shards(job_id)].count("done")
    ground.site.start_worker("another")
    recovery = ground.recovery_s(job_id)
    ground.require_undisturbed(job_id)
    return code, recovery


def told_to_stop(ground: Ground) -> float:
    """SIGTERM: the micro-batch is finished and the shard given back."""
    code, recovery = _told(ground, signal.SIGTERM)
    assert code == 0
    return recovery


def told_to_quit(ground: Ground) -> float:
    """SIGQUIT: the worker stops immediately."""
    return _told(ground, signal.SIGQUIT)[1]


def interrupted_twice(ground: Ground) -> float:
    """Ctrl-C twice."""
    return _told(ground, signal.SIGINT, signal.SIGINT)[1]


def foreground_interrupted_twice(ground: Ground) -> float:
    """Ctrl-C twice at a foreground command, with growing pauses; run again, it continues."""
    pauses = [0.0, 0.03, 0.1, 0.3, 1.0]
    ground.site.broker_url = None
    ground.slow(0.3)
    ground.site.add_expert("ann")
    for pause in pauses:
        terminal = _profile_at_a_terminal(ground)
        terminal.press_ctrl_c()
        time.sleep(pause)
        terminal.press_ctrl_c()
        _require_interruption(terminal)
    assert {state for state, _ in ground.site.shards(1)} <= {"waiting", "running", "done"}
    return _go_on(ground, interruptions=len(pauses))


def foreground_interrupted_while_it_waits(ground: Ground) -> float:
    """The first Ctrl-C cannot give back the shard, which is locked; the second ends the command immediately."""
    ground.site.broker_url = None
    ground.site.lease_s = 6.0  # a heartbeat per second
    ground.slow(0.3)
    ground.site.add_expert("ann")
    terminal = _profile_at_a_terminal(ground)
    with ground.site.store.writing() as connection:
        connection.execute(select(Shard.id).with_for_update())
        terminal.press_ctrl_c()
        wait_for(lambda: not _lives(fake_plugins.engine_pids()[-1]), "the engine is ended")
        time.sleep(1.5)  # a heartbeat is due, and waits for the shard too
        assert terminal.process.poll() is None, "it waits for the shard"
        terminal.press_ctrl_c()
        _require_interruption(terminal)
    assert "running" in {state for state, _ in ground.site.shards(1)}
    return _go_on(ground, interruptions=1)


def _profile_at_a_terminal(ground: Ground) -> Terminal:
    """Start a profile in the foreground and wait until it has stored something."""
    before = len(installation.responses_of(ground.site.store, "ann"))
    terminal = Terminal(ground.site.environment(), "profile", "ann")
    wait_for(lambda: len(installation.responses_of(ground.site.store, "ann")) > before, "it has stored something")
    return terminal


def _require_interruption(terminal: Terminal) -> None:
    code, output = terminal.end()
    # Python may be ended by the signal while it exits; a shell reports 130 for both.
    assert code in (130, -signal.SIGINT), output
    assert "Traceback" not in output, output
    assert "Error: interrupted" in output, output
    wait_for(lambda: not any(map(_lives, fake_plugins.engine_pids())), "no engine is left")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _go_on(ground: Ground, *, interruptions: int) -> float:
    """Run the same command again; nothing that is stored is run again."""
    ground.slow(0)
    began, before = time.monotonic(), ground.site.n_processed(1)
    again = _command(ground.site, "profile", "ann")
    ground.site.wait_until_processed(1, before + 1)
    recovery = time.monotonic() - began
    output = again.communicate(timeout=installation.PATIENCE_S)[1]
    assert again.returncode == 0, output
    installation.require_undisturbed(ground.site, ground.undisturbed)
    assert sum(map(len, fake_plugins.batches())) <= N + interruptions * MICRO_BATCH
    return recovery


EVERYWHERE: tuple[Scenario, ...] = (
    worker_child_killed,
    worker_parent_killed,
    whole_worker_killed,
    poisoned_shard,
    worker_stopped_past_its_lease,
    foreground_interrupted_twice,
)
"""On both databases."""

ON_POSTGRES: tuple[Scenario, ...] = (
    engine_host_killed,
    broker_gone_for_5_s,
    broker_emptied,
    broker_gone_for_good,
    connections_cut,
    cut_while_committing,
    one_clock_is_wrong,
    tickets_by_the_thousand,
    tickets_lost,
    cancelled_in_mid_shard,
    told_to_stop,
    told_to_quit,
    interrupted_twice,
    foreground_interrupted_while_it_waits,
)

WITH_VLLM: tuple[Scenario, ...] = (engine_core_killed,)

ON_SQLITE: tuple[Scenario, ...] = (eight_write_and_one_dies, disk_full, child_killed_in_mid_sweep)

ON_A_POSTGRES_OF_OUR_OWN: tuple[Scenario, ...] = (database_restarted, database_restarted_under_commands)


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
