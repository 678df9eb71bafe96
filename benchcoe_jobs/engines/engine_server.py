"""The process that an engine lives in: `python -m benchcoe_jobs.engines.engine_server DESCRIPTOR PARENT`.

It is told what to do in JSON lines over an inherited socket. Standard output belongs to the
libraries, which print what they like: the parent takes it together with standard error.
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
from benchcoe_jobs.engines.errors import engine_error
from benchcoe_jobs.engines.wire import Channel, pack_completion, unpack_decoding, unpack_request


def main(descriptor: int, parent: int) -> None:
    """Serve one parent until it closes its end; the watchdog then ends what is left of the process group."""
    if os.getpgrp() != os.getpid():
        os.setsid()
    os.set_inheritable(descriptor, False)
    orphan_watchdog.start(parent, close=descriptor)
    channel = Channel(socket.socket(fileno=descriptor))
    with suppress(OSError):  # the parent is gone in the middle of a message
        serve(channel)
    # Libraries leave threads and exit handlers that take seconds; the watchdog ends what they started.
    os._exit(0)


def serve(channel: Channel) -> None:
    """Load the expert that the first message names, then answer batches until the parent is gone."""
    messages: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    # The parent may send the next batch while an answer goes out: somebody must read, or both wait for ever.
    threading.Thread(target=_listen, args=[channel, messages], daemon=True).start()
    if (first := messages.get()) is None:
        return
    engines: list[Engine] = []

    def load() -> dict[str, Any]:
        settings = ExpertSettings(**first["settings"])
        engine: Engine = registry.load("engines", settings.engine)()
        engine.load(settings)
        engines.append(engine)
        # The libraries' own objects never die: looking through them takes a third of a second, in the midst of a batch.
        gc.collect()
        gc.freeze()
        return {"version": engine.version(), "prefetch": engine.prefetch if isinstance(engine, ContinuousEngine) else 0}

    channel.send(_answer(load))
    if not engines:
        return
    [engine] = engines
    under_way: deque[Callable[[], dict[str, Any]]] = deque()
    while True:
        while not under_way or not messages.empty():
            if (message := messages.get()) is None:
                engine.close()
                return
            under_way.append(_take_on(engine, message))
        channel.send(_answer(under_way.popleft()))


def _listen(channel: Channel, messages: SimpleQueue[dict[str, Any] | None]) -> None:
    with suppress(OSError):  # the parent is gone in the middle of a message
        while (message := channel.receive()) is not None:
            messages.put(message)
    messages.put(None)


def _take_on(engine: Engine, message: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """What answers a batch: it is begun where the engine can do that, and else all there is to do."""
    requests = [unpack_request(packed) for packed in message["requests"]]
    decoding = unpack_decoding(message["decoding"])
    finish: Callable[[], list[Completion]] = partial(engine.run, requests, decoding)
    if isinstance(engine, ContinuousEngine):
        try:
            finish = engine.submit(requests, decoding)
        except Exception as error:  # belongs to this batch, whose turn has yet to come
            finish = partial(_raise, error)
    return lambda: {"completions": [pack_completion(completion) for completion in finish()]}


def _raise(error: Exception) -> NoReturn:
    raise error


def _answer(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # a library may raise anything; the parent decides what it means
        known = engine_error(error)
        return {"error": type(known).__name__, "message": str(known)}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
