"""The stored query of each row is found, and rows that differ from it are skipped."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import two_queries
from sqlalchemy import select
from tables import add_experts, bring
from two_queries import FIRST, SECOND, scores_of

from benchcoe_jobs.domain import Query as DomainQuery
from benchcoe_jobs.domain import assign_split
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.ingest import result_import
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.store.results import catalog, prompt_inputs
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Query, QueryContent, Stratum


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    two_queries.fill(store, tmp_path)
    return store


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "Which is odd?"}, "question"),
        ({"choices": ["two", "one"]}, "options"),
        ({"answer": "A"}, "answer"),
        ({"subject": "letters"}, "its subject 'letters' differs from the stored 'math'"),
    ],
    ids=["question", "choices", "answer", "subject"],
)
def test_other_content_under_a_stored_key_is_skipped(
    toy: Store, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    summary = bring(toy, tmp_path, "bob", {**SECOND, "score": 1}, {**FIRST, **change, "score": 1})
    assert [row.line for row in summary.skipped] == [2]
    assert reason in summary.skipped[0].reason
    assert ("bob", "q1") not in scores_of(toy)
    assert scores_of(toy)["bob", "q2"] == 1


@pytest.mark.parametrize(
    "named",
    [
        {"key": "q1", "subject": "math"},
        {"text": FIRST["text"], "subject": "math"},
        {"key": "q1", "text": FIRST["text"], "subject": "math"},
        FIRST,
    ],
    ids=["by key", "by text", "by key and text", "in full"],
)
def test_a_query_is_found_by_key_and_by_text(toy: Store, tmp_path: Path, named: dict[str, Any]) -> None:
    summary = bring(toy, tmp_path, "bob", {**named, "score": 0.5})
    assert (summary.new_queries, summary.skipped) == (0, [])
    assert scores_of(toy)["bob", "q1"] == 0.5


def test_a_query_named_twice_in_a_file_counts_once(toy: Store, tmp_path: Path) -> None:
    by_text = {"text": FIRST["text"], "subject": "math", "score": 0}
    summary = bring(toy, tmp_path, "bob", {**FIRST, "score": 1}, by_text)
    assert [row.line for row in summary.skipped] == [2]
    assert "earlier row" in summary.skipped[0].reason
    assert scores_of(toy)["bob", "q1"] == 1


def test_a_new_subject_must_be_allowed(toy: Store, tmp_path: Path) -> None:
    new = {"text": "Where is Oslo?", "subject": "maps", "score": 1}
    with pytest.raises(InputError, match="unknown subject 'maps'; the benchmark has letters, math"):
        bring(toy, tmp_path, "bob", new)
    assert bring(toy, tmp_path, "bob", new, new_subjects=True).new_queries == 1


def test_a_text_of_several_stored_queries_is_a_new_query(toy: Store, tmp_path: Path) -> None:
    """A row with only its text is not matched by chance to one of two queries with that text."""
    bring(toy, tmp_path, "ann", {**FIRST, "key": "copy", "choices": ["two", "three"], "score": 1})
    summary = bring(toy, tmp_path, "bob", {"text": FIRST["text"], "subject": "math", "score": 1})
    assert (summary.new_queries, summary.skipped) == (1, [])
    assert not {("bob", "q1"), ("bob", "copy")} & scores_of(toy).keys()


@pytest.mark.parametrize("rows_at_once", [1, 2])
def test_an_earlier_row_of_the_file_is_compared_like_a_stored_query(
    toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    add_experts(toy, cat=None, dan=None)
    new = {"key": "q3", "text": "Which is odd?", "subject": "math", "choices": ["one", "two"], "answer": "A"}
    rows = [
        {**new, "expert": "bob", "score": 1},
        {**new, "expert": "ann", "score": 1, "subject": "letters"},
        {**new, "expert": "cat", "score": 1, "answer": "B"},
        {**new, "expert": "dan", "score": 0},
    ]
    summary = bring(toy, tmp_path, "all", *rows)
    assert sorted(row.line for row in summary.skipped) == [2, 3]
    assert "its subject 'letters' differs from" in summary.skipped[0].reason
    assert (summary.new_queries, scores_of(toy)["bob", "q3"], scores_of(toy)["dan", "q3"]) == (1, 1, 0)


def stored(store: Store) -> dict[str, tuple[str, str, str | None, str]]:
    """Key -> text, choices, answer, split."""
    with store.reading() as connection:
        rows = connection.execute(
            select(Query.key, QueryContent.text, QueryContent.choices, QueryContent.answer, Stratum.split)
            .join(QueryContent, QueryContent.query_id == Query.id)
            .join(Stratum, Stratum.id == Query.stratum_id)
        )
        return {key: (text, json.dumps(choices), answer, split) for key, text, choices, answer, split in rows}


def by_key(n: int = 200) -> list[dict[str, Any]]:
    return [{"key": f"{i}", "subject": "math", "score": i % 2} for i in range(n)]


def test_queries_that_are_known_by_key_are_assigned_by_key(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None, bob=None)
    bring(store, tmp_path, "ann", *by_key())
    shares = Counter(split for *_, split in stored(store).values())
    for split, share in (("train", 0.6), ("validation", 0.1), ("test", 0.3)):
        assert abs(shares[split] - 200 * share) < 25


def test_an_answer_alone_is_no_question(store: Store, tmp_path: Path) -> None:
    """All queries with the answer A would be in one split."""
    add_experts(store, ann=None)
    bring(store, tmp_path, "ann", *[{**row, "answer": "A"} for row in by_key()])
    assert {split for *_, split in stored(store).values()} == {"train", "validation", "test"}


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
@pytest.mark.parametrize("again", [False, True])
def test_a_later_text_completes_a_query_and_does_not_move_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int, again: bool
) -> None:
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    add_experts(store, ann=None, bob=None)
    bring(store, tmp_path, "ann", *by_key(20))
    before = stored(store)
    texts = [{**row, "text": f"{i}?", "choices": ["x", "y"], "answer": "A"} for i, row in enumerate(by_key(20))]
    summary = bring(store, tmp_path, "bob", *texts)
    assert (summary.completed, summary.new_queries, summary.skipped, summary.scored) == (20, 0, [], {"bob": 20})
    if again:
        assert bring(store, tmp_path, "bob", *texts).unchanged == 20
    assert stored(store) == {key: (f"{key}?", '["x", "y"]', "A", split) for key, (*_, split) in before.items()}


def test_a_benchmark_file_completes_queries(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None)
    bring(store, tmp_path, "ann", *by_key(20))
    before = stored(store)
    path = tmp_path / "toy.csv"
    path.write_text("key,text,subject,answer,split\n" + "".join(f"{i},{i}?,math,A,test\n" for i in range(21)))
    summary = add_benchmark(store, "toy", path)
    assert (summary.completed, summary.new_queries, summary.unchanged, summary.skipped) == (20, 1, 0, [])
    after = stored(store)
    assert {key: after[key][3] for key in before} == {key: split for key, (*_, split) in before.items()}
    assert after["7"][:3] == ("7?", "[]", "A")
    assert add_benchmark(store, "toy", path).unchanged == 21


def test_contradicting_texts_do_not_complete(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None, bob=None)
    bring(store, tmp_path, "ann", *[{**row, "answer": "A"} for row in by_key(3)])
    texts = [{**row, "text": "?", "answer": "AB"[i % 2]} for i, row in enumerate(by_key(3))]
    summary = bring(store, tmp_path, "bob", *texts)
    assert (summary.completed, [row.line for row in summary.skipped]) == (2, [2])


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_a_row_with_its_text_alone_beside_its_full_row(
    toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    """A query is one query, whether its rows come in one part of a file or in two."""
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    full = {"text": "Which is odd?", "subject": "math", "choices": ["one", "two"], "answer": "A"}
    rows = [
        {**full, "expert": "ann", "score": 1},
        {"text": full["text"], "subject": "math", "expert": "bob", "score": 0},
    ]
    summary = bring(toy, tmp_path, "all", *rows)
    assert (summary.new_queries, summary.scored, summary.skipped) == (1, {"ann": 1, "bob": 1}, [])


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_a_full_row_after_its_text_alone_is_not_taken_silently(
    toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    full = {"text": "Which is odd?", "subject": "math", "choices": ["one", "two"], "answer": "A"}
    rows = [
        {"text": full["text"], "subject": "math", "expert": "ann", "score": 0},
        {**full, "expert": "bob", "score": 1},
    ]
    summary = bring(toy, tmp_path, "all", *rows)
    assert (summary.new_queries, summary.scored, [row.line for row in summary.skipped]) == (1, {"ann": 1}, [2])


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_a_key_alone_beside_its_full_row(
    toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    full = {"key": "q3", "text": "Which is odd?", "subject": "math", "choices": ["one", "two"], "answer": "A"}
    alone = {"key": "q3", "subject": "math"}
    for first, second in ((full, alone), (alone | {"key": "q4"}, full | {"key": "q4", "text": "Which is even now?"})):
        rows = [{**first, "expert": "ann", "score": 1}, {**second, "expert": "bob", "score": 0}]
        summary = bring(toy, tmp_path, "all", *rows)
        assert (summary.new_queries, summary.scored, summary.skipped) == (1, {"ann": 1, "bob": 1}, [])
    found = stored(toy)
    assert found["q4"][:3] == ("Which is even now?", '["one", "two"]', "A")
    assert found["q4"][3] == assign_split(DomainQuery("q4", "math", "").split_hash), "the split of its first row stays"


@pytest.mark.parametrize(
    "row",
    [
        {"key": "p1", "subject": "maps", "text": "Where?", "choices": ["left", "right"]},
        {"subject": "maps", "text": "Where?", "choices": ["left", "right"]},
        {"key": "p1", "subject": "maps", "text": "Where?", "choices": ["left", "right"], "answer": "B"},
    ],
    ids=["by key", "by content", "with the answer, which was unknown"],
)
def test_a_row_without_pictures_is_that_of_the_query_with_pictures(
    store: Store, tmp_path: Path, row: dict[str, Any]
) -> None:
    images = (b"one", b"two")
    query = DomainQuery("p1", "maps", "Where?", ("left", "right"), images=images)
    with store.writing() as connection:
        catalog.add_queries(connection, catalog.ensure_benchmark(connection, "toy"), [query])
    add_experts(store, bob=None)
    summary = bring(store, tmp_path, "bob", {**row, "score": 1})
    assert (summary.new_queries, summary.skipped) == (0, [])
    assert "1 query of it has pictures in toy and none in the file: matched without them" in summary.notes
    with store.reading() as connection:
        [stored] = catalog.stored_queries(connection, 1).values()
        content = prompt_inputs.contents(connection, [stored.id])[stored.id]
    assert content.images == images
    assert content.content_hash == stored.content_hash
