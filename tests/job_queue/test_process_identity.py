"""Signatures of processes, and whether a process has exited."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchcoe_jobs.job_queue import process_identity

NO_PROC = not os.path.exists("/proc/self/stat")  # noqa: PTH110  (one look)


def test_a_signature_begins_with_host_and_process_id() -> None:
    signature = process_identity.signature()
    assert signature == process_identity.signature()
    assert signature.startswith(f"{socket.gethostname()}:{os.getpid()}@")
    assert process_identity.shown_name() == signature.partition("@")[0]
    assert not process_identity.is_gone(signature)


@pytest.mark.skipif(NO_PROC, reason="exited processes are found by /proc")
def test_a_process_that_has_exited_is_gone_and_its_id_may_be_used_again() -> None:
    code = "from benchcoe_jobs.job_queue import process_identity; print(process_identity.signature())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process_identity.is_gone(child.stdout.strip())
    name, _, started = process_identity.signature().rpartition(".")
    assert process_identity.is_gone(f"{name}.{int(started) + 1}"), "the same id, but another start"


@pytest.mark.parametrize("owner", ["elsewhere:1@0123456789ab.1", "no signature", "host:x@y.1", ""])
def test_processes_of_other_machines_are_never_gone(owner: str) -> None:
    assert not process_identity.is_gone(owner)


def signature_of(process: subprocess.Popen[bytes]) -> str:
    """The signature of another process of this machine."""
    machine = process_identity.signature().rpartition("@")[2].partition(".")[0]
    return f"{socket.gethostname()}:{process.pid}@{machine}.{process_identity._started(process.pid)}"


@pytest.mark.skipif(NO_PROC, reason="exited processes are found by /proc")
def test_a_zombie_has_exited(tmp_path: Path) -> None:
    """A parent that hangs does not read the status of its child. The name of a program may look like fields."""
    program = tmp_path / "a) Z 1 (b"
    program.write_text("#!/bin/sh\nread line\n")
    program.chmod(0o700)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:  # it ends if this block ends
        owner = signature_of(process)
        assert not process_identity.is_gone(owner)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{process.pid}").exists()
        assert process_identity.is_gone(owner)


@pytest.mark.skipif(NO_PROC, reason="exited processes are found by /proc")
def test_a_process_that_is_hidden_in_proc_may_still_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount option hidepid hides the processes of other users, which cannot be sent a signal either."""
    owner = process_identity.signature()

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(process_identity, "_PROC", tmp_path)
    assert process_identity.is_gone(owner), "a process of the same user is never hidden"
    monkeypatch.setattr(os, "kill", refuse)
    assert not process_identity.is_gone(owner)
