"""Tables of results and queries: the meaning of their columns, and the reasons for which rows are skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchcoe_jobs.domain import Note, Query, Result, SkippedRow, Split
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.table import read_queries, read_results

ROW: dict[str, Any] = {"key": "q1", "subject": "law", "score": 0.5}


def results(path: Path, *rows: dict[str, Any], benchmark: str | None = "exam") -> list[Result | SkippedRow]:
    path = path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read_results(path, benchmark))


def csv_results(path: Path, content: str) -> list[Result | SkippedRow]:
    path = path / "rows.csv"
    path.write_text(content, newline="")
    return list(read_results(path, "exam"))


def test_every_column(tmp_path: Path) -> None:
    row = {
        "benchmark": "exam",
        "key": "q1",
        "text": " Which? ",
        "subject": "law",
        "choices": ["yes", "no"],
        "answer": "A",
        "split": "Test",
        "expert": "llama",
        "score": 1,
        "response": "It is A.",
        "prompt_tokens": 30,
        "completion_tokens": 12,
        "cost": 0.25,
    }
    query = Query("q1", "law", " Which? ", ("yes", "no"), "A", Split.TEST)
    expected = Result(1, "exam", query, "llama", "It is A.", 1.0, None, 30, 12, 0.25)
    assert results(tmp_path, row, benchmark=None) == [expected]

    cells = row | {"choices": json.dumps(row["choices"]).replace('"', '""')}
    header, values = ",".join(cells), ",".join(f'"{value}"' for value in cells.values())
    assert csv_results(tmp_path, f"{header}\n{values}\n") == [expected._replace(line=2)]


def test_a_key_without_a_text(tmp_path: Path) -> None:
    assert results(tmp_path, ROW) == [Result(1, "exam", Query("q1", "law", ""), score=0.5)]


def test_a_text_without_a_key_gets_one_from_its_content(tmp_path: Path) -> None:
    row = {"text": "Which?", "subject": "law", "score": 0.5, "answer": "A"}
    [result] = results(tmp_path, row)
    assert isinstance(result, Result)
    assert result.query.key == Query("", "law", "Which?", answer="A").content_hash[:16]


def test_whole_numbers_and_blanks_make_the_same_key(tmp_path: Path) -> None:
    keys = [results(tmp_path, ROW | {"key": key})[0] for key in (7, "7", " 7 ", 7.0, 2.0**53)]
    assert [row.query.key for row in keys if isinstance(row, Result)] == ["7", "7", "7", "7"]


def test_missing_values_in_optional_columns(tmp_path: Path) -> None:
    bare = Result(2, "exam", Query("q1", "law", ""), score=0.5)
    content = "key,subject,score,text,choices,answer,split,expert,tokens,cost,benchmark\nq1,law,.5,,,,,,,,\n"
    assert csv_results(tmp_path, content) == [bare]
    nulls = dict.fromkeys(("text", "choices", "answer", "split", "expert", "tokens", "cost", "benchmark"))
    assert results(tmp_path, ROW | nulls) == [bare._replace(line=1)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": None}, "score is empty"),
        ({"score": ""}, "score is empty"),
        ({"score": float("nan")}, "score nan is not a finite number"),
        ({"score": float("inf")}, "score inf is not a finite number"),
        ({"score": "-inf"}, "score '-inf' is not a finite number"),
        ({"score": 10**400}, "score 1000000000000000000000000000000000000... is not a finite number"),
        ({"score": "good"}, "score 'good' is not a number"),
        ({"score": "0,5"}, "score '0,5' is not a number"),
        ({"score": "0_1"}, "score '0_1' is not a number"),
        ({"score": [1]}, "score [1] is not a number"),
        ({"subject": ""}, "subject is empty"),
        ({"subject": "  "}, "subject is empty"),
        ({"subject": None}, "subject is empty"),
        ({"subject": ["law"]}, "subject ['law'] is not text"),
        ({"subject": "a\0"}, "subject has a NUL character, which cannot be stored"),
        ({"subject": "\ud800"}, "subject has half a surrogate pair, which cannot be stored"),
        ({"key": ""}, "key is empty"),
        ({"key": "", "text": "Which?"}, "key is empty"),
        ({"key": 1.5}, "key 1.5 is not text"),
        ({"key": True}, "key True is not text"),
        ({"text": 3}, "text 3 is not text"),
        ({"split": "dev"}, "unknown split 'dev'; known are train, validation, test"),
        ({"tokens": -1}, "tokens -1 is not a whole number from 0 to 2147483647"),
        ({"tokens": 1.5}, "tokens 1.5 is not a whole number from 0 to 2147483647"),
        ({"tokens": 2**31}, "tokens 2147483648 is not a whole number from 0 to 2147483647"),
        ({"tokens": "few"}, "tokens 'few' is not a number"),
        ({"cost": -0.5}, "cost -0.5 is negative"),
        ({"cost": float("nan")}, "cost nan is not a finite number"),
        ({"choices": "yes"}, "choices 'yes' is not a JSON list"),
        ({"choices": '{"A": 1}'}, "choices {'A': 1} is not a list of texts"),
        ({"choices": ["yes", 2]}, "choices ['yes', 2] is not a list of texts"),
        ({"choices": [None]}, "choices [None] is not a list of texts"),
        ({"choices": 0}, "choices 0 is not a list of texts"),
        ({"benchmark": "other"}, "the row is about benchmark 'other', not 'exam'"),
    ],
)
def test_an_invalid_row(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    good = ROW | {"key": "q2"}
    assert results(tmp_path, ROW | change, good) == [
        SkippedRow(1, reason),
        Result(2, "exam", Query("q2", "law", ""), score=0.5),
    ]


def test_a_whole_number_with_a_decimal_point(tmp_path: Path) -> None:
    [row] = csv_results(tmp_path, "key,subject,score,tokens\nq1,law,1.0,12.0\n")
    assert isinstance(row, Result)
    assert row.completion_tokens == 12


def test_a_row_without_a_benchmark(tmp_path: Path) -> None:
    rows = [ROW | {"benchmark": "exam"}, ROW | {"benchmark": " "}]
    assert results(tmp_path, *rows, benchmark=None)[1] == SkippedRow(2, "benchmark is empty")


def test_later_objects_need_the_same_columns(tmp_path: Path) -> None:
    rows = [ROW, {"key": "q2", "subject": "law"}, ROW | {"key": "q3", "points": 1}, {"subject": "law", "score": 1}]
    columns = "its columns are 'subject', 'score': rename the one that has it, or give --map key=COLUMN"
    assert results(tmp_path, *rows)[1:] == [
        SkippedRow(
            2,
            "no column 'score'; its columns are 'key', 'subject': rename the one that has it, or give "
            "--map score=COLUMN",
        ),
        Result(3, "exam", Query("q3", "law", ""), score=0.5),
        SkippedRow(4, f"no column 'key' or 'text'; {columns}"),
        Note("column 'points' is ignored"),
    ]


def test_columns_under_other_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("doc_id,task,score,acc_norm,anwser\nq1,law,0.1,True,A\n")
    mapped = {"score": "acc_norm", "key": "doc_id", "subject": "task"}
    assert list(read_results(path, "exam", mapped=mapped)) == [
        Result(2, "exam", Query("q1", "law", ""), score=1.0),
        Note(
            "columns 'score', 'anwser' are ignored; 'anwser' is like 'answer': rename it, or give --map answer=anwser"
        ),
    ]
    with pytest.raises(InputError, match="no column 'acc', which --map score=acc names; its columns are 'doc_id', "):
        list(read_results(path, "exam", mapped=mapped | {"score": "acc"}))
    with pytest.raises(UsageError, match=r"--map points=\.\.\.: there is no column 'points'; known are benchmark, key"):
        list(read_results(path, "exam", mapped={"points": "acc"}))


def test_choices_as_pandas_writes_them(tmp_path: Path) -> None:
    def choices(cell: str) -> Any:
        [row, *_] = csv_results(tmp_path, f'key,subject,score,choices\nq1,law,1,"{cell}"\n')
        return row.query.choices if isinstance(row, Result) else row.reason

    assert choices("['it''s', 'no', '''''']") == "choices \"['it''s', 'no', '''''']\" is not a JSON list"
    assert choices("['yes', 'a\\nb']") == ("yes", "a\nb")
    assert choices("['yes' 'no']") == "choices \"['yes' 'no']\" is not a JSON list"
    assert choices("['yes', 2]") == "choices ['yes', 2] is not a list of texts"


def test_two_names_of_the_tokens_of_a_response(tmp_path: Path) -> None:
    rows = [ROW | {"tokens": 5}, ROW | {"key": "q2", "tokens": 5, "completion_tokens": 6}]
    first, second = results(tmp_path, *rows)
    assert isinstance(first, Result)
    assert first.completion_tokens == 5
    assert second == SkippedRow(2, "completion_tokens 6 and tokens 5 differ: they are one column")


def test_all_duplicates_have_one_reason_which_names_the_first_of_them(tmp_path: Path) -> None:
    rows = [ROW | {"score": "good"}, ROW, ROW | {"expert": "llama"}, ROW | {"expert": "llama"}, ROW | {"score": 1}]
    assert [row for row in results(tmp_path, *rows) if isinstance(row, SkippedRow)] == [
        SkippedRow(1, "score 'good' is not a number"),
        SkippedRow(4, "it repeats an earlier row (row 4 repeats row 3: query 'q1' of expert 'llama')"),
        SkippedRow(5, "it repeats an earlier row (row 4 repeats row 3: query 'q1' of expert 'llama')"),
    ]


def test_equal_texts_are_duplicates(tmp_path: Path) -> None:
    row = {"text": "Which?", "subject": "law", "score": 1}
    [first, second] = results(tmp_path, row, row)
    assert isinstance(first, Result)
    assert second == SkippedRow(2, f"it repeats an earlier row (row 2 repeats row 1: query {first.query.key!r})")


def test_the_same_key_in_two_benchmarks_is_not_a_duplicate(tmp_path: Path) -> None:
    rows = [ROW | {"benchmark": "exam"}, ROW | {"benchmark": "quiz"}]
    assert all(isinstance(row, Result) for row in results(tmp_path, *rows, benchmark=None))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("key,subject", "no column 'score'"),
        ("score,subject", "no column 'key' or 'text'"),
        ("key,score", "no column 'subject'"),
        ("key,sujbect,score", "no column 'subject', but 'sujbect': rename it, or give --map subject=sujbect"),
        ("Key,subject,score", "no column 'key' or 'text', but 'Key': rename it, or give --map key=Key"),
        ("key;subject;score", "no column 'subject' (columns are separated by commas in .csv and by tabs in .tsv"),
        ("key,key,subject,score", "column 'key' occurs twice"),
    ],
)
def test_an_invalid_header(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        csv_results(tmp_path, f"{header}\nq1,law,1\n")
    assert str(caught.value).startswith(f"{tmp_path / 'rows.csv'}: {message}")


def test_a_benchmark_is_required(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'benchmark'"):
        results(tmp_path, ROW, benchmark=None)


def queries(path: Path, *rows: dict[str, Any]) -> list[tuple[int, Query] | SkippedRow]:
    path = path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read_queries(path, "exam"))


def test_queries(tmp_path: Path) -> None:
    full = {"key": 1, "text": "Which?", "subject": "law", "choices": ["a", "b"], "answer": "A", "split": "train"}
    bare = {"text": "Why?", "subject": "law"}
    key = Query("", "law", "Why?").content_hash[:16]
    assert queries(tmp_path, full, bare) == [
        (1, Query("1", "law", "Which?", ("a", "b"), "A", Split.TRAIN)),
        (2, Query(key, "law", "Why?")),
    ]


def test_queries_that_cannot_be_used(tmp_path: Path) -> None:
    row = {"key": "q1", "text": "Which?", "subject": "law"}
    invalid = [
        row | {"text": ""},
        row | {"subject": ""},
        row | {"benchmark": "other"},
        row,
        {"text": "", "subject": "law"},
    ]
    assert queries(tmp_path, row, *invalid)[1:] == [
        SkippedRow(2, "text is empty"),
        SkippedRow(3, "subject is empty"),
        SkippedRow(4, "the row is about benchmark 'other', not 'exam'"),
        SkippedRow(5, "it repeats an earlier row (row 5 repeats row 1: query 'q1')"),
        SkippedRow(6, "text is empty"),
    ]


def test_a_table_of_queries_needs_texts_and_has_no_scores(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'text'"):
        queries(tmp_path, {"key": "q1", "subject": "law"})
    found = queries(tmp_path, {"text": "Which?", "subject": "law", "score": 1})
    assert found[1:] == [Note("column 'score' is ignored")]
