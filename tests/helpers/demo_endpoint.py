"""A server with OpenAI's API whose models are the experts of the demo, run by the engine `transformers`.

It answers about its tokenizer as vLLM does. Its chat template is the prompt that the experts were trained with.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loopback import Loopback, send

from benchcoe_jobs.demo import model_folder, pictures
from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.transformers import TransformersEngine


class DemoExpert:
    """One expert, which answers one request at a time."""

    def __init__(self, name: str) -> None:
        folder = pictures.model_folder(name) if name in pictures.STRONG else model_folder(name)
        self.engine = TransformersEngine()
        self.engine.load(ExpertSettings("transformers", str(folder), batch_size=1))
        self._echo = Loopback(self.engine)
        self._lock = threading.Lock()

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        tokenizer = self.engine._model.tokenizer
        with self._lock:
            if path == "/tokenize":
                special = body.get("add_special_tokens", True)
                return {"tokens": tokenizer(body["prompt"], add_special_tokens=special)["input_ids"]}
            if path == "/detokenize":
                return {"prompt": tokenizer.decode(body["tokens"])}
            if body.get("echo"):
                return self._echo.echoed(body["prompt"])
            chat = path == "/v1/chat/completions"
            prompt, images = _prompted(body["messages"][-1]["content"]) if chat else (body["prompt"], ())
            stop = body.get("stop") or ()
            stop = (stop,) if isinstance(stop, str) else tuple(one for one in stop if one)
            decoding = Decoding(body.get("max_tokens", 16), body.get("temperature", 0.0), 0, stop, False)
            [one] = self.engine.run([Request(prompt, images=images)], decoding)
        choice: dict[str, Any] = {"index": 0, "finish_reason": one.finish_reason}
        choice |= {"message": {"role": "assistant", "content": one.text}} if chat else {"text": one.text}
        usage = {"prompt_tokens": one.prompt_tokens, "completion_tokens": one.completion_tokens}
        return {"model": body["model"], "choices": [choice], "usage": usage}


def _prompted(content: str | list[dict[str, Any]]) -> tuple[str, tuple[bytes, ...]]:
    """The prompt that the experts were trained with, and the pictures of a message."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    images = tuple(base64.b64decode(url.partition(",")[2]) for url in urls)
    # The prompt of a benchmark is sent as it is, and a question alone is put into it.
    return text if text.startswith("Q: ") else f"Q: {text}\nA:", images


@contextmanager
def serving(names: Sequence[str]) -> Iterator[str]:
    """The URL of a server with these experts of the demo, which ends with `/v1`."""
    experts = {name: DemoExpert(name) for name in names}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            models = {"data": [{"id": name} for name in experts]}
            self._send({"eos_token": "</s>", "bos_token": "<s>"} if self.path == "/tokenizer_info" else models)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(experts[body["model"]].answer(self.path, body))

        def _send(self, content: dict[str, Any]) -> None:
            send(self, 200, json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        for expert in experts.values():
            expert.engine.close()
