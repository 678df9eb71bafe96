"""The process that an engine runs in: `python -m benchcoe_jobs.engines.engine_server DESCRIPTOR PARENT`.

It reads requests as JSON lines from an inherited socket and replies over it. Standard output is left to the
libraries: the client reads it together with standard error.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, NoReturn

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Completion
from benchcoe_jobs.engines import orphan_watchdog
from benchcoe_jobs.engines.base import ContinuousEngine, Engine, ExpertSettings
from benchcoe_jobs.engines.errors import EngineError, engine_error
from benchcoe_jobs.engines.wire import Channel, pack_completion, unpack_decoding, unpack_request


def main(descriptor: int, parent: int) -> None:
    """Serve the client over a socket until it closes its end; `parent` is the process id of the client.

    The orphan watchdog then ends the rest of the process group.
    """
    if os.getpgrp() != os.getpid():
        os.setsid()
    os.set_inheritable(descriptor, False)
    orphan_watchdog.start(parent, close=descriptor)
    channel = Channel(socket.socket(fileno=descriptor))
    with suppress(OSError):  # the client exited in the middle of a message
        serve(channel)
    # Libraries leave threads and exit handlers that take seconds; the watchdog ends the processes that they started.
    os._exit(0)


def serve(channel: Channel) -> None:
    """Load the expert that the first message names, then answer micro-batches until the client closes its end."""
    messages: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    # The client may send the next micro-batch while a reply is written: without a reader, both would wait forever.
    threading.Thread(target=_read_messages, args=[channel, messages], daemon=True).start()
    if (first := messages.get()) is None:
        return
    engines: list[Engine] = []

    def load() -> dict[str, Any]:
        settings = ExpertSettings(**first["settings"])
        engine: Engine = registry.load("engines", settings.engine)()
        engine.load(settings)
        engines.append(engine)
        # The objects of the libraries stay: a collection that visits them takes a third of a second in a micro-batch.
        gc.collect()
        gc.freeze()
        return {"version": engine.version(), "prefetch": engine.prefetch if isinstance(engine, ContinuousEngine) else 0}

    channel.send(_reply(load))
    if not engines:
        return
    [engine] = engines
    pending: deque[Callable[[], dict[str, Any]]] = deque()
    while True:
        while not pending or not messages.empty():
            if (message := messages.get()) is None:
                engine.close()
                return
            pending.append(_submit(engine, message))
        channel.send(_reply(pending.popleft()))


def _read_messages(channel: Channel, messages: SimpleQueue[dict[str, Any] | None]) -> None:
    with suppress(OSError):  # the client exited in the middle of a message
        while (message := channel.receive()) is not None:
            messages.put(message)
    messages.put(None)


def _submit(engine: Engine, message: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Submit a micro-batch if the engine can do that; the result waits for it, or runs it, and returns the reply."""
    files = message.get("files", ())
    requests = [unpack_request(packed, files) for packed in message["requests"]]
    decoding = unpack_decoding(message["decoding"])
    finish: Callable[[], list[Completion]] = partial(engine.run, requests, decoding)
    if isinstance(engine, ContinuousEngine):
        try:
            finish = engine.submit(requests, decoding)
        except Exception as error:  # the reply to this micro-batch, which comes after those of the pending ones
            finish = partial(_raise, error)
    return lambda: {"completions": [pack_completion(completion) for completion in finish()]}


def _raise(error: Exception) -> NoReturn:
    raise error


def _reply(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # a library may raise anything; the client turns the name back into an error
        known = engine_error(error)
        answered = known.answered if isinstance(known, EngineError) else {}
        return {
            "error": type(known).__name__,
            "message": str(known),
            "answered": [(index, pack_completion(completion)) for index, completion in answered.items()],
        }


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
