"""VLMEvalKit: tables with and without scores, names, and the benchmarks that are scored here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from imported import imported, notes, reasons, results, scores, stated

from benchcoe_jobs.errors import InputError

HEADER = ("index", "question", "A", "B", "answer", "category", "split", "prediction")
ROWS = (
    (0, "Which?", "one", "two", "A", "metals", "dev", "A"),
    (1, "What?", "one", None, "A", "rivers", "dev", "B"),
)


def workbook(path: Path, header: Sequence[str], *rows: Sequence[Any]) -> Path:
    book = openpyxl.Workbook()
    for row in (header, *rows):
        book.active.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def scored(path: Path) -> Path:
    return workbook(path, (*HEADER, "hit"), (*ROWS[0], 1), (*ROWS[1], 0))


def test_the_table_with_scores_is_used_and_the_accuracy_beside_it_is_stated(tmp_path: Path) -> None:
    workbook(tmp_path / "m_v1_Toy.xlsx", HEADER, *ROWS)
    scored(tmp_path / "m_v1" / "m_v1_Toy_exact_matching_result.xlsx")
    (tmp_path / "m_v1_Toy.xlsx").rename(tmp_path / "m_v1" / "m_v1_Toy.xlsx")
    (tmp_path / "m_v1" / "m_v1_Toy_acc.csv").write_text('"split","Overall","metals"\n"dev","0.5","1.0"\n')
    items = imported("vlmevalkit", tmp_path / "m_v1")
    assert scores(items) == {"m_v1": [1.0, 0.0]}
    assert notes(items) == [
        "m_v1_Toy.xlsx: passed over, because m_v1_Toy_exact_matching_result.xlsx has its answers too"
    ]
    assert [(row.benchmark, row.query.subject, row.query.choices) for row in results(items)] == [
        ("Toy", "metals", ("one", "two")),
        ("Toy", "rivers", ("one",)),
    ]
    assert [(mean.task, mean.value) for mean in stated(items)] == [(results(items)[0].task, 0.5)]


def test_answers_without_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="answers without scores"):
        imported("vlmevalkit", workbook(tmp_path / "m_Toy.xlsx", HEADER, *ROWS))


def test_a_name_that_does_not_show_where_the_model_ends(tmp_path: Path) -> None:
    path = scored(tmp_path / "llava_v1_Toy_openai_result.xlsx")
    with pytest.raises(InputError, match="--benchmark names the data set"):
        imported("vlmevalkit", path)
    assert scores(imported("vlmevalkit", path, benchmark="toy")) == {None: [1.0, 0.0]}


def test_mmstar_is_scored_here_and_its_queries_are_named_by_their_index(tmp_path: Path) -> None:
    row = (7, "Which?", "one", "two", "A", "math", "dev", "The answer is A")
    [found] = results(imported("vlmevalkit", workbook(tmp_path / "a_b_MMStar.xlsx", HEADER, row)))
    assert (found.benchmark, found.expert, found.score, found.text) == ("mmstar", "a_b", None, "The answer is A")
    assert (found.query.key, found.query.subject, found.query.answer) == ("7", "math", "A")
    assert found.query.text == ""  # the stored query has an image, which the table lacks
    assert found.prompt == "Which?"


def test_mmmu_has_ids_and_open_questions_that_got_options(tmp_path: Path) -> None:
    header = ("id", *HEADER, "hit")
    rows = [
        ("validation_Math_1", 1, "Which?", "one", "two", "B", "Math", "validation", "B", 1),
        (
            "validation_Math_2",
            2,
            "How many?",
            "['7', '7.0']",
            "Other Answers",
            "['7', '7.0']",
            "Math",
            "validation",
            "7",
            0,
        ),
        ("dev_Math_1", 3, "Which?", "one", "two", "B", "Math", "dev", "B", 1),
    ]
    items = imported("vlmevalkit", workbook(tmp_path / "m" / "m_MMMU_DEV_VAL_openai_result.xlsx", header, *rows))
    closed, opened = results(items)
    assert (closed.benchmark, closed.query.key, closed.query.subject) == ("mmmu", "validation_Math_1", "Math")
    assert (closed.query.choices, closed.query.answer, closed.score, closed.file_score) == (
        ("one", "two"),
        "B",
        None,
        1.0,
    )
    assert (opened.query.choices, opened.query.answer) == ((), '["7", "7.0"]')
    assert reasons(items) == ["'dev_Math_1' is not a question of the validation set"]
