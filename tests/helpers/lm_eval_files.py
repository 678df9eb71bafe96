"""Files as lm-evaluation-harness 0.4.13 writes them, with made-up questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIME = "2026-11-28T04-09-26.322425"


def choice_row(place: int, score: float, **doc: Any) -> dict[str, Any]:
    """A row of a task that compares log-likelihoods of three choices."""
    choices = ["red", "green", "blue"]
    doc = doc or {"question": f"Which colour is number {place}?", "choices": choices, "label": 1}
    return {
        "doc_id": place,
        "doc": doc,
        "target": "1",
        "arguments": {
            f"gen_args_{n}": {"arg_0": "Shots. Question:", "arg_1": f" {one}"} for n, one in enumerate(choices)
        },
        "resps": [[["-0.9", "False"]], [["-0.2", "False"]], [["-0.7", "False"]]],
        "filtered_resps": [["-0.9", "False"], ["-0.2", "False"], ["-0.7", "False"]],
        "filter": "none",
        "metrics": ["acc"],
        "acc": score,
    }


def text_row(place: int, score: float, response: str, doc: Mapping[str, Any], filter_name: str) -> dict[str, Any]:
    """A row of a task that generates text."""
    return {
        "doc_id": place,
        "doc": dict(doc),
        "target": "B",
        "arguments": {"gen_args_0": {"arg_0": "Shots. Question:", "arg_1": {"until": ["Question:"]}}},
        "resps": [[response]],
        "filtered_resps": ["B" if score else "[invalid]"],
        "filter": filter_name,
        "metrics": ["exact_match"],
        "exact_match": score,
    }


def write_task(
    folder: Path,
    task: str,
    rows: Sequence[Mapping[str, Any]],
    means: Mapping[str, float],
    time: str = TIME,
    **results: Any,
) -> Path:
    """Write the samples of a task and the results of its run; returns the file of samples."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / f"samples_{task}_{time}.jsonl"
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "results": {task: {"alias": task, **means}},
        "configs": {task: {"task": task}},
        "n-samples": {task: {"original": len(rows), "effective": len(rows)}},
        "config": {"model_args": "pretrained=org/small,dtype=float"},
        "model_name": "org/small",
    }
    (folder / f"results_{time}.json").write_text(json.dumps(document | results))
    return samples
