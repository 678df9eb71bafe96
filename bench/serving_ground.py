"""The servers, the store and the client of `serving.py` and `serving_soak.py`.

The experts are a stub on loopback that answers at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import harness
import httpx2

from benchcoe_jobs.demo import SKILLS
from benchcoe_jobs.demo.questions import write_questions

EXPERTS = tuple(SKILLS)
ROUTED = "benchcoe/auto"
SERVE = (str(Path(sys.executable).with_name("benchcoe-jobs")), "serve", "--port")
BROKEN = (OSError, asyncio.IncompleteReadError)
"""What a request raises whose connection ends."""

KEY = f"sk-{secrets.token_hex(32)}"
"""The key of clients."""

_POST = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
_POST += "content-type: application/json\r\n"
_OK = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


class Stub(asyncio.Protocol):
    """Answers each request at once, as the model that it names."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = content_length(self._received[:end])
            if len(self._received) < end + 4 + length:
                return
            head, body = self._received[:end], self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            if head.startswith(b"POST /v1/embeddings"):
                self._send(_embeddings(json.loads(body)["input"]))
                continue
            model = json.loads(body)["model"] if body else ""
            message = {"role": "assistant", "content": f"I am {model}"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
            answer = {"id": "a", "object": "chat.completion", "created": 1, "model": model}
            self._send({**answer, "choices": [choice], "usage": usage})

    def _send(self, answer: dict[str, object]) -> None:
        content = json.dumps(answer).encode()
        self._transport.write(f"{_OK}content-length: {len(content)}\r\n\r\n".encode() + content)


def _embeddings(texts: str | list[str]) -> dict[str, object]:
    """Vectors of texts that take no time: the counts of their words, by hash, in 64 numbers."""
    vectors = []
    for text in [texts] if isinstance(texts, str) else texts:
        vector = [0.01] * 64
        for word in text.lower().split():
            vector[zlib.crc32(word.encode()) % 64] += 1.0
        vectors.append(vector)
    data = [{"object": "embedding", "index": number, "embedding": one} for number, one in enumerate(vectors)]
    return {"object": "list", "model": "words", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def content_length(head: bytes) -> int:
    """The length that the headers of a message name; 0 if they name none."""
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)


async def run_stub(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port)
    await server.serve_forever()


def stub_command(port: int) -> tuple[str, ...]:
    """The command of the stub."""
    code = f"import asyncio, serving_ground; asyncio.run(serving_ground.run_stub({port}))"
    return (sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {code}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def process(*command: str, url: str, folder: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is ready when its URL answers."""
    with (folder / "log").open("ab") as log:
        started = subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(url, started, folder / "log")
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)


def _wait(url: str, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and started.poll() is None:
        try:
            if httpx2.get(url, timeout=2).status_code < 500:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    sys.exit(f"{url} does not answer: {log.read_text()[-2000:]}")


def make_store(folder: Path, upstream: str) -> list[str]:
    """A store with the questions of the demo, experts that know their subjects, and a tfidf router. The questions."""
    write_questions(folder / "skills.jsonl", 100)
    rows = [json.loads(line) for line in (folder / "skills.jsonl").read_text().splitlines()]
    harness.command("init")
    harness.command("add-benchmark", "skills", str(folder / "skills.jsonl"))
    for expert, skills in SKILLS.items():
        where = ("--engine", "openai", "--model", expert, "--base-url", upstream, "--no-profile")
        harness.command("add-expert", expert, *where)
        scores = [
            {"key": row["id"], "subject": row["subject"], "score": float(row["subject"] in skills)} for row in rows
        ]
        file = folder / f"{expert}.jsonl"
        file.write_text("".join(json.dumps(score) + "\n" for score in scores))
        harness.command("import-results", expert, str(file), "--benchmark", "skills")
    harness.command("train-router", "by-subject", "--level", "subject", "--kind", "tfidf")
    return [row["question"] for row in rows]


class Client:
    """One kept connection. Its requests take little time of the processor, so that the server is what is measured."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, model: str, question: str, *, padding: int = 0, slow: bool = False) -> tuple[int, bytes]:
        """The status and the body of an answer. After an error of `BROKEN` the next connection is a new one."""
        body = {"model": model, "messages": [{"role": "user", "content": question}], "user": "x" * padding}
        content = json.dumps(body).encode()
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(f"{_POST}content-length: {len(content)}\r\n\r\n".encode() + content)
            head = await self._reader.readuntil(b"\r\n\r\n")
            if slow:
                await asyncio.sleep(0.5)
            return int(head.split(b" ", 2)[1]), await self._reader.readexactly(content_length(head))
        except BROKEN:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
