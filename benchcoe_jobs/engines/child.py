"""The process that an engine lives in: `python -m benchcoe_jobs.engines.child DESCRIPTOR PARENT`.

It is told what to do in JSON lines over an inherited socket. Standard output belongs to the
libraries, which print what they like: the parent takes it together with standard error.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from benchcoe_jobs import registry
from benchcoe_jobs.engines import guard
from benchcoe_jobs.engines.base import Engine, ExpertSettings
from benchcoe_jobs.engines.errors import engine_error
from benchcoe_jobs.engines.wire import Channel, pack_completion, unpack_decoding, unpack_request


def main(descriptor: int, parent: int) -> None:
    """Serve one parent until it closes its end; the guard then ends what is left of the process group."""
    if os.getpgrp() != os.getpid():
        os.setsid()
    os.set_inheritable(descriptor, False)
    guard.start(parent, close=descriptor)
    channel = Channel(socket.socket(fileno=descriptor))
    with suppress(OSError):  # the parent is gone in the middle of a message
        serve(channel)
    # Libraries leave threads and exit handlers that take seconds; the guard ends what they started.
    os._exit(0)


def serve(channel: Channel) -> None:
    """Load the expert that the first message names, then answer batches until the parent is gone."""
    if (first := channel.receive()) is None:
        return
    engines: list[Engine] = []

    def load() -> dict[str, Any]:
        settings = ExpertSettings(**first["settings"])
        engine: Engine = registry.load("engines", settings.engine)()
        engine.load(settings)
        engines.append(engine)
        return {"version": engine.version()}

    channel.send(_answer(load))
    if not engines:
        return
    [engine] = engines
    while (message := channel.receive()) is not None:
        channel.send(_answer(lambda batch: _run(engine, batch), message))
    engine.close()


def _run(engine: Engine, message: dict[str, Any]) -> dict[str, Any]:
    requests = [unpack_request(packed) for packed in message["requests"]]
    completions = engine.run(requests, unpack_decoding(message["decoding"]))
    return {"completions": [pack_completion(completion) for completion in completions]}


def _answer(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    try:
        return work(*arguments)
    except Exception as error:  # a library may raise anything; the parent decides what it means
        known = engine_error(error)
        return {"error": type(known).__name__, "message": str(known)}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
