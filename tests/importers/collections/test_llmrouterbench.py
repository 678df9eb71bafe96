"""LLMRouterBench: several runs of one model, records without a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imported import imported, notes, reasons, results, scores, stated, write_json


def run(path: Path, values: list[float | None], *, demo: bool = False) -> Path:
    records = [
        {"index": number, "origin_query": f"Question {number}?", "ground_truth": "4", "score": value, "cost": 0.5}
        for number, value in enumerate(values, 1)
    ]
    known = [value for value in values if value is not None]
    document: dict[str, Any] = {
        "performance": sum(known) / len(known),
        "model_name": "org/m",
        "dataset_name": "toy",
        "split": "test",
        "demo": demo,
        "records": records,
    }
    return write_json(path, document)


def test_the_newest_run_is_used_and_a_demo_run_is_not(tmp_path: Path) -> None:
    run(tmp_path / "toy-test-m-20250101_000000.json", [0.0, 0.0])
    run(tmp_path / "toy-test-m-20260101_000000.json", [1.0, 0.5])
    run(tmp_path / "toy-test-m-20270101_000000.json", [0.0], demo=True)
    items = imported("llmrouterbench", tmp_path)
    assert scores(items) == {"org/m": [1.0, 0.5]}
    assert notes(items) == [
        "toy-test-m-20250101_000000.json, toy-test-m-20270101_000000.json: passed over, because "
        "toy-test-m-20260101_000000.json is the newest whole run"
    ]
    assert [(row.query.key, row.query.subject, row.query.answer) for row in results(items)] == [
        ("toy/test/1", "toy", "4"),
        ("toy/test/2", "toy", "4"),
    ]
    assert [(mean.value, mean.n) for mean in stated(items)] == [(0.75, 2)]


def test_a_record_without_a_score_is_skipped_and_not_in_the_mean(tmp_path: Path) -> None:
    items = imported("llmrouterbench", run(tmp_path / "r.json", [1.0, None], demo=True))
    assert scores(items) == {"org/m": [1.0]}
    assert reasons(items) == ["it has no score: its request or its evaluation failed"]
    assert [(mean.value, mean.n) for mean in stated(items)] == [(1.0, 1)]
    assert notes(items) == ["r.json: a demo run, which has a part of the questions"]
