"""All formats of official result files, and the errors in them. Tests with the real files are in tests/benchmarks."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.importers.published.mmlu_pro import MMLU_PRO, read
from benchcoe_jobs.importers.source import Source

ROW: dict[str, Any] = {
    "question_id": 7,
    "question": "Which is even?",
    "options": ["one", "two", "three"],
    "answer": "B",
    "answer_index": 1,
    "cot_content": "",
    "category": "math",
    "src": "ori_mmlu-made up",
    "pred": "C",
    "model_outputs": "The answer is (B).",
}
QUERY = Query(
    key="7", subject="math", text="Which is even?", choices=("one", "two", "three"), answer="B", source="ori_mmlu"
)
RESULT = Result(line=1, benchmark="mmlu-pro", query=QUERY, text="The answer is (B).", claimed="C")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


def rows(path: Path, document: object) -> list[Result | SkippedRow]:
    path.write_text(json.dumps(document))
    return list(read(path))


def without(column: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name != column}


@pytest.mark.parametrize(
    "document", [[ROW], {"math": [ROW]}, {"7": ROW}], ids=["list", "lists by name", "rows by name"]
)
def test_all_formats_of_a_file(path: Path, document: object) -> None:
    assert rows(path, document) == [RESULT]


def test_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "results.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("results.json", json.dumps([ROW]))
    assert list(read(path)) == [RESULT]


def test_another_benchmark_name(path: Path) -> None:
    path.write_text(json.dumps([ROW]))
    [row] = read(path, "mmlu-pro-redux")
    assert isinstance(row, Result)
    assert row.benchmark == "mmlu-pro-redux"


@pytest.mark.parametrize("output", ["The answer is (B).", ["The answer is (B).", "A"], [None, "The answer is (B)."]])
def test_generated_text_and_the_first_of_several_outputs(path: Path, output: object) -> None:
    assert rows(path, [without("model_outputs") | {"generated_text": output}]) == [RESULT]


def test_an_empty_output_is_a_response(path: Path) -> None:
    [row] = rows(path, [ROW | {"model_outputs": "", "pred": None}])
    assert isinstance(row, Result)
    assert (row.text, row.claimed) == ("", None)


def test_a_response_keeps_all_its_characters(path: Path) -> None:
    """Unlike a question, it is scored with them; the store replaces characters that cannot be stored."""
    [row] = rows(path, [ROW | {"model_outputs": "\ud83d\0"}])
    assert isinstance(row, Result)
    assert row.text == "\ud83d\0"


@pytest.mark.parametrize("column", ["pred", "answer_index", "src", "cot_content"])
def test_columns_that_may_be_missing(path: Path, column: str) -> None:
    [row] = rows(path, [without(column)])
    assert isinstance(row, Result)
    assert row.query == (replace(QUERY, source=None) if column == "src" else QUERY)


@pytest.mark.parametrize(
    ("stray", "reason"),
    [
        ("other", "a stray string, not a row"),
        (None, "a stray null, not a row"),
        (True, "a stray truth value, not a row"),
        (1.5, "a stray number, not a row"),
        ([], "a stray list, not a row"),
    ],
)
def test_values_that_are_not_rows(path: Path, stray: object, reason: str) -> None:
    assert rows(path, [stray, ROW | {"question_id": 8}, ROW])[0] == SkippedRow(1, reason)
    assert rows(path, {"math": [ROW, stray], "law": [ROW | {"question_id": 8}]})[1] == SkippedRow(2, reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        *(
            (without(name), f"{name} is missing")
            for name in ("question_id", "question", "options", "answer", "category")
        ),
        (without("model_outputs"), "neither model_outputs nor generated_text"),
        (ROW | {"model_outputs": None}, "model_outputs is null"),
        (ROW | {"model_outputs": 3}, "model_outputs is not text"),
        (ROW | {"model_outputs": []}, "model_outputs is not text"),
        (ROW | {"question_id": ""}, "question_id is empty"),
        (ROW | {"question_id": 1.5}, "question_id 1.5 is not text"),
        (ROW | {"question": ""}, "question is empty"),
        (ROW | {"question": ["?"]}, "question ['?'] is not text"),
        (ROW | {"question": "a\0b"}, "question has a NUL character, which cannot be stored"),
        (ROW | {"question": "\ud83d"}, "question has half a surrogate pair, which cannot be stored"),
        (ROW | {"options": ["a", "b\0"]}, "options has a NUL character, which cannot be stored"),
        (ROW | {"category": "astrology"}, "unknown category 'astrology'"),
        (ROW | {"category": None}, "category is empty"),
        (ROW | {"options": "ABC"}, "options 'ABC' is not a list of texts"),
        (ROW | {"options": ["one", 2]}, "options ['one', 2] is not a list of texts"),
        (ROW | {"options": []}, "answer 'B' is not a letter of its 0 options"),
        (ROW | {"answer": "D"}, "answer 'D' is not a letter of its 3 options"),
        (ROW | {"answer": "AB"}, "answer 'AB' is not a letter of its 3 options"),
        (ROW | {"answer": "b"}, "answer 'b' is not a letter of its 3 options"),
    ],
)
def test_a_row_that_cannot_be_used(path: Path, row: dict[str, Any], reason: str) -> None:
    assert rows(path, [row, ROW]) == [
        SkippedRow(1, reason),
        Result(2, "mmlu-pro", QUERY, None, RESULT.text, claimed="C"),
    ]


def test_the_same_question_twice(path: Path) -> None:
    assert rows(path, [ROW, ROW])[1] == SkippedRow(2, "it repeats an earlier row (row 2 repeats row 1: question 7)")


@pytest.mark.parametrize("document", [[], {}, "text", None, 3, ["other", "total"], {"math": []}, {"math": "none"}])
def test_a_file_without_a_row(path: Path, document: object) -> None:
    with pytest.raises(InputError) as caught:
        rows(path, document)
    assert str(caught.value) == f"{path}: it has no row"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON, at line 1, column 1: Expecting value"),
        (b"[\n{},\n{]", "not JSON, at line 3, column 2: Expecting property name enclosed in double quotes"),
        (b'{"a": 1}\n{"a": 2}', "not JSON, at line 2, column 1: Extra data"),
        ('["caf\u00e9"]'.encode("latin-1"), "not UTF-8: byte 0xe9 at offset 5"),
        ("[]".encode("utf-16"), "not UTF-8: byte 0xff at offset 0"),
        (b"[" * 100_000, "JSON that is too large or too deep"),
        (b"1" * 5_000, "JSON that is too large or too deep"),
    ],
)
def test_a_file_that_is_not_json(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_byte_order_mark_is_ignored(path: Path) -> None:
    path.write_text(json.dumps([ROW]), encoding="utf-8-sig")
    assert list(read(path)) == [RESULT]


@pytest.mark.parametrize(
    ("name", "expert"),
    [
        ("model_outputs_gemma-7b_5shots.json", "gemma-7b"),
        ("model_outputs_Meta-Llama-3_1-8B_0shot.json", "Meta-Llama-3_1-8B"),
        ("model_outputs_o1.json", "o1"),
        ("outputs.json", None),
    ],
)
def test_the_name_of_a_published_file_names_the_model(tmp_path: Path, name: str, expert: str | None) -> None:
    path = tmp_path / name
    path.write_text(json.dumps([ROW]))
    [row] = MMLU_PRO.read(Source(path), ReadOptions())
    assert isinstance(row, Result)
    assert row.expert == expert
