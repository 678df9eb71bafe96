"""The client of an engine: it starts one engine server process for an expert, and replaces it if it fails.

Imports no model library: memory, CUDA contexts and the processes of vLLM all belong to the engine server process,
and are released with its process group.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Self, TypeAlias

from benchcoe_jobs.domain import UNANSWERED, Completion, Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.errors import FINAL, EngineError, EngineExitedError, EngineTimeoutError
from benchcoe_jobs.engines.server_process import ServerProcess
from benchcoe_jobs.engines.wire import pack_request, unpack_completion
from benchcoe_jobs.masking import remember

# Of one request to an endpoint, one after the other: one for each continuation, and for each parameter refused.
_EXCHANGES = 6

MicroBatch: TypeAlias = tuple[Sequence[Request], Decoding]
"""Requests that are given to the engine in one call."""

_Piece: TypeAlias = tuple[list[tuple[int, Request]], bool]
"""Requests with their positions in a micro-batch, and whether the piece is one request that failed alone before."""


class EngineClient:
    """One expert in an engine server process, loaded at the first use. Not thread-safe.

    `gpus` becomes CUDA_VISIBLE_DEVICES of the process; None leaves the variable as it is here. `loads` counts the
    loads of the expert; `load_s` is the duration of the last one in seconds.
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
        self.load_s = 0.0
        self._gpus = gpus
        self._load_timeout_s = load_timeout_s
        self._batch_timeout_s = self._wait_s = batch_timeout_s
        self._server: ServerProcess | None = None
        self._version: dict[str, str] = {}
        self._prefetch = 0
        self._answered: tuple[Request, Decoding] | None = None
        if settings.api_key_env:  # the engine server may print it
            remember(os.environ.get(settings.api_key_env, "").strip())

    def load(self) -> None:
        """Start the engine server and load the expert, unless that is done.

        Raises EngineError, MissingError, UsageError.
        """
        if self._server is not None:
            return
        began = time.monotonic()
        self._server = ServerProcess(self._gpus)
        with self._closed_on_error() as server:
            server.send({"settings": asdict(self.settings)}, self._load_timeout_s)
            reply = server.receive(self._load_timeout_s)
        self.loads += 1
        self.load_s = time.monotonic() - began
        self._version, self._prefetch = reply["version"], reply["prefetch"]

    def version(self) -> dict[str, str]:
        """See `Engine.version`. Loads the expert if need be."""
        self.load()
        return self._version

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """Return one completion per request, in order.

        If a micro-batch kills, hangs or fails the engine, a new engine server gets its halves, until the request that
        is to blame stands alone; it becomes an error completion, and all others are answered, however many such
        requests there are. A request is blamed only after it failed alone twice, so that a server process which
        was killed from outside costs only time. Raises EngineError if new servers keep failing, also at a request
        that this client has answered before, and immediately if a retry cannot help; `answered` of the error are the
        completions that were there by then.
        """
        return self._answer(requests, decoding, deque([(list(enumerate(requests)), False)]))

    def _answer(self, requests: Sequence[Request], decoding: Decoding, waiting: deque[_Piece]) -> list[Completion]:
        max_failures = 4 + 2 * math.ceil(math.log2(max(len(requests), 1)))
        failures = 0  # in a row
        completions: dict[int, Completion] = {}
        while waiting:
            piece, failed_alone = waiting.popleft()
            self._load_or_retry()
            try:
                answers = self._run_once([request for _, request in piece], decoding)
            except EngineError as error:
                failures += 1
                if isinstance(error, FINAL) or (failures > max_failures and not self._still_answers()):
                    error.answered = completions | {piece[i][0]: one for i, one in error.answered.items()}
                    raise
                failures = 0 if failures > max_failures else failures
                if failed_alone:
                    completions[piece[0][0]] = Completion(finish_reason="error", error=str(error))
                else:
                    # Smaller pieces go to the end: larger ones show sooner that the engine still answers.
                    waiting += _smaller(piece)
            else:
                failures = 0
                completions |= {index: answer for (index, _), answer in zip(piece, answers, strict=True)}
                self._note_answered([request for _, request in piece], decoding)
        return [completions[index] for index in range(len(requests))]

    def stream(self, batches: Iterable[MicroBatch]) -> Generator[list[Completion], None, None]:
        """Yield the completions of each micro-batch, in order and as `run` returns them.

        A `ContinuousEngine` has its next micro-batches before it is done with one; each is taken from `batches` when
        it is sent. If the generator is closed while some are pending, the engine server is ended. If an error ends the
        run and some requests of a micro-batch were answered before, their completions are yielded first, and UNANSWERED
        for the others.
        """
        source, sent = iter(batches), deque[MicroBatch]()
        try:
            while True:
                self._load_or_retry()
                try:
                    for batch in islice(source, 1 + self._prefetch - len(sent)):
                        sent.append(batch)
                        self._send(*batch)
                    if not sent:
                        return
                    answers = self._receive()
                except EngineError as error:
                    failed = sent.popleft()
                    if isinstance(error, FINAL):
                        yield from _answered(failed, error)
                        raise
                    pieces = _smaller(list(enumerate(failed[0])))
                    yield from _or_answered(failed, partial(self._answer, *failed, pieces))
                    while sent:
                        batch = sent.popleft()
                        yield from _or_answered(batch, partial(self.run, *batch))
                else:
                    self._note_answered(*sent.popleft())
                    yield answers
        finally:
            if sent:
                self.close(timeout_s=0)

    def _still_answers(self) -> bool:
        """Whether a new engine server answers a request that an earlier one has answered."""
        if self._answered is None:
            return False
        request, decoding = self._answered
        self._load_or_retry()
        try:
            self._run_once([request], decoding)
        except EngineError:
            return False
        return True

    def _note_answered(self, requests: Sequence[Request], decoding: Decoding) -> None:
        if requests:
            self._answered = (requests[0], decoding)

    def close(self, *, timeout_s: float = 15.0) -> None:
        """End the engine server and all processes that it started. Does nothing if there is none.

        `timeout_s` is the time that the engine may take to close; vLLM gives its own processes 5 s.
        """
        if self._server is not None:
            self._server.end(timeout_s)
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load_or_retry(self) -> None:
        """Load the expert; try once more if the engine server exited, because it may have been killed from outside."""
        try:
            self.load()
        except EngineTimeoutError:
            raise
        except EngineExitedError:
            self.load()

    def _run_once(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        self._send(requests, decoding)
        return self._receive()

    def _send(self, requests: Sequence[Request], decoding: Decoding) -> None:
        files: list[bytes] = []
        packed = [pack_request(request, files) for request in requests]
        with self._closed_on_error() as server:
            server.send({"requests": packed, "decoding": asdict(decoding)}, self._batch_timeout_s, files)
        self._wait_s = self._longest_wait_s(len(requests))

    def _longest_wait_s(self, n_requests: int) -> float:
        """How long a micro-batch may take. An endpoint may be slow: its engine bounds each exchange and its retries."""
        if self.settings.base_url is None:
            return self._batch_timeout_s
        rounds = math.ceil(n_requests / self.settings.batch_size)
        exchange_s = self.settings.timeout_s + self.settings.deadline_s
        return max(self._batch_timeout_s, rounds * _EXCHANGES * exchange_s)

    def _receive(self) -> list[Completion]:
        with self._closed_on_error() as server:
            reply = server.receive(self._wait_s)
        return [unpack_completion(packed) for packed in reply["completions"]]

    @contextmanager
    def _closed_on_error(self) -> Iterator[ServerProcess]:
        """The engine server, which is ended if anything is raised.

        After an interrupt its pipe would hold an unread answer, and after a failure its state is unknown.
        """
        assert self._server is not None  # noqa: S101  (it is loaded)
        try:
            yield self._server
        except BaseException:
            self.close(timeout_s=0)
            raise


def _or_answered(batch: MicroBatch, answer: Callable[[], list[Completion]]) -> Generator[list[Completion], None, None]:
    """Yield the completions of a micro-batch, or those that were there before the error that is then raised."""
    try:
        completions = answer()
    except EngineError as error:
        yield from _answered(batch, error)
        raise
    yield completions


def _answered(batch: MicroBatch, error: EngineError) -> Iterator[list[Completion]]:
    if error.answered:
        yield [error.answered.get(index, UNANSWERED) for index in range(len(batch[0]))]


def _smaller(piece: list[tuple[int, Request]]) -> deque[_Piece]:
    """The pieces that replace one that failed: its halves, or a single request once more."""
    if len(piece) < 2:
        return deque([(piece, True)])
    middle = len(piece) // 2
    return deque([(piece[:middle], False), (piece[middle:], False)])
