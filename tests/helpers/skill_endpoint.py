"""An endpoint with OpenAI's API whose models know the answers to some subjects of the benchmark `skills`.

It needs the standard library only, and it remembers every request.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KNOWS = {
    "red": {"arithmetic", "counting", "dates"},
    "green": {"capitals", "reversal", "sorting"},
    "blue": {"comparison", "units", "counting"},
}
"""Model -> the subjects to which it knows the answers. To the others it says "unknown"."""


@dataclass
class SkillEndpoint:
    """`delay_s` is the time of each answer; `seen` counts the requests by model and prompt."""

    questions: Mapping[str, Mapping[str, str]]
    url: str = ""
    delay_s: float = 0.0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, model: str, prompt: str) -> str:
        """Note the request; the answer of a model, later."""
        with self._lock:
            self.seen[model, prompt] += 1
        time.sleep(self.delay_s)
        return self.expected(model, prompt)

    def expected(self, model: str, prompt: str) -> str:
        """The answer of a model to the question that a prompt contains, which may follow a mark in brackets."""
        question = prompt.removeprefix("Q: ").removesuffix("\nA:")
        row = self.questions.get(question.partition("] ")[2] or question)
        return row["answer"] if row and row["subject"] in KNOWS[model] else "unknown"

    def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of a response."""
        match path:
            case "/v1/models":
                return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in KNOWS]}
            case "/v1/chat/completions":
                text = self.answer(body["model"], body["messages"][-1]["content"])
                choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
            case "/v1/completions":
                text = " " + self.answer(body["model"], body["prompt"])
                choice = {"text": text}
            case _:
                return 404, {"error": {"message": f"no path {path}"}}
        usage = {"prompt_tokens": 9, "completion_tokens": len(text.split())}
        return 200, {
            "model": body["model"],
            "choices": [choice | {"index": 0, "finish_reason": "stop"}],
            "usage": usage,
        }


def _events(answer: Mapping[str, Any]) -> bytes:
    """An answer as a stream: an event for each character, and the end."""
    text = answer["choices"][0]["message"]["content"]
    events = [{**answer, "choices": [{"index": 0, "delta": {"content": part}}]} for part in text]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode() + b"data: [DONE]\n\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to report if a client was killed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(questions: Path) -> Iterator[SkillEndpoint]:
    """The endpoint on a free port of loopback, for the questions of a file of the benchmark `skills`."""
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    state = SkillEndpoint({row["question"]: row for row in rows})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _serve(self, body: Mapping[str, Any]) -> None:
            status, answer = state.reply(self.path, body)
            content, media_type = json.dumps(answer).encode(), "application/json"
            if body.get("stream"):
                content, media_type = _events(answer), "text/event-stream"
            try:
                self.send_response(status)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client was killed
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
