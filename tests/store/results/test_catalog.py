"""Benchmarks, subjects and queries."""

from __future__ import annotations

import pytest

from benchcoe_jobs.domain import Query, RouterInput, Split, assign_split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.results import catalog, imports, prompt_inputs
from benchcoe_jobs.store.session import Store


def test_a_benchmark_is_created_once_and_found_by_name(store: Store) -> None:
    with store.writing() as connection:
        with pytest.raises(UsageError, match="import some results first"):
            catalog.find_benchmark(connection, None)
        first = catalog.ensure_benchmark(connection, "one")
        assert catalog.ensure_benchmark(connection, "one") == first
        assert catalog.find_benchmark(connection, None) == (first, "one"), "the only one needs no name"
        catalog.ensure_benchmark(connection, "two")
        with pytest.raises(UsageError, match="--benchmark: one, two"):
            catalog.find_benchmark(connection, None)
        with pytest.raises(UsageError, match="'three'; the store has one, two"):
            catalog.find_benchmark(connection, "three")


def test_queries_get_a_stratum_and_are_counted(store: Store) -> None:
    given = Query("k1", "maths", "1 + 1?", ("2", "3"), "2", Split.TEST, images=(b"first", b"second"))
    without_split = Query("k2", "law", "Is it legal?")
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "bench")
        added = catalog.add_queries(connection, benchmark_id, [given, without_split])
        assert catalog.add_queries(connection, benchmark_id, []) == {}
    with store.reading() as connection:
        stored = catalog.stored_queries(connection, benchmark_id)
        assert stored == added
        assert catalog.subject_ids(connection, benchmark_id).keys() == {"law", "maths"}
        content = prompt_inputs.contents(connection, [stored["k1"].id])[stored["k1"].id]
        [row] = catalog.benchmarks(connection)
    assert (stored["k1"].split, stored["k2"].split) == (Split.TEST, assign_split(without_split.content_hash))
    assert content.images == (b"first", b"second")
    assert stored["k1"].is_like(given)
    assert not stored["k1"].is_like(without_split)
    assert row["subjects"] == 2
    assert sum(int(str(row[split])) for split in Split) == 2


def test_questions_are_the_queries_with_a_text(store: Store) -> None:
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "bench")
        queries = [
            Query("shown", "maths", "1 + 1?", ("2", "3"), split=Split.TRAIN),
            Query("key only", "maths", "", split=Split.TRAIN),
            Query("elsewhere", "maths", "2 + 2?", split=Split.TEST),
        ]
        added = catalog.add_queries(connection, benchmark_id, queries)
        [question] = catalog.questions(connection, benchmark_id, "train")
        assert dict(catalog.query_texts(connection, benchmark_id)) == {q.key: q.text for q in queries}
    assert (question.id, question.key, question.subject) == (added["shown"].id, "shown", "maths")
    assert question.router_input == RouterInput("1 + 1?", ("2", "3"))


def test_a_benchmark_of_published_scores_has_no_queries(filled: Store) -> None:
    with filled.writing() as connection:
        published = catalog.ensure_benchmark(connection, "published")
        catalog.add_subjects(connection, published, ["maths"])
        assert not catalog.has_queries(connection, published)
        assert catalog.has_queries(connection, catalog.find_benchmark(connection, "bench")[0])


def test_worked_examples_count_if_they_change(filled: Store) -> None:
    shots = {"maths": {"preamble": "p", "blocks": ["b"]}, "unknown": {"preamble": "", "blocks": []}}
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "bench")
        record = imports.begin(connection, "add-benchmark", "file", "0")
        assert catalog.set_shots(connection, benchmark_id, shots, record) == 1
        assert catalog.set_shots(connection, benchmark_id, shots, record) == 0
        assert prompt_inputs.stored_shots(connection, benchmark_id) == {"maths": shots["maths"]}
