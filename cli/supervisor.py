"""Run several worker processes under one command: start, restart and stop them together."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

_RESTART_S = 2.0
"""Seconds before a process that exited is started again."""
_POLL_S = 0.5


class WorkerProcess:
    """One process. It leads its own session, so a terminal's Ctrl-C reaches it only through `supervise`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self.start()

    def start(self) -> None:
        """Start the process, or start it again after it exited."""
        self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)  # noqa: S603

    def signal(self, number: int) -> None:
        """Send a signal. Does nothing if the process has exited."""
        self._process.send_signal(number)

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self._process.poll()


def stop_signals() -> list[signal.Signals]:
    """The signals that ask a command to stop. A terminal that closes sends SIGHUP, which `nohup` ignores."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if is_ignored else [signal.SIGHUP])]


def supervise(processes: Sequence[WorkerProcess], note: Callable[[str], None]) -> None:
    """Restart processes that exit, until SIGTERM, SIGINT or SIGHUP, which a terminal sends that closes.

    The first signal is passed on as SIGTERM, and the function returns when all processes have finished their work.
    The second signal is passed on as SIGQUIT, which stops them immediately.
    """
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        number = signal.SIGQUIT if stopping.is_set() else signal.SIGTERM
        stopping.set()
        for process in processes:
            process.signal(number)

    previous = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        while not (stopping.is_set() and all(process.exit_code is not None for process in processes)):
            stopping.wait(_POLL_S)
            for process in processes:
                if process.exit_code is not None and not stopping.is_set():
                    note(f"a worker exited with code {process.exit_code} and is started again")
                    if not stopping.wait(_RESTART_S):
                        process.start()
            if stopping.is_set():
                time.sleep(_POLL_S)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
