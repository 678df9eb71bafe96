"""Faults of the broker, the database and the disk."""

from __future__ import annotations

import resource
import time

import installation
from disturbances import Wire
from fault_ground import Ground, N, command, require_integrity
from installation import Site, wait_for
from sqlalchemy import text, update

from benchcoe_jobs.store.job_queue import claims
from benchcoe_jobs.store.job_queue.tables import Shard
from benchcoe_jobs.store.session import connect

# --- the broker --------------------------------------------------------------------------------------------------


def broker_gone_for_5_s(ground: Ground) -> float:
    """SIGKILL of the broker, which is restarted empty."""
    _, job_id = ground.begin()
    ground.broker.kill()
    time.sleep(5)
    ground.broker.restart()
    return ground.undisturbed_after_s(job_id)


def broker_emptied(ground: Ground) -> float:
    """FLUSHALL while the job runs."""
    _, job_id = ground.begin()
    ground.broker.flush()
    return ground.undisturbed_after_s(job_id)


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
    return ground.undisturbed_after_s(job_id)


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
    return ground.undisturbed_after_s(job_id)


def database_restarted(ground: Ground) -> float:
    """PostgreSQL crashes while the job runs, and is restarted after two seconds."""
    assert ground.postgres is not None
    _, job_id = ground.begin()
    ground.postgres.crash()
    time.sleep(2)
    ground.postgres.restart()
    ground.site.store.engine.dispose()
    return ground.undisturbed_after_s(job_id)


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
        command(ground.site, *words) for words in (["profile", "ann", "--benchmark", "fake"], ["watch", str(job_id)])
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
    running = {name: command(ground.site, "profile", name) for name in names}
    wait_for(lambda: len(installation.responses_of(ground.site.store, names[0])) > 0, "one has stored something")
    running[names[0]].kill()
    running[names[0]].wait()
    began = time.monotonic()
    running["again"] = command(ground.site, "profile", names[0])
    ends = {name: process.communicate(timeout=installation.PATIENCE_S)[1] for name, process in running.items()}
    recovery = time.monotonic() - began
    assert {process.returncode for name, process in running.items() if name != names[0]} == {0}, ends
    assert not any("locked" in output or "Traceback" in output for output in ends.values()), ends
    for name in names:
        rows = installation.responses_of(ground.site.store, name)
        assert (len(rows), set(rows.values())) == (N, {1})
    assert installation.open_ends(ground.site.store) == {"jobs": 0, "shards": 0}
    require_integrity(ground.site)
    return recovery


def disk_full(ground: Ground) -> float:
    """Files cannot grow any more: the command reports it in one line; run again later, it continues."""
    ground.site.add_expert("ann")
    ground.slow(0)
    ground.site.store.engine.dispose()
    size = sum(path.stat().st_size for path in ground.site.folder.glob("benchcoe.db*"))
    limit = size + 300_000
    full = command(ground.site, "profile", "ann", limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit,) * 2))
    output = full.communicate(timeout=installation.PATIENCE_S)[1]
    assert full.returncode == 1, output
    assert output.splitlines()[-1].startswith("Error: "), output
    assert "Traceback" not in output
    require_integrity(ground.site)
    began = time.monotonic()
    again = command(ground.site, "profile", "ann")
    output = again.communicate(timeout=installation.PATIENCE_S)[1]
    assert again.returncode == 0, output
    installation.require_undisturbed(ground.site, ground.undisturbed)
    return time.monotonic() - began
