"""The command serve in a process of its own, until a block ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

_CODE = "from benchcoe_jobs.cli.main import run; run()"


@contextmanager
def running(*options: str) -> Iterator[str]:
    """The address of a service that is ready, without `/v1`. It must end with exit code 0 when it is terminated."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _CODE, "serve", "--port", str(port), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait(f"http://127.0.0.1:{port}/ready", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        _, printed = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert printed.count("\n") == 1, printed


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)
    pytest.fail(f"the service is not ready: {process.poll()}")
