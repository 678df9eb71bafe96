"""What `serve` adds to a request, against a bare pass-through and against LiteLLM's proxy.

    python bench/serving.py [--litellm FOLDER] [--rounds 5] [--seconds 3]

The experts are a stub on loopback that answers at once, so that only what is in front of it counts. All targets have
one process and the same client, and are measured in turns. FOLDER is an environment with `litellm[proxy]` and
`semantic-router<0.2`: its proxy shuffles among the same experts without a decision, and its auto router decides by the
embedding of the question, which the stub computes at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import harness
from serving_ground import EXPERTS, KEY, ROUTED, SERVE, Client, free_port, make_store, process, stub_command

from benchcoe_jobs.demo import SKILLS

N_TOGETHER = 32
BARE = "Starlette pass-through"


def run_pass_through(port: int, upstream: str) -> None:
    """The bare alternative: Starlette and httpx2, which send a body on and the answer back."""
    import httpx2
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    limits = httpx2.Limits(max_connections=256, max_keepalive_connections=256)
    client = httpx2.AsyncClient(limits=limits, trust_env=False, timeout=60)

    async def pass_on(request: Request) -> Response:
        headers = {"content-type": "application/json"}
        answer = await client.post(f"{upstream}/chat/completions", content=await request.body(), headers=headers)
        return Response(answer.content, answer.status_code, media_type="application/json")

    app = Starlette(routes=[Route("/v1/chat/completions", pass_on, methods=["POST"])])
    uvicorn.run(app, port=port, http="h11", access_log=False, log_config=None)


async def answers_per_second(port: int, model: str, questions: Sequence[str], seconds: float) -> float:
    n, start = 0, time.perf_counter()

    async def ask_on() -> None:
        nonlocal n
        client = Client(port)
        while time.perf_counter() < start + seconds:
            status, body = await client.ask(model, random.choice(questions))
            assert status == 200, body
            n += 1
        client.close()

    await asyncio.gather(*(ask_on() for _ in range(N_TOGETHER)))
    return n / (time.perf_counter() - start)


async def latencies(port: int, model: str, questions: Sequence[str], n: int) -> list[float]:
    """Milliseconds of requests, one after the other."""
    client, found = Client(port), []
    for _ in range(n):
        start = time.perf_counter()
        status, body = await client.ask(model, random.choice(questions))
        found.append(1000 * (time.perf_counter() - start))
        assert status == 200, body
    client.close()
    return found


def load(litellm: Path | None, rounds: int, seconds: float) -> None:
    """Print requests per second, and the time that each target adds to the bare pass-through."""
    with tempfile.TemporaryDirectory() as name, open_targets(Path(name), litellm) as (targets, questions):
        rates: dict[str, list[float]] = {target: [] for target in targets}
        times: dict[str, list[tuple[float, float]]] = {target: [] for target in targets}
        for number in range(rounds + 1):
            for target, (port, model) in targets.items():
                rate = asyncio.run(answers_per_second(port, model, questions, seconds))
                each = sorted(asyncio.run(latencies(port, model, questions, 200)))
                if number:  # the first round warms up
                    rates[target].append(rate)
                    times[target].append((each[len(each) // 2], each[int(0.99 * len(each))]))
    medians = {target: statistics.median(found) for target, found in rates.items()}
    p50, p99 = ({t: statistics.median(one[i] for one in found) for t, found in times.items()} for i in (0, 1))
    columns = [f"requests/s, {N_TOGETHER} at a time", "against the pass-through", "p50 ms", "p99 ms"]
    harness.markdown(
        ["target", *columns, "added p50 ms", "added p99 ms"],
        [
            [
                target,
                f"{medians[target]:.0f} ({min(rates[target]):.0f} to {max(rates[target]):.0f})",
                f"{medians[target] / medians[BARE]:.2f}",
                f"{p50[target]:.2f}",
                f"{p99[target]:.2f}",
                f"{p50[target] - p50[BARE]:+.2f}",
                f"{p99[target] - p99[BARE]:+.2f}",
            ]
            for target in targets
        ],
    )
    if litellm is not None:
        for target in ("LiteLLM", "LiteLLM, auto router"):
            found = sorted(ours / theirs for ours, theirs in zip(rates["serve"], rates[target], strict=True))
            print(f"serve / {target}, requests/s: {statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})")


@contextmanager
def open_targets(folder: Path, litellm: Path | None) -> Iterator[tuple[dict[str, tuple[int, str]], list[str]]]:
    """Target -> its port and the model to ask for; and the questions."""
    os.environ |= {"BENCHCOE_DATABASE_URL": f"sqlite:///{folder}/b.db", "BENCHCOE_HOME": str(folder / "home")}
    stub, bare, ours, theirs = (free_port() for _ in range(4))
    upstream = f"http://127.0.0.1:{stub}/v1"
    questions = make_store(folder, upstream)
    this = str(Path(__file__).resolve())
    with ExitStack() as stack:
        stack.enter_context(process(*stub_command(stub), url=f"{upstream}/models", folder=folder))
        command = (sys.executable, this, "pass-through", str(bare), upstream)
        stack.enter_context(process(*command, url=f"http://127.0.0.1:{bare}/", folder=folder))
        url = f"http://127.0.0.1:{ours}/ready"
        stack.enter_context(process(*SERVE, str(ours), url=url, folder=folder, BENCHCOE_API_KEY=KEY))
        targets = {
            "the stub itself": (stub, "reckoner"),
            BARE: (bare, "reckoner"),
            "serve, named expert": (ours, "reckoner"),
            "serve": (ours, ROUTED),
        }
        if litellm is not None:
            (folder / "litellm.json").write_text(json.dumps({"model_list": _models(folder, upstream)}))  # JSON is YAML
            command = (str(litellm / "bin" / "litellm"), "--config", "litellm.json", "--port", str(theirs))
            url = f"http://127.0.0.1:{theirs}/health/liveliness"
            offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": KEY}
            stack.enter_context(process(*command, "--num_workers", "1", url=url, folder=folder, **offline))
            targets |= {"LiteLLM": (theirs, "pool"), "LiteLLM, auto router": (theirs, "auto")}
        yield targets, questions


def _models(folder: Path, upstream: str) -> list[dict[str, object]]:
    """LiteLLM's models: the pool, each expert, the encoder, and an auto router with 20 questions for each expert."""

    def model(name: str, at: str) -> dict[str, object]:
        return {"model_name": name, "litellm_params": {"model": f"openai/{at}", "api_base": upstream, "api_key": "x"}}

    rows = [json.loads(line) for line in (folder / "skills.jsonl").read_text().splitlines()]
    routes = []
    for expert, skills in SKILLS.items():
        known = [row["question"] for row in rows if row["subject"] in skills]
        routes.append({"name": expert, "description": expert, "utterances": known[:20], "score_threshold": 0.1})
    auto = {
        "model": "auto_router/auto",
        "auto_router_config": json.dumps({"routes": routes}),
        "auto_router_default_model": EXPERTS[0],
        "auto_router_embedding_model": "words",
    }
    named = [model("pool", expert) for expert in EXPERTS] + [model(expert, expert) for expert in EXPERTS]
    return [*named, model("words", "words"), {"model_name": "auto", "litellm_params": auto}]


def main() -> None:
    if sys.argv[1:2] == ["pass-through"]:
        run_pass_through(int(sys.argv[2]), sys.argv[3])
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    load(given.litellm, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
