"""The parent's side of an expert: one child process that holds the engine, and what to do when it dies.

Imports no model library: memory, CUDA contexts and vLLM's own processes all belong to the child,
and are gone with its process group.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import islice
from typing import IO, Any, Self, TypeAlias

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.errors import (
    AccessDeniedError,
    EndpointDownError,
    EngineDiedError,
    EngineError,
    EngineTimeoutError,
    ModelNotFoundError,
    named_error,
)
from benchcoe_jobs.engines.orphan_watchdog import GRACE_S, kill_group
from benchcoe_jobs.engines.wire import Channel, pack_request, unpack_completion

# Asking again, or asking less at once, changes nothing about these.
_FINAL = (ModelNotFoundError, AccessDeniedError, EndpointDownError)

MicroBatch: TypeAlias = tuple[Sequence[Request], Decoding]
"""Requests that are asked at once."""

_Piece: TypeAlias = tuple[list[tuple[int, Request]], bool]
"""Requests with their places in a batch, and whether they have failed alone before."""

# What is kept of a child's output: as many lines, each cut to as many bytes.
_KEPT_LINES = 200
_KEPT_BYTES = 2000


class EngineClient:
    """One expert in a process of its own, loaded when first used. For one thread at a time.

    `gpus` becomes the child's CUDA_VISIBLE_DEVICES; None leaves it as it is here. `loads` counts how
    often the expert was loaded.
    """

    def __init__(
        self,
        settings: ExpertSettings,
        *,
        gpus: str | None = None,
        load_timeout_s: float = 1800.0,
        batch_timeout_s: float = 1800.0,
    ) -> None:
        self.settings = settings
        self.loads = 0
        self._gpus = gpus
        self._load_timeout_s = load_timeout_s
        self._batch_timeout_s = batch_timeout_s
        self._child: _Child | None = None
        self._version: dict[str, str] = {}
        self._prefetch = 0
        self._answered: tuple[Request, Decoding] | None = None

    def load(self) -> None:
        """Start the child and load the expert, unless that is done. Raises EngineError, MissingError, UsageError."""
        if self._child is not None:
            return
        self._child = _Child(self._gpus)
        with self._unless_it_fails() as child:
            child.send({"settings": asdict(self.settings)}, self._load_timeout_s)
            reply = child.receive(self._load_timeout_s)
        self.loads += 1
        self._version, self._prefetch = reply["version"], reply["prefetch"]

    def version(self) -> dict[str, str]:
        """What the engine says of itself, see `Engine.version`. Loads the expert if need be."""
        self.load()
        return self._version

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """One completion per request, in order.

        Where a batch kills, hangs or fails the engine, a fresh child gets its halves, until what
        does it stands alone; that request becomes an error completion, the others are answered,
        however many such requests there are. A request is blamed only when it failed alone twice,
        so that a child which somebody else killed costs nothing but time. Raises EngineError when
        fresh children keep failing, also at a request that this host has answered before, or at
        once where trying again is pointless.
        """
        return self._answer(requests, decoding, deque([(list(enumerate(requests)), False)]))

    def _answer(self, requests: Sequence[Request], decoding: Decoding, waiting: deque[_Piece]) -> list[Completion]:
        patience = 4 + 2 * math.ceil(math.log2(max(len(requests), 1)))
        failures = 0  # in a row
        completions: dict[int, Completion] = {}
        while waiting:
            batch, failed_alone = waiting.popleft()
            self._ready()
            try:
                answers = self._ask([request for _, request in batch], decoding)
            except EngineError as error:
                failures += 1
                if isinstance(error, _FINAL) or (failures > patience and not self._still_answers()):
                    raise
                failures = 0 if failures > patience else failures
                if failed_alone:
                    completions[batch[0][0]] = Completion(finish_reason="error", error=str(error))
                else:
                    # Large pieces first: what can be answered is soon answered, and shows that the children are well.
                    waiting += _smaller(batch)
            else:
                failures = 0
                completions |= {index: answer for (index, _), answer in zip(batch, answers, strict=True)}
                self._note_answered([request for _, request in batch], decoding)
        return [completions[index] for index in range(len(requests))]

    def stream(self, batches: Iterable[MicroBatch]) -> Generator[list[Completion], None, None]:
        """The completions of each batch, in order and as `run` has them.

        An engine that wants to has its next batches before it is done with one; each is taken from `batches` when
        it is sent. Whoever stops before the end while some are under way ends the child.
        """
        source, sent = iter(batches), deque[MicroBatch]()
        try:
            while True:
                self._ready()
                try:
                    for batch in islice(source, 1 + self._prefetch - len(sent)):
                        sent.append(batch)
                        self._send(*batch)
                    if not sent:
                        return
                    answers = self._receive()
                except EngineError as error:
                    if isinstance(error, _FINAL):
                        raise
                    failed = sent.popleft()
                    yield self._answer(*failed, _smaller(list(enumerate(failed[0]))))
                    while sent:
                        yield self.run(*sent.popleft())
                else:
                    self._note_answered(*sent.popleft())
                    yield answers
        finally:
            if sent:
                self.close(patience_s=0)

    def _still_answers(self) -> bool:
        """Whether a fresh child answers what an earlier one has answered."""
        if self._answered is None:
            return False
        request, decoding = self._answered
        self._ready()
        try:
            self._ask([request], decoding)
        except EngineError:
            return False
        return True

    def _note_answered(self, requests: Sequence[Request], decoding: Decoding) -> None:
        if requests:
            self._answered = (requests[0], decoding)

    def close(self, *, patience_s: float = 15.0) -> None:
        """End the child and everything that it started. Harmless where there is none.

        `patience_s` is how long the engine may take to close by itself; vLLM gives its own processes 5 s.
        """
        if self._child is not None:
            self._child.end(patience_s)
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self) -> None:
        """Load the expert, once more where the child died of it: somebody may have killed it."""
        try:
            self.load()
        except EngineTimeoutError:
            raise
        except EngineDiedError:
            self.load()

    def _ask(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        self._send(requests, decoding)
        return self._receive()

    def _send(self, requests: Sequence[Request], decoding: Decoding) -> None:
        message = {"requests": [pack_request(request) for request in requests], "decoding": asdict(decoding)}
        with self._unless_it_fails() as child:
            child.send(message, self._batch_timeout_s)

    def _receive(self) -> list[Completion]:
        with self._unless_it_fails() as child:
            reply = child.receive(self._batch_timeout_s)
        return [unpack_completion(packed) for packed in reply["completions"]]

    @contextmanager
    def _unless_it_fails(self) -> Iterator[_Child]:
        """The child, which ends with what is raised: an interrupt leaves an answer in the pipe, a failure who knows."""
        assert self._child is not None  # noqa: S101  (it is ready)
        try:
            yield self._child
        except BaseException:
            self.close(patience_s=0)
            raise


def _smaller(batch: list[tuple[int, Request]]) -> deque[_Piece]:
    """What to ask in place of a batch that failed: its halves, or what stands alone once more."""
    if len(batch) < 2:
        return deque([(batch, True)])
    middle = len(batch) // 2
    return deque([(batch[:middle], False), (batch[middle:], False)])


class _Child:
    """A running child process, its end of the pipe, and the last lines of what it printed."""

    def __init__(self, gpus: str | None) -> None:
        ours, theirs = socket.socketpair()
        environment = dict(os.environ) if gpus is None else os.environ | {"CUDA_VISIBLE_DEVICES": gpus}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                # -P keeps the working folder, and whatever lies in it, off the child's path.
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
        self._printed: deque[str] = deque(maxlen=_KEPT_LINES)
        assert self._process.stdout is not None  # noqa: S101  (it is a pipe)
        self._reader = threading.Thread(target=self._listen, args=[self._process.stdout], daemon=True)
        self._reader.start()

    def send(self, message: dict[str, Any], timeout_s: float) -> None:
        """Tell the child something. Raises EngineDiedError or EngineTimeoutError."""
        try:
            self._channel.send(message, timeout_s=timeout_s)
        except TimeoutError:
            raise EngineTimeoutError(f"the engine took nothing within {timeout_s:g} s") from None
        except OSError:
            raise EngineDiedError(self._how_it_died()) from None

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The child's next answer. Raises what the child raised, EngineDiedError or EngineTimeoutError."""
        try:
            reply = self._channel.receive(timeout_s=timeout_s)
        except TimeoutError:
            raise EngineTimeoutError(f"the engine gave no answer within {timeout_s:g} s") from None
        except OSError:
            reply = None
        if reply is None:
            raise EngineDiedError(self._how_it_died())
        if name := reply.get("error"):
            raise named_error(name, reply["message"], self._printed)
        return reply

    def end(self, patience_s: float) -> None:
        """Let the child finish by itself, then ask it to, then make it; its whole group with it.

        The child is reaped last: until then its number, which is the group's, cannot become another's.
        """
        self._channel.close()
        if not self._ended_within(patience_s):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._ended_within(GRACE_S)
        kill_group(self._process.pid)
        self._process.wait()
        self._reader.join(GRACE_S)

    def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _how_it_died(self) -> str:
        code: str = "closed its pipe"
        if self._ended_within(GRACE_S):
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            assert ended is not None  # noqa: S101  (only WNOHANG answers None)
            if ended.si_code == os.CLD_EXITED:
                code = f"ended with exit code {ended.si_status}"
            else:
                code = f"was killed by {signal.Signals(ended.si_status).name}"
                if ended.si_status == signal.SIGKILL:
                    code += ", perhaps because the machine ran out of memory"
        self._reader.join(0.2)
        last = next((line for line in reversed(list(self._printed)) if line.strip()), "")
        return f"the engine's process {code}" + (f"; it last said: {last.strip()}" if last else "")

    def _listen(self, output: IO[bytes]) -> None:
        with output:
            while line := output.readline(_KEPT_BYTES):
                self._printed.append(line.decode("utf-8", "replace"))
