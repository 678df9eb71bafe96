"""The signature that a process puts on its claims, and whether the process of a signature has exited.

A signature consists of host name and process id, for people, and, after the @, of what makes it unique: a hash of the
machine's boot id and process namespace, and the start time of the process. Processes on the same machine detect
immediately that the owner of a shard was killed; elsewhere, the lease has to expire.
"""

from __future__ import annotations

import getpass
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
    """Host name and process id, as shown to people."""
    return f"{socket.gethostname()}:{os.getpid()}"


def user() -> str:
    """User and host name, as shown to people. A user without a name (in a container) is shown by its id."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # KeyError before Python 3.13
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def is_gone(owner: str) -> bool:
    """Whether the process of a signature ran on this machine and has exited."""
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
    except OSError:  # no /proc: exited processes cannot be detected
        return "unknown" + hashlib.sha256(os.urandom(16)).hexdigest()[:8]
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def _may_be_hidden(pid: int) -> bool:
    """Whether the process may belong to another user and be hidden in /proc (mount option hidepid)."""
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
    """Start time in clock ticks since boot (proc(5), field 22); None if there is no such process, or a zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
