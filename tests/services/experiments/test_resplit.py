"""Queries are assigned to other splits in a temporary store; scores, costs and vectors go with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import add_experts, bring

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.experiments.resplit import (
    PoolSpec,
    Results,
    read_results,
    resplit_of,
    share_vectors,
    write_resplit,
)
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.store.results import catalog, experts, prompt_inputs
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.session import Store

TEXTS = st.text(min_size=1, max_size=8)


@pytest.fixture
def results(store: Store, tmp_path: Path) -> Results:
    add_experts(store, ann=1.0, bob=2.0)
    for expert, scores in (("ann", (1, 0, 1)), ("bob", (0, 1))):
        rows = [
            {"key": f"k{n}", "text": f"question {n}", "subject": "maps", "split": "train", "score": score, "cost": n}
            for n, score in enumerate(scores)
        ]
        bring(store, tmp_path, expert, *rows)
    with store.reading() as connection:
        return read_results(connection, "toy", ["ann", "bob"])


@given(TEXTS, st.lists(TEXTS, max_size=2), st.integers(0, 50), st.sampled_from(list(Split)))
def test_copies_of_a_question_have_the_same_split(text: str, hashes: list[str], seed: int, split: Split) -> None:
    one = Query("one", "maps", text, split=split)
    copy = Query("copy", "another subject", text, split=split)
    assert resplit_of(one, hashes, seed) == resplit_of(copy, hashes, seed)


@given(TEXTS, st.sampled_from(list(Split)))
def test_seed_0_keeps_the_stored_split(text: str, split: Split) -> None:
    assert resplit_of(Query("one", "maps", text, split=split), (), 0) == split


def test_another_seed_assigns_60_10_30() -> None:
    queries = [Query(f"k{n}", "maps", f"question {n}", split=Split.TEST) for n in range(2_000)]
    splits = [resplit_of(query, (), 7) for query in queries]
    shares = {split: splits.count(split) / len(splits) for split in Split}
    assert shares == pytest.approx({Split.TRAIN: 0.6, Split.VALIDATION: 0.1, Split.TEST: 0.3}, abs=0.03)
    assert splits != [resplit_of(query, (), 8) for query in queries]


def test_results_are_read_in_the_order_of_their_import(results: Results) -> None:
    assert [query.key for query in results.queries] == ["k0", "k1", "k2"]
    assert [(one.position, one.score, one.cost) for one in results.scores["ann"]] == [(0, 1, 0), (1, 0, 1), (2, 1, 2)]
    assert [expert.name for expert in results.experts] == ["ann", "bob"]


def test_an_unknown_expert_is_refused(store: Store, results: Results) -> None:
    with store.reading() as connection, pytest.raises(UsageError, match="unknown expert 'eve'"):
        read_results(connection, "toy", ["ann", "eve"])


def test_the_fingerprint_covers_queries_costs_and_scores(results: Results) -> None:
    first, *rest = results.scores["ann"]
    reordered = {**results.scores, "ann": [*rest, first]}
    assert replace(results, scores=reordered).fingerprint() == results.fingerprint()
    others = [
        replace(results, scores={**results.scores, "ann": [replace(first, score=0.5), *rest]}),
        replace(results, scores={**results.scores, "ann": rest}),
        replace(results, experts=[replace(results.experts[0], cost=9.0), results.experts[1]]),
        replace(results, queries=[replace(results.queries[0], split=Split.TEST), *results.queries[1:]]),
        replace(results, pictures=[("f",), *results.pictures[1:]]),
        replace(results, benchmark="other"),
    ]
    assert len({results.fingerprint(), *(other.fingerprint() for other in others)}) == 7


def test_the_same_question_about_other_pictures_is_assigned_by_its_picture(store: Store, tmp_path: Path) -> None:
    """200 questions of two texts about 200 pictures: by their texts, all were in two splits at most."""
    images = [f"picture {n}".encode() for n in range(200)]
    queries = [
        Query(f"k{n}", "maps", f"Which is it, {n % 2}?", split=Split.TEST, images=(image,))
        for n, image in enumerate(images)
    ]
    with store.writing() as connection:
        catalog.add_queries(connection, catalog.ensure_benchmark(connection, "toy"), queries)
        found = read_results(connection, "toy", [])
    splits = {row: resplit_of(found.queries[row], found.pictures[row], 7) for row in range(200)}
    shares = {split: list(splits.values()).count(split) / 200 for split in Split}
    assert shares == pytest.approx({Split.TRAIN: 0.6, Split.VALIDATION: 0.1, Split.TEST: 0.3}, abs=0.1)
    resplit = write_resplit(store, tmp_path / "resplit.db", {"toy": (found, splits)}, {})
    with resplit.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "toy")
        stored = catalog.stored_queries(connection, benchmark_id)
        contents = prompt_inputs.contents(connection, [one.id for one in stored.values()])
    resplit.close()
    assert {query.key: query.images for query in contents.values()} == {query.key: query.images for query in queries}
    assert {key: one.content_hash for key, one in stored.items()} == {q.key: q.content_hash for q in queries}


def test_a_temporary_store_holds_the_chosen_queries_in_their_new_splits(
    store: Store, results: Results, tmp_path: Path
) -> None:
    split_of = {0: Split.TEST, 2: Split.TRAIN}
    pools = {"p all": PoolSpec(("bob", "ann"), 0.5)}
    resplit = write_resplit(store, tmp_path / "resplit.db", {"new name": (results, split_of)}, pools)
    with resplit.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "new name")
        matrix = read_matrix(connection, benchmark_id, experts.expert_ids(connection))
        pool = experts.find_pool(connection, "p all")
        members = experts.pool_members(connection, pool.id)
        copied = read_results(connection, "new name", ["ann"])
    assert {query.key: query.split for query in matrix.queries} == {"k0": "test", "k2": "train"}
    assert matrix.column("ann").tolist() == [1, 1]
    assert matrix.column("bob")[0] == 0
    assert (pool.min_coverage, sorted(members)) == (0.5, ["ann", "bob"])
    assert [one.cost for one in copied.scores["ann"]] == [0, 2]
    assert copied.experts[0].engine == "recorded"
    resplit.close()


def test_only_missing_vectors_are_copied(store: Store, tmp_path: Path, results: Results) -> None:
    other = write_resplit(store, tmp_path / "other.db", {}, {})
    routers.StoredVectors(store).put("encoder", {"a": b"aaaa", "b": b"bbbb"})
    routers.StoredVectors(other).put("encoder", {"b": b"old!"})
    share_vectors(store, other)
    assert routers.StoredVectors(other).get("encoder", ["a", "b"]) == {"a": b"aaaa", "b": b"old!"}
    other.close()
