"""The generated answers that the scripts of Bench-CoE write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from readings import reading

from benchcoe_jobs.benchmarks.generative import HellaSwagGenerative, WinoGrandeGenerative
from benchcoe_jobs.domain import Query
from benchcoe_jobs.importers.published.bench_coe import BENCH_COE
from benchcoe_jobs.importers.source import Source

WINO = {
    "id": "3FCO4VKOZ4BJQ6IFC0VAIBK4KTWE7U-2",
    "input_sentence": "The cup missed the box as the _ was small.",
    "options": ["cup", "box"],
    "target_answer": "2",
    "category": "1",
    "model_output": "The answer is 2.",
    "prediction": "2",
}
SWAG = {
    "id": "24",
    "input_sentence": "A man is on a roof. he",
    "options": ["is using wrap [title] more", "is ripping", "falls", "sits"],
    "target_answer": "1",
    "category": "Roof shingle removal",
    "model_output": "2. is ripping",
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(json.dumps(rows, indent=4))
    return path


def test_winogrande_has_the_queries_of_the_loader(tmp_path: Path) -> None:
    raw = {"qID": WINO["id"], "sentence": WINO["input_sentence"], "option1": "cup", "option2": "box", "answer": "2"}
    (tmp_path / "dev.jsonl").write_text(json.dumps(raw))
    path = write(tmp_path / "winogrande_10-27_23-13.json", WINO)
    assert BENCH_COE.recognise(Source(path))
    [row] = reading(BENCH_COE, path).results
    assert [row.query] == list(WinoGrandeGenerative().load(tmp_path / "dev.jsonl"))
    assert (row.benchmark, row.expert, row.score, row.claimed) == ("winogrande-generative", None, None, "2")


def test_hellaswag_is_known_by_its_keys_and_can_be_scored(tmp_path: Path) -> None:
    [row] = reading(BENCH_COE, write(tmp_path / "a.json", SWAG)).results
    endings = ("is using wrap.  more".replace("  ", " "), "is ripping", "falls", "sits")
    assert row.query == Query("val-24", "Roof shingle removal", "", endings, "B")
    assert row.benchmark == "hellaswag-generative"
    assert HellaSwagGenerative().score(row.text or "", row.query).score == 1.0


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [
        SWAG,
        SWAG,
        SWAG | {"id": "25", "target_answer": "4"},
        WINO | {"target_answer": "3"},
        WINO | {"id": "x", "model_output": None},
        WINO | {"id": "y", "options": "cup"},
    ]
    assert [(row.line, row.reason) for row in reading(BENCH_COE, write(tmp_path / "a.json", *rows)).skipped] == [
        (2, "it repeats an earlier row (row 2 repeats row 1: question 24)"),
        (3, "target_answer '4' is not the place of an option"),
        (4, "target_answer '3' is not 1 or 2"),
        (5, "model_output None is not text"),
        (6, "options 'cup' is not a list of texts"),
    ]
