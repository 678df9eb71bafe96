"""The process group of an engine server."""

from __future__ import annotations

import time
from pathlib import Path

from benchcoe_jobs.engines.engine_client import EngineClient


def server_pid(client: EngineClient) -> int:
    """The process id of a client's engine server, which is that of its process group."""
    assert client._server is not None
    return client._server.pid


def members(group: int) -> list[int]:
    """The process ids of a group, without zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def assert_gone(group: int) -> None:
    """Assert that all processes of a group exit within a minute."""
    deadline = time.monotonic() + 60
    while members(group):
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.05)
