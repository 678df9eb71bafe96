"""Logs as lm-evaluation-harness 0.4.13 writes them with --log_samples: two models on the group toy of two tasks."""

from __future__ import annotations

import json
from pathlib import Path

DATE = "2026-11-28T09-00-00.000000"
N = 200
MODELS = {
    "org/geographer-7B": {"toy_rivers": 0.9, "toy_metals": 0.5},
    "org/chemist-7B": {"toy_rivers": 0.45, "toy_metals": 0.8},
}
"""The share of the questions of each task that a model answers right."""


def write_logs(folder: Path) -> None:
    """Write the folder that lm_eval is given as --output_path."""
    for model, shares in MODELS.items():
        run = folder / model.replace("/", "__")
        run.mkdir(parents=True)
        results = {}
        for task, share in shares.items():
            samples = [_sample(task, n, (7 * n + len(task) + len(model)) % N < share * N) for n in range(N)]
            (run / f"samples_{task}_{DATE}.jsonl").write_text("".join(f"{json.dumps(sample)}\n" for sample in samples))
            mean = sum(sample["acc"] for sample in samples) / N
            results[task] = {"alias": task, "acc,none": mean, "acc_stderr,none": (mean * (1 - mean) / (N - 1)) ** 0.5}
        (run / f"results_{DATE}.json").write_text(json.dumps(_summary(model, results)))


def _sample(task: str, n: int, is_right: bool) -> dict[str, object]:
    kind = task.removeprefix("toy_")
    question = f"Which of the {kind} has the number {n}?"
    choices = [f"{kind} {letter}" for letter in "abcd"]
    chosen = n % 4 if is_right else (n + 1) % 4
    answers = [[f"{-1.0 if place == chosen else -2.0}", "False"] for place in range(4)]
    return {
        "doc_id": n,
        "doc": {"question": question, "choices": choices, "answer": n % 4},
        "target": str(n % 4),
        "arguments": {
            f"gen_args_{place}": {"arg_0": question, "arg_1": f" {choice}"} for place, choice in enumerate(choices)
        },
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": f"{n:064x}",
        "prompt_hash": f"{n:064x}",
        "target_hash": f"{n % 4:064x}",
        "acc": float(is_right),
    }


def _summary(model: str, results: dict[str, dict[str, object]]) -> dict[str, object]:
    tasks = list(results)
    return {
        "results": {"toy": {"alias": "toy"}} | results,
        "groups": {"toy": {"alias": "toy"}},
        "group_subtasks": {"toy": tasks},
        "configs": {task: {"task": task, "output_type": "multiple_choice"} for task in tasks},
        "versions": dict.fromkeys(tasks, "Yaml"),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {task: {"acc": True} for task in tasks},
        "n-samples": {task: {"original": N, "effective": N} for task in tasks},
        "config": {"model": "hf", "model_args": {"pretrained": model}, "limit": None},
        "lm_eval_version": "0.4.13",
        "model_source": "hf",
        "model_name": model,
        "model_name_sanitized": model.replace("/", "__"),
    }
