"""Several worker processes under one command: started together, restarted when they die, ended together."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

_RESTART_S = 2.0
_LOOK_S = 0.5


class WorkerProcess:
    """One process. It leads a session of its own, so that a terminal's Ctrl-C reaches it through the crew alone."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self.start()

    def start(self) -> None:
        """Begin, or begin again."""
        self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)  # noqa: S603

    def signal(self, number: int) -> None:
        """Pass on a signal; harmless where it is gone."""
        self._process.send_signal(number)

    @property
    def ended(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()


def supervise(crew: Sequence[WorkerProcess], note: Callable[[str], None]) -> None:
    """Until told to stop: the first SIGTERM or SIGINT lets every member finish, the second ends it at once."""
    told = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        number = signal.SIGQUIT if told.is_set() else signal.SIGTERM
        told.set()
        for member in crew:
            member.signal(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not (told.is_set() and all(member.ended is not None for member in crew)):
            told.wait(_LOOK_S)
            for member in crew:
                if member.ended is not None and not told.is_set():
                    note(f"a worker ended with {member.ended}: it is started again")
                    if not told.wait(_RESTART_S):
                        member.start()
            if told.is_set():
                _wait_briefly()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_briefly() -> None:
    threading.Event().wait(_LOOK_S)
