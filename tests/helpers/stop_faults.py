"""Workers and commands that are stopped, interrupted or cancelled."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import fake_plugins
import installation
from disturbances import Terminal
from fault_ground import MICRO_BATCH, Ground, N, command
from installation import wait_for
from sqlalchemy import select

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.job_queue.lifecycle import cancel
from benchcoe_jobs.store.job_queue.tables import Shard


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
    if signals in ((signal.SIGTERM,), (signal.SIGHUP,)):
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


def terminal_closed(ground: Ground) -> float:
    """SIGHUP: as SIGTERM, and the worker is not started again."""
    code, recovery = _told(ground, signal.SIGHUP)
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
    again = command(ground.site, "profile", "ann")
    ground.site.wait_until_processed(1, before + 1)
    recovery = time.monotonic() - began
    output = again.communicate(timeout=installation.PATIENCE_S)[1]
    assert again.returncode == 0, output
    installation.require_undisturbed(ground.site, ground.undisturbed)
    assert sum(map(len, fake_plugins.batches())) <= N + interruptions * MICRO_BATCH
    return recovery
