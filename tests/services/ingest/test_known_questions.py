"""A new query is recognised as a copy of a known one, by its key or by its question."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tables import add_experts, bring

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.ingest import query_matching, result_import
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.ingest.known_questions import OTHER_KEY, OTHER_SPELLING, normalised, spelling
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Query, Score

SUBJECTS = ("law", "math")


@pytest.fixture
def toy(store: Store) -> Store:
    add_experts(store, ann=None, bob=None)
    return store


def rows(form: Any = str, n: int = 12, text: Any = None) -> list[dict[str, Any]]:
    """Rows of a file: `form(i)` is the key of query i, `text(i)` its text."""
    found = []
    for i in range(1, n + 1):
        row = {"subject": SUBJECTS[i % 2], "score": i % 3 % 2}
        found.append(row | ({"key": form(i)} if form else {}) | ({"text": text(i)} if text else {}))
    return found


def counts(store: Store) -> tuple[int, int]:
    """The numbers of queries and of scores."""
    with store.reading() as connection:
        return tuple(connection.scalar(select(func.count()).select_from(table)) for table in (Query, Score))  # type: ignore[return-value]


SAME = ["1", "1.0", "1.00", "001", " 1 ", "1e0", "1E+00", "１", "#1", "'1"]


def test_spellings_of_a_number() -> None:
    assert {spelling(key) for key in SAME} == {("1",)}
    assert spelling("1,234") == spelling("1234.0") == spelling("1.234e3") == ("1234",)


@pytest.mark.parametrize("others", [["q1", "Q1", "q-01", "q_1", "Q 1"], ["law/1", "LAW-1.0"], ["a.b", "A_B"]])
def test_spellings_of_a_name(others: list[str]) -> None:
    assert len({spelling(key) for key in others}) == 1


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("1", "10"),
        ("1.5", "15"),
        ("1.0.1", "1.1"),
        ("law0", "dyck0"),
        ("1.01", "1"),
        ("q1", "1"),
        ("-", "+"),
        ("1e-3", "1"),
    ],
)
def test_other_keys_are_not_spellings(key: str, other: str) -> None:
    assert spelling(key) != spelling(other)


def test_texts_that_programs_write_in_another_way() -> None:
    composed, split = "Café?\nWhich one", unicodedata.normalize("NFD", "Café? \r\nWhich  one \n")
    assert composed != split
    assert normalised(composed) == normalised(split)
    assert normalised("Which one") != normalised("which one")


FORMS = {
    "float": lambda i: f"{i}.0",
    "padded": lambda i: f"{i:03}",
    "prefixed": lambda i: f"toy-{i}",
    "subject": lambda i: f"{SUBJECTS[i % 2]}/{i}",
    "hash": lambda i: "#abcdefghijkl"[i] * 8,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_file_with_other_keys_is_refused(toy: Store, tmp_path: Path, form: str, turned: bool) -> None:
    first, second = (FORMS[form], str) if turned else (str, FORMS[form])
    bring(toy, tmp_path, "ann", *rows(first))
    with pytest.raises(
        InputError, match=r"none of its 12 queries is among the 12 of benchmark 'toy': (its key is|it has)"
    ) as caught:
        bring(toy, tmp_path, "bob", *rows(second))
    assert "--new-queries" in str(caught.value)
    assert counts(toy) == (12, 12)
    assert bring(toy, tmp_path, "bob", *rows(second), new_queries=True).new_queries == 12


def test_the_reason_names_both_keys(toy: Store, tmp_path: Path) -> None:
    bring(toy, tmp_path, "ann", *rows())
    with pytest.raises(InputError) as caught:
        bring(toy, tmp_path, "bob", *rows(FORMS["float"]))
    assert str(caught.value) == (
        "rows.jsonl: nothing was imported: none of its 12 queries is among the 12 of benchmark 'toy': its key is "
        "another spelling of a known key (in row 1, '1.0' for '1'); --new-queries takes such rows as new queries"
    )


def test_a_part_of_a_file_with_other_keys_is_skipped(toy: Store, tmp_path: Path) -> None:
    """pandas pads or floats only what it has touched."""
    bring(toy, tmp_path, "ann", *rows())
    summary = bring(toy, tmp_path, "bob", *rows(lambda i: f"{i}.0" if i > 9 else i))
    assert (summary.scored, summary.new_queries) == ({"bob": 9}, 0)
    assert [row.line for row in summary.skipped] == [10, 11, 12]
    assert len({row.reason for row in summary.skipped}) == 1
    assert OTHER_SPELLING in summary.skipped[0].reason


def question(i: int) -> str:
    return f"Is café {i} open?\nOr not?"


TEXTS = {
    "CRLF": lambda i: question(i).replace("\n", "\r\n"),
    "decomposed": lambda i: unicodedata.normalize("NFD", question(i)),
    "blank at the end": lambda i: question(i) + " ",
    "blank at the end of a line": lambda i: question(i).replace("\n", " \n"),
}


@pytest.mark.parametrize("key", [None, "q{}".format])
@pytest.mark.parametrize("form", list(TEXTS)[:3])
@pytest.mark.parametrize("turned", [False, True])
def test_a_question_with_other_characters_is_the_same(
    toy: Store, tmp_path: Path, key: Any, form: str, turned: bool
) -> None:
    first, second = (TEXTS[form], question) if turned else (question, TEXTS[form])
    bring(toy, tmp_path, "ann", *rows(key, text=first))
    summary = bring(toy, tmp_path, "bob", *rows(key, text=second))
    assert (summary.scored, summary.skipped, counts(toy)) == ({"bob": 12}, [], (12, 24))


def test_a_question_with_other_blanks_inside_is_no_new_query(toy: Store, tmp_path: Path) -> None:
    bring(toy, tmp_path, "ann", *rows(None, text=question))
    with pytest.raises(InputError, match=OTHER_KEY):
        bring(toy, tmp_path, "bob", *rows(None, text=TEXTS["blank at the end of a line"]))
    assert counts(toy) == (12, 12)


@pytest.mark.parametrize("form", ["float", "padded"])
@pytest.mark.parametrize("turned", [False, True])
def test_another_spelling_of_a_key_with_the_same_question_is_the_same(
    toy: Store, tmp_path: Path, form: str, turned: bool
) -> None:
    first, second = (FORMS[form], str) if turned else (str, FORMS[form])
    bring(toy, tmp_path, "ann", *rows(first, text=question))
    summary = bring(toy, tmp_path, "bob", *rows(second, text=TEXTS["CRLF"]))
    assert (summary.scored, summary.skipped, counts(toy)) == ({"bob": 12}, [], (12, 24))


def test_another_key_with_the_same_content_is_the_same(toy: Store, tmp_path: Path) -> None:
    """Choices or an answer beside the text make it the same question; a text alone may be that of several."""

    def full(key: str) -> list[dict[str, Any]]:
        return [{**row, "choices": ["yes", "no"], "answer": "A"} for row in rows(key.format, text=question)]

    bring(toy, tmp_path, "ann", *full("{}"))
    assert bring(toy, tmp_path, "bob", *full("x{}y")).scored == {"bob": 12}
    assert counts(toy) == (12, 24)


def test_few_queries_that_meet_are_not_enough(toy: Store, tmp_path: Path) -> None:
    """Of 01 to 12, three are spelled as 1 to 12 are."""
    bring(toy, tmp_path, "ann", *rows())
    with pytest.raises(InputError, match=r"only 3 of its 12 queries are among the 12 of benchmark 'toy'.*'01' for '1'"):
        bring(toy, tmp_path, "bob", *rows("{:02}".format))
    assert counts(toy) == (12, 12)
    assert bring(toy, tmp_path, "bob", *rows(lambda i: f"n{i}" if i > 4 else i), new_queries=True).new_queries == 8


def test_a_part_of_the_queries_and_a_grown_file_are_taken(toy: Store, tmp_path: Path) -> None:
    bring(toy, tmp_path, "ann", *rows())
    assert bring(toy, tmp_path, "bob", *rows()[:2]).scored == {"bob": 2}
    assert bring(toy, tmp_path, "bob", *rows(n=60)).new_queries == 48


@pytest.mark.parametrize("form", TEXTS)
def test_a_table_of_queries_is_compared_too(toy: Store, tmp_path: Path, form: str) -> None:
    def added(text: Any, key: Any, **options: bool) -> int:
        path = tmp_path / "toy.csv"
        lines = [f'{key(i)},"{text(i)}",law\n' for i in range(3)]
        path.write_text("key,text,subject\n" + "".join(lines), newline="")
        return add_benchmark(toy, "toy", path, **options).new_queries

    assert added(question, str) == 3
    with pytest.raises(InputError, match=OTHER_KEY):
        added(TEXTS[form], "n{}".format)
    with pytest.raises(InputError, match=OTHER_SPELLING):
        added("Another {}?".format, "0{}".format)
    assert added(TEXTS[form], "n{}".format, new_queries=True) == 3


def test_the_same_question_under_another_key(toy: Store, tmp_path: Path) -> None:
    bring(toy, tmp_path, "ann", *rows(str, text=question))
    with pytest.raises(InputError, match=OTHER_KEY):
        bring(toy, tmp_path, "bob", *rows("x{}y".format, text=question))
    summary = bring(toy, tmp_path, "bob", *rows("x{}y".format, text="Another {}?".format))
    assert (summary.new_queries, summary.notes) == (
        12,
        ["none of the queries of toy that were stored before is in the file"],
    )


@pytest.mark.parametrize("rows_at_once", [1, 3, 100])
@pytest.mark.parametrize("order", [1, -1])
def test_a_question_that_a_benchmark_has_twice(
    toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int, order: int
) -> None:
    """MMLU-Pro has 159 such pairs. A file of one expert with both keys shows that they are two queries."""
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    first = {"key": "10", "text": "Same?", "subject": "law", "score": 1}
    second = {**first, "key": "11", "score": 0}
    other = {"key": "12", "text": "Other?", "subject": "law", "score": 0}
    bring(toy, tmp_path, "ann", first, other)
    summary = bring(toy, tmp_path, "bob", *[first, other, second][::order])
    assert (summary.new_queries, summary.skipped, summary.scored) == (1, [], {"bob": 3})
    assert bring(toy, tmp_path, "ann", first, second).scored == {"ann": 1}, "the key is known now"


def test_a_new_benchmark_may_have_any_keys(toy: Store, tmp_path: Path) -> None:
    keys = ["1", "1.0", "01", "toy-1", "Q1", "q1"]
    made = [{"key": key, "subject": "law", "score": 1} for key in keys]
    assert bring(toy, tmp_path, "ann", *made).new_queries == 6
    assert bring(toy, tmp_path, "bob", *made).scored == {"bob": 6}


def test_two_spellings_in_one_file_of_two_experts(toy: Store, tmp_path: Path) -> None:
    made = [{**row, "expert": "ann"} for row in rows()] + [{**row, "expert": "bob"} for row in rows(FORMS["float"])]
    summary = bring(toy, tmp_path, "all", *made)
    assert (summary.scored, summary.new_queries, len(summary.skipped)) == ({"ann": 12}, 12, 12)


def test_new_subjects_may_have_new_keys(toy: Store, tmp_path: Path) -> None:
    bring(toy, tmp_path, "ann", *rows())
    new = [{"key": f"m{i}", "subject": "maps", "score": 1} for i in range(3)]
    assert bring(toy, tmp_path, "bob", *new, new_subjects=True).new_queries == 3


def test_many_doubtful_rows_are_not_all_kept(toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_matching, "MAX_DOUBTS", 2)
    bring(toy, tmp_path, "ann", *rows())
    with pytest.raises(InputError, match="none of its 12 queries is among the 12"):
        bring(toy, tmp_path, "bob", *rows(FORMS["float"]))
