"""lmms-eval: values of metrics that are objects, responses that are left out, MMMU and MMStar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from needs import SHARED_DATA, skip_or_fail
from readings import reading

from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.harnesses.lmms_eval import LMMS_EVAL
from benchcoe_jobs.importers.source import Source

TIME = "20261128_041500"


def row(place: int, **members: Any) -> dict[str, Any]:
    return {"doc_id": place, "target": "A", "filtered_resps": "A", "input": f"What is on picture {place}?", **members}


def write(folder: Path, task: str, rows: list[dict[str, Any]], means: dict[str, float], **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    samples = folder / f"{TIME}_samples_{task}.jsonl"
    samples.write_text("".join(json.dumps(one) + "\n" for one in rows))
    results = {"results": {task: means}, "configs": {task: config}, "model_name": "org/vlm"}
    (folder / f"{TIME}_results.json").write_text(json.dumps(results))
    return samples


def test_the_score_and_the_subject_are_in_the_value_of_the_metric() -> None:
    folder = SHARED_DATA / "formats" / "constructed" / "lmms-eval"
    if not folder.exists():
        skip_or_fail(f"{folder} is missing")
    assert LMMS_EVAL.recognise(Source(folder))
    found = reading(LMMS_EVAL, folder)
    assert (found.means(), found.stated_means()) == ({"toy_mc": (12, 0.3333)}, {"toy_mc": 0.3333})
    first = found.results[0]
    assert (first.expert, first.benchmark, first.query.key, first.query.subject) == (
        "toy/vlm",
        "toy_mc",
        "toy_mc/0",
        "Math",
    )
    assert (first.text, first.claimed, first.prompt_tokens, first.completion_tokens) == ("C", "C", 600, 1)


def test_the_response_is_raw_where_a_filter_changed_it(tmp_path: Path) -> None:
    rows = [row(0, acc=1.0, resps=["It is A."]), row(1, acc=0.0), row(0, acc=0.0)]
    found = reading(LMMS_EVAL, write(tmp_path, "quiz", rows, {"acc,none": 0.5}))
    assert [one.text for one in found.results] == ["It is A.", "A"]
    assert [one.reason for one in found.skipped] == ["it repeats an earlier row (row 3 repeats row 1: document 0)"]


def test_mmmu_is_known_by_its_keys(tmp_path: Path) -> None:
    letter = {"id": "validation_Art_Theory_1", "subdomain": "Art_Theory", "question_type": "multiple-choice"}
    phrase = {"id": "validation_Math_2", "subdomain": "Math", "question_type": "short-answer"}
    rows = [
        row(0, mmmu_acc=letter | {"answer": "A", "parsed_pred": ["A"]}, submission={}),
        row(1, mmmu_acc=letter | {"id": "validation_Art_Theory_2", "answer": "A", "parsed_pred": ["B"]}, submission={}),
        row(2, mmmu_acc=phrase | {"answer": "['12', 'twelve']", "parsed_pred": [["12"]]}, filtered_resps="It is 7."),
        row(
            3,
            mmmu_acc=phrase | {"id": "validation_Math_3", "answer": "12", "parsed_pred": [[12.0]]},
            filtered_resps="12",
        ),
    ]
    config = {"metric_list": [{"metric": "mmmu_acc", "aggregation": "def mmmu_aggregate_results(results): ..."}]}
    found = reading(LMMS_EVAL, write(tmp_path, "mmmu_val", rows, {"mmmu_acc,none": 0.5}, **config))
    first = found.results[0]
    assert (first.benchmark, first.query) == ("mmmu", Query("validation_Art_Theory_1", "Art_Theory", ""))
    assert (first.score, first.file_score, first.claimed, first.prompt) == (None, 1.0, "A", rows[0]["input"])
    assert (found.means(), found.stated_means()) == ({"mmmu_val": (4, 0.5)}, {"mmmu_val": 0.5})


def test_mmstar_is_known_by_its_keys_and_its_figure_is_no_mean(tmp_path: Path) -> None:
    value = {"question_id": 5, "l2_category": "object counting", "score": 1.0}
    found = reading(LMMS_EVAL, write(tmp_path, "mmstar", [row(0, math=value, average=value)], {"average,none": 0.1}))
    assert (found.results[0].benchmark, found.results[0].query) == ("mmstar", Query("5", "math", ""))
    assert (found.stated, len(found.notes)) == ([], 1)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    samples = write(tmp_path, "quiz", [row(0, acc=1.0, anls=0.5)], {})
    with pytest.raises(InputError, match=r"task quiz has several metrics: --metric chooses one of acc, anls$"):
        reading(LMMS_EVAL, samples)
    assert reading(LMMS_EVAL, samples, metric="anls").results[0].score == 0.5
    samples.unlink()
    results = Source(tmp_path / f"{TIME}_results.json")
    assert LMMS_EVAL.recognise(results)
    with pytest.raises(InputError, match=r"--log_samples"):
        reading(LMMS_EVAL, results.path)
