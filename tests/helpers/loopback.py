"""An HTTP server on loopback with OpenAI's API, which answers with a tiny model and fails on demand."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import Any

import torch

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.transformers import TransformersEngine

Failure = Callable[[BaseHTTPRequestHandler], None]


KEY_VARIABLE = "TINY_API_KEY"
"""The environment variable with the key of its clients."""


@dataclass
class Loopback:
    """`faults` are used up in order, one for each request; `seen` has path, key and body of each request.

    `outage` is the reply to every request while it is set. `echo` is the server whose echo of a prompt is imitated:
    vllm, or llama-cpp-python.
    """

    engine: TransformersEngine
    url: str = ""
    faults: deque[Failure] = field(default_factory=deque)
    outage: Failure | None = None
    echo: str = "vllm"
    seen: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/models":
            return 200, {"data": [{"id": "tiny"}]}
        chat = path == "/v1/chat/completions"
        if not chat and path != "/v1/completions":
            return 404, {"error": {"message": "no such path"}}
        if body["model"] != "tiny":
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist.", "code": 404}}
        if body.get("echo"):
            return 200, self.echoed(body["prompt"])
        prompt = body["messages"][0]["content"] if chat else body["prompt"]
        if not isinstance(prompt, str):
            return 400, {"error": {"message": "the model does not accept images"}}
        # As in OpenAI's API and vLLM: without a limit, chat has the context as its limit, and completions have 16.
        limit = body.get("max_tokens", None if chat else 16)
        decoding = Decoding(limit, body["temperature"], body.get("seed", 0), tuple(body.get("stop", ())), chat)
        question = {0: Request(prompt)}
        prompts, failures = self.engine._prompter.prompts(question, replace(decoding, max_new_tokens=1))
        context = self.engine._model.context or 0
        n_prompt = len(prompts[0].ids) if prompts else context
        # The engine would reduce the limit of the answer; servers refuse the request.
        if failures or n_prompt + (limit or 1) > context:
            return 400, {"error": {"message": too_long(context, n_prompt, limit or 1)}}
        with self.lock:
            [one] = self.engine.run([question[0]], decoding)
        choice = {"message": {"role": "assistant", "content": one.text}} if chat else {"text": one.text}
        usage = {"prompt_tokens": one.prompt_tokens, "completion_tokens": one.completion_tokens}
        choice |= {"index": 0, "finish_reason": one.finish_reason}
        return 200, {"model": "tiny", "choices": [choice], "usage": usage}

    def echoed(self, prompt: str) -> dict[str, Any]:
        """An echoed prompt and one new token, with log-probabilities.

        vLLM decodes each token alone, special ones included, and makes an offset of the lengths of the texts before it
        (`_create_completion_logprobs`). llama-cpp-python leaves out the token that texts begin with and drops bytes
        that are no whole character (`Llama._create_completion`). Both decode a part of a character to something else
        than its text.
        """
        model = self.engine._model
        ids = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
        with self.lock, torch.inference_mode():
            logs = model._model(input_ids=ids).logits[0].log_softmax(-1)
        new = int(logs[-1].argmax())
        every = [*ids[0].tolist(), new]
        values = [None] + [logs[n, token].item() for n, token in enumerate(every[1:])]
        tokens = [model.tokenizer.decode([token]) for token in every]
        tops = [None, *({"": value} for value in logs.max(-1).values.tolist())]
        n_prompt = len(every) - 1
        if self.echo == "llama-cpp-python":
            tokens, values = [token.replace("\ufffd", "") for token in tokens[1:]], [None, *values[2:]]
            tops = [None, *tops[2:]]
        offsets = list(accumulate(map(len, tokens), initial=0))[:-1]
        logprobs = {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}
        choice = {"index": 0, "text": prompt + tokens[-1], "logprobs": logprobs, "finish_reason": "length"}
        usage = {"prompt_tokens": n_prompt, "completion_tokens": 1, "total_tokens": n_prompt + 1}
        return {"model": "tiny", "choices": [choice], "usage": usage}


def too_long(context: int, n_prompt: int, n_new: int) -> str:
    """The refusal of vLLM."""
    return (
        f"This model's maximum context length is {context} tokens. However, you requested {n_prompt + n_new} tokens "
        f"({n_prompt} in the messages, {n_new} in the completion). Please reduce the length of the messages."
    )


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
            if body and (fault := state.outage or (state.faults.popleft() if state.faults else None)) is not None:
                fault(self)
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
