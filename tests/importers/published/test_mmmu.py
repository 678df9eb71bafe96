"""The published outputs of MMMU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from needs import SHARED_DATA, skip_or_fail

from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import ReadOptions, TaskMean
from benchcoe_jobs.importers.published.mmmu import MMMU
from benchcoe_jobs.importers.source import Source

LLAVA = SHARED_DATA / "mmmu" / "mmmu" / "example_outputs" / "llava1.5_13b"
CHOICE = {
    "id": "validation_Art_1",
    "question_type": "multiple-choice",
    "answer": "B",
    "all_choices": ["A", "B"],
    "index2ans": {"A": "oil", "B": "ink"},
    "response": "(B)",
}


def items(path: Path) -> list[Any]:
    source = Source(path)
    assert MMMU.recognise(source)
    return list(MMMU.read(source, ReadOptions()))


def written(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_published_outputs(tmp_path: Path) -> None:
    if not LLAVA.is_dir():
        skip_or_fail(f"no outputs in {LLAVA}")
    *results, note = items(LLAVA)
    assert note == Note("total_val_output.json is not read: the responses are in output.json of each subject")
    assert len(results) == 900 == len({row.query.key for row in results})
    assert {row.query.subject for row in results} == set(Mmmu.subjects)
    assert {row.expert for row in results} == {"llava1.5_13b"}
    scored = {row.query.key: Mmmu().score(row.text or "", row.query) for row in results}
    assert sum(answer.score for answer in scored.values()) == 329
    one_file = items(LLAVA / "total_val_output.json")
    assert all(row.query == Query(row.query.key, row.query.subject, "") for row in one_file)
    assert len(one_file) == 900


def test_open_and_several_answers(tmp_path: Path) -> None:
    rows = [
        {"id": "validation_Math_1", "question_type": "short-answer", "answer": "7", "response": "It is 7."},
        {"id": "validation_Math_2", "question_type": "open", "answer": ["x", "y"], "response": "y"},
        {"id": "validation_Math_3", "question_type": "open", "answer": ["z"], "response": ""},
    ]
    found = items(written(tmp_path / "output.json", rows))
    assert [(row.query.choices, row.query.answer) for row in found] == [((), "7"), ((), '["x", "y"]'), ((), "z")]


def test_the_scores_of_the_official_evaluation_are_compared(tmp_path: Path) -> None:
    other = CHOICE | {"id": "validation_Art_2", "response": "none"}
    written(tmp_path / "m" / "Art" / "output.json", [CHOICE, other])
    written(
        tmp_path / "m" / "Art" / "parsed_output.json",
        [CHOICE | {"parsed_pred": "B", "judge": "Correct"}, other | {"parsed_pred": "A", "judge": "Wrong"}],
    )
    written(tmp_path / "m" / "Art" / "result.json", {"acc": 0.5, "num_example": 2})
    *rows, mean = items(tmp_path / "m")
    assert [(row.claimed, row.file_score, row.task) for row in rows] == [("B", 1.0, "Art"), ("A", 0.0, "Art")]
    assert mean == TaskMean("m", "Art", 0.5, "acc in Art/result.json", n=2)
    written(tmp_path / "m" / "Art" / "result.json", {"acc": 50})
    with pytest.raises(InputError, match=r"result\.json: it has no acc from 0 to 1"):
        items(tmp_path / "m")


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    rows: list[Any] = [
        CHOICE,
        7,
        CHOICE,
        CHOICE | {"id": "validation_Cooking_1"},
        CHOICE | {"id": "validation_Art_2", "index2ans": {"A": "oil", "C": "ink"}},
        CHOICE | {"id": "validation_Art_3", "answer": "C"},
        CHOICE | {"id": "validation_Art_4", "response": ["A"]},
    ]
    found = items(written(tmp_path / "output.json", rows))
    assert [(row.line, row.reason) for row in found if isinstance(row, SkippedRow)] == [
        (2, "not a JSON object"),
        (3, "it repeats an earlier row (row 3 repeats row 1: query 'validation_Art_1')"),
        (4, "id 'validation_Cooking_1' names no subject; an example of an id is validation_Math_1"),
        (5, "index2ans {'A': 'oil', 'C': 'ink'} does not have the options by letter"),
        (6, "answer 'C' is not the letter of an option"),
        (7, "response ['A'] is not text"),
    ]


def test_answer_files_of_scripts_after_llava(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    row = {"question_id": "validation_Art_1", "prompt": "Which?", "text": "B", "model_id": "m", "metadata": {}}
    path.write_text(json.dumps(row) + "\n")
    expected = Result(1, "mmmu", Query("validation_Art_1", "Art", ""), "m", "B", prompt="Which?")
    assert items(path) == [expected]


def test_other_json_is_not_taken_for_outputs(tmp_path: Path) -> None:
    for number, document in enumerate(({"validation_Art_1": {"ground_truth": "B"}}, [{"id": "1"}], {}, [], "text")):
        assert MMMU.recognise(Source(written(tmp_path / f"{number}.json", document))) is None
    assert MMMU.recognise(Source(tmp_path)) is None
