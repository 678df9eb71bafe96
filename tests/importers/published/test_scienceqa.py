"""ScienceQA results of LLaVA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from needs import SHARED_DATA, skip_or_fail

from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import ReadOptions, TaskMean
from benchcoe_jobs.importers.published.mmstar import MMSTAR
from benchcoe_jobs.importers.published.scienceqa import SCIENCEQA
from benchcoe_jobs.importers.source import Source

LLAVA = SHARED_DATA / "formats" / "scienceqa-llava" / "test_sqa_llava_lcs_558k.cut.json"
PROBLEMS = {
    key: {
        "question": "Which?",
        "choices": ["a", "b"],
        "answer": answer,
        "hint": "",
        "image": "image.png",
        "subject": "natural science",
        "split": "test",
    }
    for key, answer in (("4", 0), ("5", 1))
}


def items(path: Path, *companions: Path) -> list[Any]:
    source = Source(path)
    assert SCIENCEQA.recognise(source)
    return list(SCIENCEQA.read(source, ReadOptions(companions=companions)))


def results(path: Path, indexes: dict[str, Any], outputs: dict[str, Any], **changes: Any) -> Path:
    document = {"acc": 50.0, "correct": 1, "count": 2, "results": indexes, "outputs": outputs}
    path.write_text(json.dumps(document | changes))
    return path


def test_published_results() -> None:
    if not LLAVA.is_file():
        skip_or_fail(f"no results in {LLAVA}")
    *rows, note = items(LLAVA)
    assert len(rows) == 154
    assert all(isinstance(row, Result) and row.query == Query(row.query.key, "", "") for row in rows)
    assert {row.claimed for row in rows} == {None, "A", "B", "C", "D"}
    assert isinstance(note, Note)
    assert note.text.startswith("its accuracy 0.9109 is not compared: it needs problems.json")


def test_the_accuracy_is_compared_if_problems_json_is_there(tmp_path: Path) -> None:
    path = results(tmp_path / "results.json", {"4": 0, "5": -1, "6": 0}, {"4": "A", "5": "?", "6": "A"})
    (tmp_path / "else").mkdir()
    for folder in (tmp_path / "else", tmp_path):
        problems = folder / "problems.json"
        problems.write_text(json.dumps(PROBLEMS))
        assert SCIENCEQA.accompanies(Source(problems))
        right, wrong, unknown, mean = items(path, *([problems] if folder != tmp_path else []))
        assert (right.query, right.claimed, right.file_score) == (
            Query("4", "natural science", "", ("a", "b"), "A"),
            "A",
            1.0,
        )
        assert (wrong.claimed, wrong.file_score) == (None, 0.0)
        assert unknown == SkippedRow(3, "problems.json has no question with the id '6'")
        assert mean == TaskMean(None, "scienceqa", 0.5, "correct of count in results.json", n=2)


def test_rows_and_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = results(tmp_path / "r.json", {"4": "A", "5": 99, "6": 1, "7": 1}, {"4": "A", "5": "B", "6": None, "7": "x"})
    assert [row.reason for row in items(path) if isinstance(row, SkippedRow)] == [
        "its result 'A' is not the index of an option, or -1",
        "its result 99 is not the index of an option, or -1",
        "outputs has no response for id '6'",
    ]
    with pytest.raises(InputError, match="it does not have results and outputs by id"):
        items(results(path, {"4": 0}, {}))
    with pytest.raises(InputError, match="its correct 3 and count 2 are not two counts"):
        items(results(path, {"4": 0}, {"4": "A"}, correct=3))


def test_answer_files_are_told_by_their_prompts(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    expected = Result(1, "scienceqa", Query("4", "", ""), "m", "A", prompt="Which?\nOptions: (A) a (B) b")
    path.write_text(json.dumps({"question_id": 4, "prompt": expected.prompt, "text": "A", "model_id": "m"}) + "\n")
    assert items(path) == [expected]
    assert MMSTAR.recognise(Source(path)) is None
    path.write_text(path.read_text().replace("Options: (A) a", "Options: A: a"))
    assert SCIENCEQA.recognise(Source(path)) is None
    assert MMSTAR.recognise(Source(path))
    [row] = MMSTAR.read(Source(path), ReadOptions())
    assert isinstance(row, Result)
    assert (row.benchmark, row.query) == ("mmstar", Query("4", "", ""))
