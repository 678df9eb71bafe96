"""Messages between an engine client and its server: one JSON object per line, images in base64."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from benchcoe_jobs.domain import Completion, Decoding, Image, Message, Request


class Channel:
    """JSON lines over one end of a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._pending = bytearray()

    def send(self, message: Mapping[str, Any], *, timeout_s: float | None = None) -> None:
        """Send a message. Raises OSError if the other end is closed, TimeoutError if it does not read in time."""
        self._socket.settimeout(timeout_s)
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, *, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The next message, None if the other end is closed. Raises TimeoutError, OSError."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        searched = 0
        while (end := self._pending.find(b"\n", searched)) < 0:
            searched = len(self._pending)
            # A timeout of zero would mean non-blocking.
            self._socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
            if not (chunk := self._socket.recv(1 << 20)):
                return None
            self._pending += chunk
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Close this end of the socket."""
        self._socket.close()


def pack_request(request: Request) -> dict[str, Any]:
    """A request as JSON."""
    return _shallow(request) | {
        "images": [base64.b64encode(image).decode() for image in request.images],
        "messages": [_pack_message(message) for message in request.messages],
    }


def unpack_request(packed: Mapping[str, Any]) -> Request:
    """The request of `pack_request`."""
    return Request(
        question=packed["question"],
        preamble=packed["preamble"],
        shots=tuple(packed["shots"]),
        images=tuple(base64.b64decode(image) for image in packed["images"]),
        continuations=tuple(packed["continuations"]),
        messages=tuple(map(_unpack_message, packed["messages"])),
        seed=packed["seed"],
    )


def _pack_message(message: Message) -> dict[str, Any]:
    def pack(part: str | Image) -> str | dict[str, Any]:
        return part if isinstance(part, str) else _shallow(part) | {"file": base64.b64encode(part.file).decode()}

    content = message.content
    return _shallow(message) | {"content": content if isinstance(content, str) else list(map(pack, content))}


def _unpack_message(packed: Mapping[str, Any]) -> Message:
    def unpack(part: str | Mapping[str, Any]) -> str | Image:
        return part if isinstance(part, str) else Image(base64.b64decode(part["file"]), part["detail"])

    content = packed["content"]
    return Message(packed["role"], content if isinstance(content, str) else tuple(map(unpack, content)), packed["name"])


def unpack_decoding(packed: Mapping[str, Any]) -> Decoding:
    """The decoding of an `asdict`."""
    return Decoding(**(dict(packed) | {"stop": tuple(packed["stop"])}))


def pack_completion(completion: Completion) -> dict[str, Any]:
    """A completion as JSON."""
    return _shallow(completion)


def unpack_completion(packed: Mapping[str, Any]) -> Completion:
    """The completion of `pack_completion`."""
    return Completion(**(dict(packed) | {"loglikelihoods": tuple(packed["loglikelihoods"])}))


def _shallow(value: Request | Completion | Message | Image) -> dict[str, Any]:
    """Like `dataclasses.asdict`, without copying the strings and tuples of a long prompt."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
