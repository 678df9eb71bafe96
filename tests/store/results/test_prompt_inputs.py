"""The queries that prompts are made of."""

from __future__ import annotations

from itertools import pairwise

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.store.results import catalog, prompt_inputs
from benchcoe_jobs.store.session import Store


def test_a_larger_limit_is_a_superset_sorted_by_subject(filled: Store) -> None:
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        catalog.add_queries(connection, benchmark_id, [Query("without text", "law", "", split=Split.TRAIN)])
        by_limit = [prompt_inputs.promptable(connection, benchmark_id, None, n) for n in (1, 2, 3, 4, None)]
        tests = prompt_inputs.promptable(connection, benchmark_id, "test", None)
    assert [len(refs) for refs in by_limit] == [1, 2, 3, 4, 5], "a query without a text has no prompt"
    assert all(set(less) < set(more) for less, more in pairwise(by_limit))
    assert [ref.key for ref in by_limit[-1]] == ["q5", "q1", "q2", "q3", "q4"]
    assert [ref.key for ref in tests] == ["q4"]


def test_references_by_id_are_sorted_in_the_same_way(filled: Store) -> None:
    with filled.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        refs = prompt_inputs.promptable(connection, benchmark_id, None, None)
        assert prompt_inputs.by_id(connection, [ref.id for ref in reversed(refs)]) == refs
        assert prompt_inputs.by_id(connection, []) == []


def test_contents_have_answers_and_images_in_order(store: Store) -> None:
    query = Query("k", "maths", "Which?", ("x", "y"), "B", Split.TRAIN, images=(b"1", b"2"))
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "bench")
        id_ = catalog.add_queries(connection, benchmark_id, [query])["k"].id
        found = prompt_inputs.contents(connection, [id_, id_ + 1])
        assert prompt_inputs.stored_shots(connection, benchmark_id) == {}
    assert found == {id_: Query("k", "maths", "Which?", ("x", "y"), "B", images=(b"1", b"2"))}
