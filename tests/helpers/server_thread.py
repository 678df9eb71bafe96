"""An engine server in a thread of the tests: the client and its messages are real, and no library is imported twice."""

from __future__ import annotations

import socket
import threading
from collections import deque
from types import SimpleNamespace

import pytest

from benchcoe_jobs.engines import engine_client, engine_server
from benchcoe_jobs.engines.server_process import ServerProcess
from benchcoe_jobs.engines.wire import Channel


class ServerThread(ServerProcess):
    """In the place of a process; it ends when the client closes its end of the socket pair."""

    def __init__(self, gpus: str | None) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self._printed = deque()
        self._thread = threading.Thread(target=self._serve, args=[theirs], daemon=True)
        self._thread.start()

    @staticmethod
    def _serve(end: socket.socket) -> None:
        with end:
            engine_server.serve(Channel(end))

    def end(self, timeout_s: float) -> None:
        self._channel.close()
        self._thread.join()


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine clients start threads. The objects of the tests stay with the garbage collector."""
    monkeypatch.setattr(engine_client, "ServerProcess", ServerThread)
    monkeypatch.setattr(engine_server, "gc", SimpleNamespace(collect=lambda: None, freeze=lambda: None))
