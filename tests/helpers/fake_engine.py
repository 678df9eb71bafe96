"""An engine without a model, for what no real one does on demand; the tests make it a plug-in named "fake"."""

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
from benchcoe_jobs.engines.base import ExpertSettings


class FakeEngine:
    """The model's name says what happens at load, a question's text what happens to it."""

    def load(self, settings: ExpertSettings) -> None:
        self._tired = Path(settings.model.removeprefix("tires:"), "tired")
        print("a library greets the world on standard output", flush=True)
        match settings.model.partition(":"):
            case ("no-memory", _, _):
                raise MemoryError("unable to allocate 900 GiB")
            case ("cuda", _, _):
                raise type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 900 GiB")
            case ("dies", _, _):
                print("cannot open libsomething.so", file=sys.stderr, flush=True)
                os._exit(7)
            case ("dies-once", _, folder):
                if not Path(folder, "died").exists():
                    Path(folder, "died").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            case ("hangs", _, _):
                time.sleep(600)
            case ("family", _, folder):
                # A child that does not care about SIGTERM, as stubborn as a library can be.
                code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
                grandchild = subprocess.Popen([sys.executable, "-c", code])
                Path(folder, "pids").write_text(f"{os.getpid()} {grandchild.pid}")

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        if self._tired.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        for request in requests:
            match request.question:
                case "poison":
                    os.kill(os.getpid(), signal.SIGKILL)
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


class EagerEngine(FakeEngine):
    """The same, for two batches more than the one that is waited for; an answer says how many were under way."""

    ahead = 2
    _under_way = 0

    def begin(self, requests: Sequence[Request], decoding: Decoding) -> Callable[[], list[Completion]]:
        self._under_way += 1

        def finish() -> list[Completion]:
            time.sleep(0.2)  # long enough for the parent to send more
            answers = self.run(requests, decoding)
            self._under_way -= 1
            return [replace(answer, shots_used=self._under_way) for answer in answers]

        return finish
