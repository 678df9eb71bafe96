"""Responses to queries that a file names by key alone are scored against the stored queries."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import add_experts

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import UNKNOWN_SUBJECT
from benchcoe_jobs.services.ingest.result_import import ImportSummary, import_results
from benchcoe_jobs.services.ingest.stored_queries import has_question
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.session import Store

QUESTION = Query("snarks/0", "snarks", "Which statement is sarcastic?\nOptions:\n(A) x\n(B) y", answer="(A)")
NO_ANSWER = Query("snarks/1", "snarks", "Why?")


class Rows:
    """An importer of the given rows."""

    def __init__(self, *rows: Result) -> None:
        self.rows = rows

    def read(self, source: object, options: object) -> list[Result]:
        return iter(self.rows)  # type: ignore[return-value]


def named(line: int, key: str, text: str = "(A)", **changes: object) -> Result:
    return Result(line, "bbh", Query(key, UNKNOWN_SUBJECT, ""), text=text)._replace(**changes)


def imported(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, *rows: Result) -> ImportSummary:
    add_experts(store, ann=1.0)
    with store.writing() as connection:
        catalog.add_queries(connection, catalog.ensure_benchmark(connection, "bbh"), [QUESTION, NO_ANSWER])
    (folder / "rows").write_text("")
    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda group, name: Rows(*rows) if group == "importers" else load(group, name)
    )
    return import_results(store, "ann", folder / "rows", form="of the test")


def test_subject_and_answer_are_those_of_the_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        named(1, "snarks/0", prompt="Q: Which  statement is sarcastic?\nA:"),
        named(2, "snarks/0", prompt="Q: Which is not?\nA:"),
        named(3, "snarks/1"),
        named(4, "snarks/2"),
    ]
    summary = imported(store, tmp_path, monkeypatch, *rows)
    assert summary.scored == {"ann": 1}
    assert summary.rules == {"whole answer": 1}
    assert sorted((row.line, row.reason) for row in summary.skipped) == [
        (2, "its prompt does not have the question that bbh has under its key"),
        (3, "the answer of its query is not known: add-benchmark bbh stores it"),
        (
            4,
            "benchmark 'bbh' has no query with its key, and the row names no subject: add-benchmark stores its queries",
        ),
    ]


def test_the_score_of_the_file_counts_if_the_answer_is_not_known(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        named(1, "snarks/0", "(A)", file_score=0.0, prompt=QUESTION.text),
        named(2, "snarks/1", "(B)", file_score=1.0, prompt="Why?"),
        named(3, "snarks/1", "(B)", file_score=1.0, prompt="How?"),
    ]
    summary = imported(store, tmp_path, monkeypatch, *rows)
    assert (summary.scored, summary.differing_scores) == ({"ann": 2}, 1)
    assert [row.line for row in summary.skipped] == [3]
    with store.reading() as connection:
        assert [*connection.exec_driver_sql("SELECT value FROM score ORDER BY query_id").scalars()] == [1.0, 1.0]


def test_the_answer_of_a_row_counts_if_the_store_has_none(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [named(1, "snarks/1", "(B)"), named(2, "snarks/0", "(B)")]
    rows = [row._replace(query=Query(row.query.key, "snarks", "", answer="(B)")) for row in answers]
    imported(store, tmp_path, monkeypatch, *rows)
    with store.reading() as connection:
        values = connection.exec_driver_sql(
            "SELECT q.key, s.value FROM score s JOIN query q ON q.id = s.query_id ORDER BY q.key"
        )
        assert [tuple(row) for row in values] == [("snarks/0", 0.0), ("snarks/1", 1.0)]


def test_without_any_stored_query_nothing_is_imported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="add-benchmark stores its queries"):
        imported(store, tmp_path, monkeypatch, named(1, "snarks/17"))


@pytest.mark.parametrize(
    ("prompt", "text", "has"),
    [
        ("Look at <image 1>. Which?", "<image 1> Which?\nMore", True),
        ("<image>\nWhich  one?\nAnswer.", "<image 1> Which one?", True),
        ("anything", "\n <image 1>", True),
        ("Wh", "Which?", False),
    ],
)
def test_the_first_line_of_a_question_is_looked_for(prompt: str, text: str, has: bool) -> None:
    assert has_question(prompt, text) is has
