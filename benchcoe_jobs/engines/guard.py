"""No process of a host outlives its parent: a small fork that watches, and ends the whole group.

A thread would not do: it cannot run while a library holds the interpreter lock, and it dies with
its process while vLLM's own children live on. PR_SET_PDEATHSIG would not do either: it follows the
thread that started the host, and reaches no grandchild. Linux only (process file descriptors).
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import NoReturn

# Between SIGTERM and SIGKILL: vLLM's children remove their shared memory in this time.
GRACE_S = 2.0


def start(parent: int, *, close: int) -> None:
    """Fork the guard of this process group. `close` is a descriptor that the guard must not keep open.

    This process must lead its group, have no threads yet, and be a child of the process `parent`.
    Ends the group at once where the parent is gone already.
    """
    me = os.getpid()
    try:
        watched = [os.pidfd_open(parent), os.pidfd_open(me)]
    except ProcessLookupError:
        end_group()
    if os.getppid() != parent:  # it was gone before, and its number is another's now
        end_group()
    if os.fork() == 0:
        os.close(close)
        _watch(watched)
    for descriptor in watched:
        os.close(descriptor)


def end_group() -> NoReturn:
    """End every process of this group, this one last."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    group = os.getpgrp()
    os.killpg(group, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(group, signal.SIGKILL)
    raise SystemExit  # not reached


def _watch(descriptors: list[int]) -> NoReturn:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    end_group()
