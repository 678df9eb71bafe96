"""What a process signs its claims with, and whether the process of a signature is gone.

A signature is the host's name and process number, for people, and behind the @ what makes it unique: the
machine's boot and process namespace, and when the process started. A worker on the same machine then sees at
once that another one was killed; from elsewhere, its lease has to run out.
"""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


def signature() -> str:
    """The signature of this process."""
    pid = os.getpid()
    return f"{shown_name()}@{_machine()}.{_started(pid) or 0}"


def shown_name() -> str:
    """This process as people name it: host and process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_gone(owner: str) -> bool:
    """Whether a signature's process was on this machine and runs no more."""
    name, _, mark = owner.rpartition("@")
    machine, _, started = mark.partition(".")
    pid = name.rpartition(":")[2]
    if not pid.isdigit() or machine != _machine():
        return False
    return not _may_be_hidden(int(pid)) and str(_started(int(pid)) or "") != started


@cache
def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:  # no /proc: nobody's death is seen from here
        return "unknown" + hashlib.sha256(os.urandom(16)).hexdigest()[:8]
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def _may_be_hidden(pid: int) -> bool:
    """Whether a process is another user's and /proc does not show it (mount option hidepid)."""
    if (_PROC / str(pid)).exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False


def _started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot (proc(5), field 22); None where there is none, or a zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
