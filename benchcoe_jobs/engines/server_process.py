"""An engine server process as its client sees it: messages, what it printed, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from benchcoe_jobs.engines.errors import EngineError, EngineExitedError, EngineTimeoutError, named_error
from benchcoe_jobs.engines.orphan_watchdog import GRACE_S, kill_group
from benchcoe_jobs.engines.wire import Channel, unpack_completion
from benchcoe_jobs.masking import masked

# The last lines of the process's output that are stored, and the characters of each. More is read, so that a secret
# that begins among the stored characters is whole when it is masked.
_STORED_LINES = 200
_STORED_CHARACTERS = 2000
_READ_BYTES = 20_000


class ServerProcess:
    """A running `engine_server`, the client's end of its pipe, and the last lines that it printed.

    `gpus` becomes its CUDA_VISIBLE_DEVICES; None leaves the variable as it is here.
    """

    def __init__(self, gpus: str | None) -> None:
        ours, theirs = socket.socketpair()
        # As -P, but also for the processes that the engine's libraries start.
        environment = os.environ | {"PYTHONSAFEPATH": "1"}
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpus
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                # -P keeps the working folder, and the modules in it, off the path of the process.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "benchcoe_jobs.engines.engine_server",
                    str(theirs.fileno()),
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=environment,
            )
        self._channel = Channel(ours)
        self._printed: deque[str] = deque(maxlen=_STORED_LINES)
        assert self._process.stdout is not None  # noqa: S101  (it is a pipe)
        self._reader = threading.Thread(target=self._read_output, args=[self._process.stdout], daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The id of the process, and of its process group."""
        return self._process.pid

    def send(self, message: dict[str, Any], timeout_s: float, files: Sequence[bytes] = ()) -> None:
        """Send a message. Raises EngineExitedError or EngineTimeoutError."""
        try:
            self._channel.send(message, files=files, timeout_s=timeout_s)
        except TimeoutError:
            raise EngineTimeoutError(f"the engine did not read its requests within {timeout_s:g} s") from None
        except OSError:
            raise EngineExitedError(self._exit_reason()) from None

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The next reply. Raises the error that the server replied with, EngineExitedError or EngineTimeoutError."""
        try:
            reply = self._channel.receive(timeout_s=timeout_s)
        except TimeoutError:
            raise EngineTimeoutError(f"the engine gave no answer within {timeout_s:g} s") from None
        except OSError:
            reply = None
        if reply is None:
            raise EngineExitedError(self._exit_reason())
        if name := reply.get("error"):
            error = named_error(name, reply["message"], self._printed)
            if isinstance(error, EngineError):
                error.answered = {index: unpack_completion(packed) for index, packed in reply["answered"]}
            raise error
        return reply

    def end(self, timeout_s: float) -> None:
        """Close the pipe, wait `timeout_s` for the process to exit, then send SIGTERM and at last SIGKILL to its group.

        The process is reaped last: until then its id, which is that of the group, is not used again.
        """
        self._channel.close()
        if not self._exited_within(timeout_s):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGTERM)
            self._exited_within(GRACE_S)
        kill_group(self.pid)
        self._process.wait()
        self._reader.join(GRACE_S)

    def _exited_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _exit_reason(self) -> str:
        reason: str = "closed its pipe"
        if self._exited_within(GRACE_S):
            status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            assert status is not None  # noqa: S101  (only WNOHANG returns None)
            if status.si_code == os.CLD_EXITED:
                reason = f"ended with exit code {status.si_status}"
            else:
                reason = f"was killed by {signal.Signals(status.si_status).name}"
                if status.si_status == signal.SIGKILL:
                    reason += ", perhaps because the machine ran out of memory"
        self._reader.join(0.2)
        last = next((line for line in reversed(list(self._printed)) if line.strip()), "")
        return f"the engine's process {reason}" + (f"; its last output: {last.strip()}" if last else "")

    def _read_output(self, output: IO[bytes]) -> None:
        """Store the beginning of each line. Secrets are masked before it is cut, and no part is taken for a line."""
        with output:
            is_start = True
            while part := output.readline(_READ_BYTES):
                if is_start:
                    self._printed.append(masked(part.decode("utf-8", "replace"))[:_STORED_CHARACTERS])
                is_start = part.endswith(b"\n")
