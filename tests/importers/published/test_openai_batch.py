"""Output files of the OpenAI batch API, joined with their input files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.importers.published.openai_batch import OPENAI_BATCH
from benchcoe_jobs.importers.source import Source


def asks(custom_id: str, content: Any = "Which?", model: str = "small") -> dict[str, Any]:
    body = {
        "model": model,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}],
    }
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def answers(custom_id: str, content: Any = "(A)", **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": "small-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35},
    }
    response = {"status_code": 200, "request_id": "r", "body": body | changes}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None}


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def items(path: Path, *companions: Path, benchmark: str | None = None) -> list[Any]:
    source = Source(path)
    assert OPENAI_BATCH.recognise(source)
    return list(OPENAI_BATCH.read(source, ReadOptions(benchmark=benchmark, companions=companions)))


def test_responses_with_their_prompts(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Which?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    requests = written(tmp_path / "in.jsonl", asks("mmlu-pro/17"), asks("bbh/snarks/3", parts))
    path = written(tmp_path / "out.jsonl", answers("bbh/snarks/3"), answers("mmlu-pro/17", model=None, usage=None))
    expected = [
        Result(1, "bbh", Query("snarks/3", "", ""), "small-2026", "(A)", None, None, 30, 5, prompt="Be brief.\nWhich?"),
        Result(2, "mmlu-pro", Query("17", "", ""), "small", "(A)", prompt="Be brief.\nWhich?"),
    ]
    assert items(path, requests) == items(path) == expected
    assert not OPENAI_BATCH.accompanies(Source(path))


def test_keys_alone_if_the_command_names_the_benchmark(tmp_path: Path) -> None:
    written(tmp_path / "in.jsonl", *map(asks, ("17", "mine/18", "other/19")))
    path = written(tmp_path / "out.jsonl", *map(answers, ("17", "mine/18", "other/19")))
    assert [row.query.key for row in items(path, benchmark="mine")] == ["17", "18", "other/19"]
    assert next(row.reason for row in items(path)) == (
        "custom_id '17' is not BENCHMARK/KEY: if it is a key, --benchmark names the benchmark"
    )


def test_requests_without_an_answer_are_skipped(tmp_path: Path) -> None:
    ids = [f"bbh/snarks/{number}" for number in range(8)]
    written(tmp_path / "in.jsonl", *map(asks, ids[:7]))
    late = answers(ids[1], error={"message": "Too late."})
    late["response"]["status_code"] = 429
    rows = [
        {"custom_id": ids[0], "response": None, "error": {"code": "expired", "message": "It expired."}},
        late,
        answers(ids[2], choices=[]),
        answers(ids[3], content=["A"]),
        {"custom_id": ids[4], "response": {"status_code": 200}, "error": None},
        answers(ids[5], content=None),
        answers(ids[6]),
        answers(ids[6]),
        answers(ids[7]),
    ]
    found = items(written(tmp_path / "out.jsonl", *rows))
    assert [(row.line, row.reason) for row in found if isinstance(row, SkippedRow)] == [
        (1, "the request failed: 'It expired.'"),
        (2, "the request failed with status 429: 'Too late.'"),
        (3, "its body has no choices: only completions are read"),
        (4, "its answer ['A'] is not text"),
        (5, "response has no body"),
        (8, "it repeats an earlier row (row 8 repeats row 7: custom_id 'bbh/snarks/6')"),
        (9, "the input file has no request with custom_id 'bbh/snarks/7'"),
    ]
    assert [row.text for row in found if isinstance(row, Result)] == ["", "(A)"]


def test_the_input_file(tmp_path: Path) -> None:
    path = written(tmp_path / "out.jsonl", answers("bbh/snarks/1"))
    with pytest.raises(
        InputError, match="the questions are in the input file of the batch, which is neither named nor"
    ):
        items(path)
    (tmp_path / "else").mkdir()
    right = written(tmp_path / "else" / "b.jsonl", asks("bbh/snarks/1"), asks("bbh/snarks/2"))
    assert isinstance(items(path, right)[0], Result)
    others = written(tmp_path / "a.jsonl", asks("bbh/snarks/2"))
    assert isinstance(items(path, others, right)[0], Result)
    written(others, asks("bbh/snarks/1"))
    assert isinstance(items(path, right)[0], Result)
    with pytest.raises(InputError, match=r"2 input files have its requests \('a\.jsonl', 'b\.jsonl'\): name the right"):
        items(path, others, right)
    written(right, asks("bbh/snarks/1"), asks("bbh/snarks/1"))
    with pytest.raises(InputError, match="two requests have the custom_id 'bbh/snarks/1'"):
        items(path, right)
    written(right, {"custom_id": "1", "body": []})
    with pytest.raises(InputError, match="line 1: body is not a JSON object"):
        items(path, right)
