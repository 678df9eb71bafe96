"""End the process group of an engine server when the server or its client exits: a small fork that watches both.

A thread is not enough: it cannot run while a library holds the interpreter lock, and it ends with its process while
the worker processes of vLLM continue. PR_SET_PDEATHSIG is not enough: it follows the thread that started the server,
and does not reach grandchildren. Linux only (process file descriptors).
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# Seconds between SIGTERM and SIGKILL, and again as long for resource trackers.
GRACE_S = 2.0


def start(parent: int, *, close: int) -> None:
    """Fork the watchdog of this process group. `close` is a descriptor that the watchdog must not hold open.

    This process must lead its group, have no threads yet, and be a child of the process `parent`. Ends the group if
    the parent has exited already.
    """
    try:
        watched = [os.pidfd_open(parent), os.pidfd_open(os.getpid())]
    except ProcessLookupError:
        end_group()
    if os.getppid() != parent:  # it has exited, and its id is that of another process now
        end_group()
    if os.fork() == 0:
        os.close(close)
        _watch(watched)
    for descriptor in watched:
        os.close(descriptor)


def end_group() -> NoReturn:
    """End all processes of this group, this one last."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    group = os.getpgrp()
    os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while _others(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_group(group)
    raise SystemExit  # not reached


def kill_group(group: int) -> None:
    """Send SIGKILL to all processes of a group, to Python's resource trackers after GRACE_S seconds.

    A resource tracker runs after the others to remove their shared memory: 400 MB for each vLLM.
    """
    deadline = time.monotonic() + GRACE_S
    while (others := _others(group)) and time.monotonic() < deadline:
        for pid in others:
            with suppress(OSError):  # it has exited
                if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _others(group: int) -> list[int]:
    """The process ids of a group, without zombies and this process."""
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
