"""Messages between an engine client and its server: a JSON object in a line, then the encoded images it refers to.

Images are sent as they are: in base64 within the JSON they would be copied and searched several times.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from benchcoe_jobs.domain import Completion, Decoding, Image, Message, Request

_FILES = "files"
"""The member with the lengths of the files that follow a line; only in messages with files."""


class Channel:
    """Messages over one end of a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._pending = bytearray()

    def send(self, message: Mapping[str, Any], *, files: Sequence[bytes] = (), timeout_s: float | None = None) -> None:
        """Send a message. Raises OSError if the other end is closed, TimeoutError if it does not read in time."""
        self._socket.settimeout(timeout_s)
        sized = {**message, _FILES: list(map(len, files))} if files else message
        self._socket.sendall(json.dumps(sized).encode() + b"\n")
        for file in files:
            self._socket.sendall(file)

    def receive(self, *, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The next message, with the content of its files under "files"; None if the other end is closed.

        Raises TimeoutError, OSError.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        searched = 0
        while (end := self._pending.find(b"\n", searched)) < 0:
            searched = len(self._pending)
            if not (chunk := self._socket_within(deadline).recv(1 << 20)):
                return None
            self._pending += chunk
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        message: dict[str, Any] = json.loads(line)
        if _FILES in message:
            files = [self._receive_file(length, deadline) for length in message[_FILES]]
            if None in files:
                return None
            message[_FILES] = files
        return message

    def _receive_file(self, length: int, deadline: float | None) -> bytes | None:
        file = bytearray(length)
        n = min(length, len(self._pending))
        file[:n] = self._pending[:n]
        del self._pending[:n]
        with memoryview(file) as view:
            while n < length:
                if not (read := self._socket_within(deadline).recv_into(view[n:])):
                    return None
                n += read
        return bytes(file)

    def _socket_within(self, deadline: float | None) -> socket.socket:
        # A timeout of zero would mean non-blocking.
        self._socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
        return self._socket

    def close(self) -> None:
        """Close this end of the socket."""
        self._socket.close()


def pack_request(request: Request, files: list[bytes]) -> dict[str, Any]:
    """A request as JSON. Its images are appended to `files`; in the JSON are their places there."""

    def place(file: bytes) -> int:
        files.append(file)
        return len(files) - 1

    def part(one: str | Image) -> str | dict[str, Any]:
        return one if isinstance(one, str) else _shallow(one) | {"file": place(one.file)}

    def message(one: Message) -> dict[str, Any]:
        content = one.content if isinstance(one.content, str) else list(map(part, one.content))
        return _shallow(one) | {"content": content}

    return _shallow(request) | {
        "images": list(map(place, request.images)),
        "messages": list(map(message, request.messages)),
    }


def unpack_request(packed: Mapping[str, Any], files: Sequence[bytes]) -> Request:
    """The request of `pack_request`."""

    def part(one: str | Mapping[str, Any]) -> str | Image:
        return one if isinstance(one, str) else Image(files[one["file"]], one["detail"])

    def message(one: Mapping[str, Any]) -> Message:
        content = one["content"]
        return Message(one["role"], content if isinstance(content, str) else tuple(map(part, content)), one["name"])

    return Request(
        question=packed["question"],
        preamble=packed["preamble"],
        shots=tuple(packed["shots"]),
        images=tuple(files[place] for place in packed["images"]),
        continuations=tuple(packed["continuations"]),
        messages=tuple(map(message, packed["messages"])),
        seed=packed["seed"],
    )


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
