"""Profiling through engine server and store against a bare loop over the same engine; loads of the expert.

    python bench/profiling.py transformers [TIMES]
    python bench/profiling.py vllm [TIMES]      (in the environment of make test-vllm)

The expert is a demo expert, whose model is so small that the overhead weighs most. Both answer the same questions
greedily and alternate, each time with a freshly loaded engine; loading is not timed.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from harness import command, markdown

from benchcoe_jobs import demo
from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.skills import Skills
from benchcoe_jobs.demo.questions import SUBJECTS, write_questions

PER_SUBJECT = {"transformers": 125, "vllm": 500}
EXPERT = "clerk"
MODEL = str(demo.model_folder(EXPERT))
SKILLS = Skills()
N_NEW, STOP = SKILLS.decoding.max_new_tokens, list(SKILLS.decoding.stop)


def main(engine: str, repeats: str = "5") -> None:
    times = int(repeats)
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ["BENCHCOE_DATABASE_URL"] = "sqlite:///benchcoe.db"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_questions(Path("skills.jsonl"), PER_SUBJECT[engine])
        command("init")
        command("add-benchmark", "skills", "skills.jsonl")
        prompts = [SKILLS.request(query, NO_SHOTS).question for query in SKILLS.load(Path("skills.jsonl"))]
        bare = {"transformers": bare_transformers, "vllm": bare_vllm}[engine]
        ours: list[float] = []
        theirs: list[float] = []
        loads = 0
        for number in range(times):
            command("add-expert", f"expert{number}", "--engine", engine, "--model", MODEL, "--no-profile")
            done = command("profile", f"expert{number}")
            loads += done["loads"]
            ours.append(done["benchmarks"][0]["seconds"])
            answer, close = bare()
            start = time.perf_counter()
            answer(prompts)
            theirs.append(time.perf_counter() - start)
            close()
    ratios = [least / own for least, own in zip(theirs, ours, strict=True)]
    columns = ["engine", "profile, queries/s", "bare loop, queries/s", "ratio, median", "ratios"]
    rates = [f"{len(prompts) / statistics.median(seconds):.0f}" for seconds in (ours, theirs)]
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    markdown(columns, [[engine, *rates, f"{statistics.median(ratios):.2f}", shown]])
    scripts = times * len(SUBJECTS)
    markdown(
        ["profiles", "subjects", "loads", "loads of a script that loads once per subject"],
        [[str(times), str(len(SUBJECTS)), str(loads), str(scripts)]],
    )


def bare_transformers() -> tuple[Callable[[list[str]], Any], Callable[[], Any]]:
    """`generate` over the same batches: 64 questions at a time, longest first, 32 in a batch."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(MODEL, padding_side="left", pad_token="</s>")  # noqa: S106
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()

    def answer(prompts: list[str]) -> list[str]:
        answers = []
        for start in range(0, len(prompts), 64):
            longest_first = sorted(prompts[start : start + 64], key=lambda prompt: -len(words(prompt)["input_ids"]))
            for place in range(0, len(longest_first), 32):
                batch = words(longest_first[place : place + 32], padding=True, return_tensors="pt")
                batch.pop("token_type_ids", None)
                ids = model.generate(
                    **batch,
                    max_new_tokens=N_NEW,
                    do_sample=False,
                    stop_strings=STOP,
                    tokenizer=words,
                    pad_token_id=words.pad_token_id,
                )
                answers += words.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return answers

    return answer, lambda: None


def bare_vllm() -> tuple[Callable[[list[str]], Any], Callable[[], Any]]:
    """`LLM.generate` over all questions in one call."""
    from vllm import LLM, SamplingParams

    llm = LLM(model=MODEL, dtype="float32", enforce_eager=True)
    sampling = SamplingParams(temperature=0, max_tokens=N_NEW, stop=STOP)
    return lambda prompts: llm.generate(prompts, sampling, use_tqdm=False), llm.llm_engine.engine_core.shutdown


if __name__ == "__main__":
    main(*sys.argv[1:])
