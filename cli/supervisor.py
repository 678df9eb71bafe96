"""Run several worker processes under one command: start, restart and stop them together."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

_RESTART_S = 2.0
"""Seconds before a process that exited is started again."""
_POLL_S = 0.1


class WorkerProcess:
    """One process. It leads its own session, so a terminal's Ctrl-C reaches it only through `supervise`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._starts_at: float | None = None
        self._n_signals = 0
        self._process = self._started()

    def restart(self, note: Callable[[str], None]) -> None:
        """Start the process again if it exited `_RESTART_S` ago or earlier; note the exit when it is first seen."""
        if self.exit_code is None:
            return
        if self._starts_at is None:
            note(f"a worker exited with code {self.exit_code} and is started again")
            self._starts_at = time.monotonic() + _RESTART_S
        elif time.monotonic() >= self._starts_at:
            self._process, self._starts_at = self._started(), None

    def stop(self, n_signals: int) -> None:
        """Pass on the `n_signals` signals that the command got: SIGTERM for the first, SIGQUIT for each further one."""
        for earlier in range(self._n_signals, n_signals):
            self._process.send_signal(signal.SIGQUIT if earlier else signal.SIGTERM)
        self._n_signals = n_signals

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self._process.poll()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, start_new_session=True)  # noqa: S603


def stop_signals() -> list[signal.Signals]:
    """The signals that ask a command to stop. A terminal that closes sends SIGHUP, which `nohup` ignores."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if is_ignored else [signal.SIGHUP])]


def supervise(processes: Sequence[WorkerProcess], note: Callable[[str], None]) -> None:
    """Restart processes that exit, until SIGTERM, SIGINT or SIGHUP, which a terminal sends that closes.

    The first signal is passed on as SIGTERM, and the function returns when all processes have finished their work.
    The second signal is passed on as SIGQUIT, which stops them immediately.
    """
    n_signals = 0

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # Nothing else: the signal may come while a process is being started, which would not get it.
        nonlocal n_signals
        n_signals += 1

    previous = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        while not (n_signals and all(process.exit_code is not None for process in processes)):
            time.sleep(_POLL_S)
            for process in processes:
                if n_signals:
                    process.stop(n_signals)
                else:
                    process.restart(note)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
