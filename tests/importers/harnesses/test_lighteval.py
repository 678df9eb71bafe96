"""lighteval: output folders, single files, choices and reference answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from needs import SHARED_DATA, skip_or_fail
from pyarrow import parquet
from readings import reading

from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.harnesses.lighteval import LIGHTEVAL
from benchcoe_jobs.importers.source import Source

TIME = "2026-11-28T04-20-00.000000"


def row(place: int, metric: dict[str, Any], **doc: Any) -> dict[str, Any]:
    doc = {"query": f"Question {place}?", "choices": [" a", " b"], "gold_index": [1], "id": str(place)} | doc
    return {"doc": doc, "model_response": {"text": ["B"], "output_tokens": [[1, 2, 3]]}, "metric": metric}


def write(folder: Path, task: str, rows: list[dict[str, Any]], means: dict[str, float], time: str = TIME) -> Path:
    details = folder / "details" / "org" / "small" / time / f"details_{task}_{time}.parquet"
    details.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), details)
    results = folder / "results" / "org" / "small" / f"results_{time}.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    general = {"model_name": "org/small"}
    results.write_text(json.dumps({"config_general": general, "results": {task: means}}))
    return details


def test_an_output_folder_and_one_file_of_it() -> None:
    folder = SHARED_DATA / "formats" / "lighteval"
    if not folder.exists():
        skip_or_fail(f"{folder} is missing")
    assert LIGHTEVAL.recognise(Source(folder))
    found = reading(LIGHTEVAL, folder)
    means = {"toy:metals|0": (12, 0.1667), "toy:rivers|0": (12, 0.1667)}
    assert found.means() == means
    assert found.stated_means() == {task: mean for task, (_, mean) in means.items()}
    first = found.results[0]
    assert (first.expert, first.benchmark) == ("toy-model", "toy")
    assert first.query == Query(
        key="toy:metals/0",
        subject="metals",
        text="Question: Made-up question 0 about metals: which of these numbers is 0?\nAnswer:",
        choices=("0", "20", "neither of them", "40"),
        answer="C",
    )
    [details] = folder.rglob("details_toy:rivers*.parquet")
    assert LIGHTEVAL.recognise(Source(details))
    assert reading(LIGHTEVAL, details).stated_means() == {"toy:rivers|0": 0.1667}


def test_generated_text_and_reference_answers(tmp_path: Path) -> None:
    rows = [
        row(0, {"em": 1.0}, choices=["Paris", "paris"], gold_index=[0, 1], original_query="Capital of France?"),
        row(1, {"em": 0.0}),
    ]
    write(tmp_path, "lighteval|quiz|5|0", rows, {"em": 0.5})
    found = reading(LIGHTEVAL, tmp_path)
    assert (found.means(), found.stated_means()) == ({"lighteval|quiz|5|0": (2, 0.5)}, {"lighteval|quiz|5|0": 0.5})
    first, second = found.results
    assert first.query == Query("quiz/0", "quiz", "Capital of France?", (), '["Paris", "paris"]')
    assert (second.query.choices, second.query.answer) == (("a", "b"), "B")
    assert (first.expert, first.text, first.completion_tokens) == ("org/small", "B", 3)


def test_metrics_and_runs(tmp_path: Path) -> None:
    write(tmp_path, "quiz|0", [row(0, {"em": 1.0, "f1": 0.5, "ppl": 3.0})], {"em": 1.0})
    with pytest.raises(InputError, match=r"task quiz has several metrics: --metric chooses one of em, f1$"):
        reading(LIGHTEVAL, tmp_path)
    later = "2026-11-29T04-20-00.000000"
    write(tmp_path, "quiz|0", [row(0, {"em": 0.0})], {"em": 0.0}, later)
    found = reading(LIGHTEVAL, tmp_path)
    assert found.means() == {"quiz|0": (1, 0.0)}
    assert found.notes == [f"details_quiz|0_{TIME}.parquet: passed over, because there is a newer run of quiz|0"]


def test_rows_and_files_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [row(0, {"em": 1.0}), row(1, {"em": 1.0}, query=""), row(0, {"em": 1.0}), row(3, {"em": None})]
    details = write(tmp_path, "quiz|0", rows, {})
    assert [(one.line, one.reason) for one in reading(LIGHTEVAL, details).skipped] == [
        (2, "query is empty"),
        (3, "it repeats an earlier row (row 3 repeats row 1: document 0)"),
        (4, "score is empty"),
    ]
    details.write_bytes(details.read_bytes()[:100])
    with pytest.raises(InputError, match=r"not valid Parquet"):
        reading(LIGHTEVAL, details)
