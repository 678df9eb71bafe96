"""Greedy answers of transformers and vLLM to the same 500 questions, for every demo expert, in float32.

python bench/engine_agreement.py        (in the environment of make test-vllm)
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from harness import markdown
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchcoe_jobs import demo
from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.skills import Skills
from benchcoe_jobs.demo.questions import write_questions
from benchcoe_jobs.domain import Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient

SKILLS = Skills()


def main() -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "skills.jsonl"
        write_questions(path, 63)
        queries = list(SKILLS.load(path))[:500]
    requests = [SKILLS.request(query, NO_SHOTS) for query in queries]
    rows = []
    for expert in demo.SKILLS:
        ours, theirs = (answers(engine, expert, requests) for engine in ("transformers", "vllm"))
        means = [
            sum(SKILLS.score(text, query).score for text, query in zip(texts, queries, strict=True)) / len(queries)
            for texts in (ours, theirs)
        ]
        differing = [n for n in range(len(queries)) if ours[n] != theirs[n]]
        margins = [margin(expert, requests[n].question, ours[n], theirs[n]) for n in differing]
        same = 1 - len(differing) / len(queries)
        shown = ", ".join(f"{value:.1e}" for value in margins) or "-"
        rows.append(
            [expert, str(len(queries)), f"{100 * same:.1f} %", *(f"{100 * mean:.1f} %" for mean in means), shown]
        )
    columns = [
        "expert",
        "questions",
        "same answer",
        "transformers right",
        "vLLM right",
        "logit margins where they diverge",
    ]
    markdown(columns, rows)


def answers(engine: str, expert: str, requests: list[Request]) -> list[str]:
    with EngineClient(ExpertSettings(engine, str(demo.model_folder(expert)))) as host:
        return [completion.text for completion in host.run(requests, SKILLS.decoding)]


def margin(expert: str, prompt: str, one: str, other: str) -> float:
    """The difference of the two highest logits at the token where two answers diverge."""
    words = AutoTokenizer.from_pretrained(demo.model_folder(expert))
    model = AutoModelForCausalLM.from_pretrained(demo.model_folder(expert), dtype=torch.float32)
    rows = [words(prompt + text)["input_ids"] for text in (one, other)]
    shared = next((n for n, (a, b) in enumerate(zip(*rows, strict=False)) if a != b), min(map(len, rows)))
    with torch.inference_mode():
        best, second = model(input_ids=torch.tensor([rows[0][:shared]])).logits[0, -1].topk(2).values
    return float(best - second)


if __name__ == "__main__":
    main()
