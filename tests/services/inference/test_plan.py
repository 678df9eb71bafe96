"""The queries and prompts that profiling asks, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_quiz
from profiling import prompt_plans

from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.picture_opener import OPENER
from benchcoe_jobs.services.inference.plan import still_open
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.store.results import catalog, prompt_inputs
from benchcoe_jobs.store.session import Store


def test_a_limit_is_a_stable_sample(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 60))
    chosen = [{query.id for query in prompt_plans(store, limit=n)[0].queries} for n in (5, 20, 100)]
    assert [len(ids) for ids in chosen] == [5, 20, 60]
    assert chosen[0] < chosen[1] < chosen[2]
    [some] = prompt_plans(store, limit=20)
    assert [(query.subject, query.id) for query in some.queries] == sorted((q.subject, q.id) for q in some.queries)
    assert {query.subject for query in some.queries} == set(tiny_quiz.SUBJECTS)
    [of_test] = prompt_plans(store, split="test")
    assert 0 < len(of_test.queries) < 60


def test_missing_worked_examples_are_an_error_that_names_the_command(store: Store, folder: Path) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 10)
    summary = add_benchmark(store, "quiz", folder / "quiz" / "test.jsonl")
    assert "no worked examples" in summary.notes[0]
    with pytest.raises(UsageError, match="add-benchmark quiz FOLDER"):
        prompt_plans(store)
    again = add_benchmark(store, "quiz", folder / "quiz")
    assert (again.unchanged, again.notes) == (10, ["worked examples for 3 subjects"])
    [plan] = prompt_plans(store)
    assert {len(shots.blocks) for shots in plan.shots.values()} == {5}


def test_images_of_a_query_are_in_its_request(store: Store, folder: Path) -> None:
    images = (b"\x89PNG one", b"\x89PNG two")
    with store.writing() as connection:
        benchmark = catalog.ensure_benchmark(connection, "mmmu")
        query = Query("1", "Art", "What is <image 1> beside <image 2>?", ("a", "b"), "A", images=images)
        catalog.add_queries(connection, benchmark, [query])
    [plan] = prompt_plans(store)
    with store.reading() as connection:
        [content] = prompt_inputs.contents(connection, [plan.queries[0].id]).values()
    assert plan.request(content).images == images
    assert content.content_hash == query.content_hash


def test_the_version_of_the_opener_is_asked_with_pictures_only(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 10))
    with store.writing() as connection:
        benchmark = catalog.ensure_benchmark(connection, "mmmu")
        catalog.add_queries(connection, benchmark, [Query("1", "Art", "?", ("a", "b"), "A", images=(b"x",))])
    versions = {plan.benchmark.name: plan.provenance.get("images") for plan in prompt_plans(store)}
    assert versions == {"quiz": None, "mmmu": OPENER}


def test_open_queries_are_those_without_a_response_and_errors_if_retried(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 4))
    [plan] = prompt_plans(store)
    first, second, *others = plan.queries
    recorded = {first.id: True, second.id: False}
    assert still_open(plan, recorded, retry_errors=False) == others
    assert still_open(plan, recorded, retry_errors=True) == [second, *others]


def test_a_benchmark_without_a_prompt_cannot_be_asked(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,subject\nwhat?,things\n")
    add_benchmark(store, "own", tmp_path / "own.csv")
    with pytest.raises(UsageError, match=r"benchmark 'own' has no prompt and no scorer here; .*mmlu-pro.*quiz"):
        prompt_plans(store, names=["own"])
    assert prompt_plans(store) == [], "by default only registered benchmarks are asked"


def test_a_split_without_a_text_is_named(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 4))
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "mmmu")
        catalog.add_queries(connection, benchmark_id, [Query("1", "Art", "", ("a", "b"), "A")])
    with pytest.raises(UsageError, match=r"^mmmu has no query with a text in split test$"):
        prompt_plans(store, names=["mmmu"], split="test")
