"""promptfoo: assertions, failed requests, several prompts and providers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from imported import imported, reasons, results, scores, stated, write_json

from benchcoe_jobs.errors import UsageError

EQUALS = [{"type": "equals", "value": "4"}]


def row(test: int, score: float, prompt: int = 0, **other: Any) -> dict[str, Any]:
    label = f"template {prompt}"
    return {
        "testIdx": test,
        "promptIdx": prompt,
        "provider": {"id": "openai:m", "label": "My model"},
        "prompt": {"raw": f"Question {test}?", "label": label},
        "score": score,
        "success": score == 1,
        "namedScores": {"style": 0.25},
        "cost": 0.5,
        "response": {"output": "four", "tokenUsage": {"prompt": 3, "completion": 1}},
        "testCase": {"assert": EQUALS, "metadata": {"subject": "maths"}},
        **other,
    }


def written(path: Path, rows: list[dict[str, Any]], **metrics: Any) -> Path:
    prompts = [{"provider": "My model", "metrics": metrics}] if metrics else []
    return write_json(path, {"evalId": "e", "results": {"version": 3, "prompts": prompts, "results": rows}})


def test_results_and_the_score_that_the_file_states(tmp_path: Path) -> None:
    failed = row(2, 0, failureReason=2, error="429", response={})
    path = written(
        tmp_path / "quiz.json", [row(0, 1), row(1, 0.5), failed], score=1.5, testPassCount=1, testFailCount=1
    )
    items = imported("promptfoo", path)
    first = results(items)[0]
    assert (first.benchmark, first.query.key, first.query.subject) == ("quiz", "0", "maths")
    assert (first.query.text, first.query.answer, first.text, first.cost) == ("Question 0?", "4", "four", 0.5)
    assert scores(items) == {"My model": [1.0, 0.5]}
    assert reasons(items) == ["its request failed: '429'"]
    assert [(mean.expert, mean.value, mean.n) for mean in stated(items)] == [("My model", 0.75, 2)]
    assert scores(imported("promptfoo", path, metric="style")) == {"My model": [0.25, 0.25]}


def test_a_test_without_an_assertion_has_no_score(tmp_path: Path) -> None:
    path = written(tmp_path / "quiz.json", [row(0, 1, testCase={"assert": []}), row(1, 1)])
    assert reasons(imported("promptfoo", path)) == ["it has no assertion that its answer could fail"]


def test_one_of_several_prompts_must_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path / "quiz.json", [row(0, 1), row(0, 0, 1)])
    with pytest.raises(UsageError, match="--filter LABEL chooses one"):
        imported("promptfoo", path)
    assert scores(imported("promptfoo", path, filter="template 1")) == {"My model": [0.0]}
    with pytest.raises(UsageError, match="it has 'template 0', 'template 1'"):
        imported("promptfoo", path, filter="other")
