"""Engines without a model, which fail on demand. The tests install them as plug-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.errors import AccessDeniedError


class FakeEngine:
    """The model's name controls what happens at load, and the text of a question what happens to that request."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        self._fail_file = Path(settings.model.removeprefix("fails-later:"), "fail")
        print("a library prints to standard output", flush=True)
        match settings.model.partition(":"):
            case ("no-memory", _, _):
                raise MemoryError("unable to allocate 900 GiB")
            case ("cuda", _, _):
                raise type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 900 GiB")
            case ("exits", _, _):
                print("cannot open libsomething.so", file=sys.stderr, flush=True)
                os._exit(7)
            case ("killed-once", _, folder):
                if not Path(folder, "killed").exists():
                    Path(folder, "killed").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            case ("hangs", _, _):
                time.sleep(600)
            case ("starts-process", _, folder):
                # Ignores SIGTERM, as the processes of a library may.
                code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
                started = subprocess.Popen([sys.executable, "-c", code])
                Path(folder, "pids").write_text(f"{os.getpid()} {started.pid}")

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        if self._fail_file.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        for request in requests:
            match request.question:
                case "poison":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "revoked":
                    before = requests[: requests.index(request)]
                    answered = {n: Completion(text=one.question.upper()) for n, one in enumerate(before)}
                    raise AccessDeniedError("the key was revoked", answered=answered)
                case "raise":
                    raise ValueError("a library's own complaint\nover many\nlines")
                case "hang":
                    time.sleep(600)
                case "noise":
                    os.write(1, b'{"completions": []}\n' * 1000)
                    os.write(2, b"x" * 100_000 + b"\n")
        return [Completion(text=request.question.upper()) for request in requests]

    def version(self) -> dict[str, str]:
        return {"engine": "fake"}

    def close(self) -> None:
        pass


class HostedEngine(FakeEngine):
    """An engine that computes elsewhere, as an endpoint does."""

    traits = EngineTraits(needs_gpu=False)


class EngineWithoutTraits:
    """A plug-in whose author has forgotten the traits."""

    load, run, version, close = FakeEngine.load, FakeEngine.run, FakeEngine.version, FakeEngine.close


class PrefetchingEngine(FakeEngine):
    """Takes two micro-batches besides the current one; `shots_used` of an answer is the number that were pending."""

    prefetch = 2
    _pending = 0

    def submit(self, requests: Sequence[Request], decoding: Decoding) -> Callable[[], list[Completion]]:
        self._pending += 1

        def finish() -> list[Completion]:
            time.sleep(0.2)  # long enough for the client to send more
            answers = self.run(requests, decoding)
            self._pending -= 1
            return [replace(answer, shots_used=self._pending) for answer in answers]

        return finish
