"""What ends a worker besides its signals: a terminal that closes, and the end of the process that supervises it."""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import Any

from celery import bootsteps

_hang_up_at_start = signal.getsignal(signal.SIGHUP)
"""SIG_IGN under nohup."""


class EndWithSupervisor(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """A step of Celery's worker: SIGHUP ends the worker as SIGTERM does.

    Celery's own handler runs the command line again, which is another one by then: `python -m` has replaced the name
    of the module by a path.
    """

    def start(self, _worker: Any) -> None:
        """Set the handler, after Celery has set its own. Celery calls it."""
        ignored = _hang_up_at_start is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.getsignal(signal.SIGTERM))


def end_with(supervisor: int) -> None:
    """Send SIGTERM to this process when its parent, the process `supervisor`, exits, for whatever reason."""
    try:
        watched = os.pidfd_open(supervisor)
    except ProcessLookupError:
        raise SystemExit("the supervisor of this worker has exited") from None
    if os.getppid() != supervisor:  # it has exited, and its id is that of another process now
        raise SystemExit("the supervisor of this worker has exited")
    threading.Thread(target=_watch, args=[watched], name="supervisor", daemon=True).start()


def _watch(supervisor: int) -> None:
    poll = select.poll()
    poll.register(supervisor, select.POLLIN)
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)
