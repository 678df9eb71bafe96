"""An HTTP server on loopback with OpenAI's API, which answers with a tiny model and fails on demand."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.transformers import TransformersEngine

Failure = Callable[[BaseHTTPRequestHandler], None]


KEY_VARIABLE = "TINY_API_KEY"
"""The environment variable with the key of its clients."""


@dataclass
class Loopback:
    """`faults` are used up in order, one for each request; `seen` has path, key and body of each request."""

    engine: TransformersEngine
    url: str = ""
    faults: deque[Failure] = field(default_factory=deque)
    seen: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/models":
            return 200, {"data": [{"id": "tiny"}]}
        chat = path == "/v1/chat/completions"
        if not chat and path != "/v1/completions":
            return 404, {"error": {"message": "no such path"}}
        if body.get("echo"):
            return 200, {"choices": [{"logprobs": self.echo(body["prompt"])}]}
        prompt = body["messages"][0]["content"] if chat else body["prompt"]
        if not isinstance(prompt, str):
            return 400, {"error": {"message": "the model does not accept images"}}
        decoding = Decoding(
            body["max_tokens"], body["temperature"], body.get("seed", 0), tuple(body.get("stop", ())), chat
        )
        with self.lock:
            [one] = self.engine.run([Request(prompt)], decoding)
        # The engine would reduce the limit of the answer; servers refuse the request.
        if one.error or (one.prompt_tokens or 0) + decoding.max_new_tokens > (self.engine._model.context or 0):
            return 400, {"error": {"message": f"This model's maximum context length is 512 tokens. {one.error}"}}
        choice = {"message": {"role": "assistant", "content": one.text}} if chat else {"text": one.text}
        usage = {"prompt_tokens": one.prompt_tokens, "completion_tokens": one.completion_tokens}
        return 200, {"choices": [choice | {"finish_reason": one.finish_reason}], "usage": usage}

    def echo(self, text: str) -> dict[str, Any]:
        model = self.engine._model
        encoded = model.tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        ids, spans = encoded["input_ids"], encoded["offset_mapping"][0].tolist()
        with self.lock, torch.inference_mode():
            logs = model._model(input_ids=ids).logits[0].log_softmax(-1)
        values = [None] + [logs[n, token].item() for n, token in enumerate(ids[0, 1:].tolist())]
        tokens = [text[start:end] for start, end in spans]
        # With the one new token that was requested.
        return {
            "tokens": [*tokens, "!"],
            "token_logprobs": [*values, -1.0],
            "text_offset": [*(start for start, _ in spans), len(text)],
        }


@contextmanager
def serving(engine: TransformersEngine) -> Iterator[Loopback]:
    state = Loopback(engine)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _serve(self, body: dict[str, Any]) -> None:
            state.seen.append((self.path, self.headers["Authorization"], body))
            if body and state.faults:
                state.faults.popleft()(self)
            else:
                status, answer = state.answer(self.path, body)
                send(self, status, json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing; tests read the requests from `seen`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, content: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def status(code: int, message: str = "injected", **headers: str) -> Failure:
    return lambda handler: send(handler, code, json.dumps({"error": {"message": message}}).encode(), **headers)


def broken_json(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b'{"choices": [{"text": "hal')


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def hanging(state: Loopback) -> Failure:
    def hang(handler: BaseHTTPRequestHandler) -> None:
        state.over.wait(60)
        handler.close_connection = True

    return hang


def dripping(state: Loopback) -> Failure:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            while not state.over.wait(0.2):
                handler.wfile.write(b" ")
        except OSError:
            handler.close_connection = True

    return drip
