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
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# Between SIGTERM and SIGKILL, and for resource trackers once more.
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
    deadline = time.monotonic() + GRACE_S
    while _others(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_group(group)
    raise SystemExit  # not reached


def kill_group(group: int) -> None:
    """SIGKILL for every process of a group; Python's resource trackers are given time before.

    A tracker outlives its family to remove the shared memory that was left: 400 MB for each vLLM.
    """
    deadline = time.monotonic() + GRACE_S
    while (others := _others(group)) and time.monotonic() < deadline:
        for pid in others:
            with suppress(OSError):  # it is gone, and its number as well
                if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _others(group: int) -> list[int]:
    """The living processes of a group, without this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z" and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def _watch(descriptors: list[int]) -> NoReturn:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    end_group()
