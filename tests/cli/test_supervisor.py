"""Several worker processes under one command."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

PROGRAM = """
import os, sys
from benchcoe_jobs.cli import supervisor
from benchcoe_jobs.cli.supervisor import WorkerProcess, supervise

supervisor._RESTART_S = supervisor._POLL_S = 0.05
worker = [sys.executable, "-c", sys.argv[1]]
supervise([WorkerProcess(worker, os.environ | {"NAME": name}) for name in "ab"], lambda note: print(note, flush=True))
print("all workers stopped", flush=True)
"""

# It exits with code 3 when it is started for the first time, and otherwise runs until SIGTERM or SIGQUIT.
WORKER = """
import os, pathlib, signal, sys

def say(line):
    os.write(1, (line + "\\n").encode())  # in one piece: two workers write to one pipe

signal.alarm(60)  # ends it if the supervisor does not
started = pathlib.Path(os.environ["NAME"])
if not started.exists():
    started.touch()
    sys.exit(3)
name = os.environ["NAME"]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGQUIT])
say(f"{name} runs")
say(f"{name} {signal.sigwait([signal.SIGTERM, signal.SIGQUIT]).name}")
if name == "b":
    say(f"{name} {signal.sigwait([signal.SIGTERM, signal.SIGQUIT]).name}")
"""


# On a busy machine a worker may run before the command that started it continues.
SLOW_START = """
import subprocess, time

class SlowPopen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        time.sleep(1)

subprocess.Popen = SlowPopen
"""


@pytest.mark.parametrize("start", ["", SLOW_START], ids=["started", "being started"])
def test_workers_are_restarted_and_stopped_together(tmp_path: Path, start: str) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", start + PROGRAM, WORKER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    watch = Timer(60, supervisor.kill)
    watch.start()
    lines: list[str] = []

    def read_until(*expected: str) -> None:
        assert supervisor.stdout is not None
        while not set(expected) <= set(lines):
            line = supervisor.stdout.readline()
            assert line, lines
            lines.append(line.strip())

    with supervisor.stdout:
        read_until("a runs", "b runs")
        assert lines.count("a worker exited with code 3 and is started again") == 2
        supervisor.send_signal(signal.SIGTERM)
        read_until("a SIGTERM", "b SIGTERM")
        supervisor.send_signal(signal.SIGINT)
        read_until("b SIGQUIT", "all workers stopped")
    assert supervisor.wait(timeout=60) == 0
    watch.cancel()
