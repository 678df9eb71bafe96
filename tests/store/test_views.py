"""The label views against a plain Python reference, over random tables of scores."""

from __future__ import annotations

from collections import defaultdict

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_worlds import EXPERTS, VALUES, World, clear, fill, is_unearned, ranking, worlds, write
from sqlalchemy import select

from benchcoe_jobs.store.results import aggregates, catalog, experts, imports, responses
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Benchmark, Pool
from benchcoe_jobs.store.views import pool_summary, query_label, query_target, subject_label


def reference_subject_labels(world: World) -> dict[tuple[str, str, str], tuple[str | None, float, int, float | None]]:
    labels = {}
    for pool in world.pools:
        for subject, split in set(world.queries.values()):
            ranked = ranking(world, pool, subject, split)
            if ranked:
                best, top = ranked[0]
                margin = float(top) - float(ranked[1][1]) if len(ranked) > 1 else None
                earned = None if is_unearned(ranked) else best
                labels[pool, subject, split] = earned, float(top), sum(value == top for _, value in ranked), margin
    return labels


def reference_query_labels(world: World) -> dict[tuple[str, str], tuple[str, float, int, float | None, int]]:
    labels = {}
    for pool in world.pools:
        for key, (subject, split) in world.queries.items():
            ranked = [expert for expert, _ in ranking(world, pool, subject, split) if (expert, key) in world.scores]
            if not ranked:
                continue
            values = sorted((world.scores[expert, key] for expert in ranked), reverse=True)
            best = next(expert for expert in ranked if world.scores[expert, key] == values[0])
            margin = values[0] - values[1] if len(values) > 1 else None
            labels[pool, key] = best, values[0], values.count(values[0]), margin, int(values[0] == 0)
    return labels


def stored_subject_labels(store: Store) -> dict[tuple[str, str, str], tuple[str | None, float, int, float | None]]:
    with store.reading() as connection:
        rows = connection.execute(select(subject_label)).all()
    return {(r.pool, r.subject, r.split): (r.expert, r.mean, r.tied, r.margin) for r in rows}


def stored_query_labels(store: Store) -> dict[tuple[str, str], tuple[str, float, int, float | None, int]]:
    with store.reading() as connection:
        rows = connection.execute(select(query_label)).all()
    assert all(row.benchmark == "bench" for row in rows)
    return {(r.pool, r.key): (r.expert, r.score, r.tied, r.margin, r.all_wrong) for r in rows}


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds())
def test_views_equal_the_reference(shared_store: Store, world: World) -> None:
    clear(shared_store)
    fill(shared_store, world)
    assert stored_subject_labels(shared_store) == reference_subject_labels(world)
    assert stored_query_labels(shared_store) == reference_query_labels(world)
    with shared_store.reading() as connection:
        targets = {(r.pool_id, r.query_id, r.expert_id): r.score for r in connection.execute(select(query_target))}
        pool_ids = dict(connection.execute(select(Pool.name, Pool.id)).all())  # type: ignore[arg-type]
        expert_ids = experts.expert_ids(connection)
        query_ids = {
            k: q.id
            for k, q in catalog.stored_queries(connection, connection.scalars(select(Benchmark.id)).one()).items()
        }
        summaries = connection.execute(select(pool_summary)).all()
    expected = {
        (pool_ids[pool], query_ids[key], expert_ids[expert]): world.scores[expert, key]
        for pool in world.pools
        for key, (subject, split) in world.queries.items()
        for expert, _ in ranking(world, pool, subject, split)
        if (expert, key) in world.scores
    }
    assert targets == expected
    oracles = defaultdict(list)
    for (pool, key), (_, score, *_rest) in reference_query_labels(world).items():
        oracles[pool, world.queries[key][1]].append(score)
    assert {(s.pool, s.split): s.n_labelled for s in summaries} == {k: len(v) for k, v in oracles.items()}
    for row in summaries:
        assert row.oracle == pytest.approx(sum(oracles[row.pool, row.split]) / row.n_labelled)


@settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), data=st.data())
def test_train_labels_never_depend_on_other_splits(shared_store: Store, world: World, data: st.DataObject) -> None:
    clear(shared_store)
    fill(shared_store, world)

    def train_labels() -> tuple[dict[object, object], dict[object, object]]:
        subjects = {k: v for k, v in stored_subject_labels(shared_store).items() if k[2] == "train"}
        queries = {k: v for k, v in stored_query_labels(shared_store).items() if world.queries[k[1]][1] == "train"}
        return subjects, queries  # type: ignore[return-value]

    before = train_labels()
    elsewhere = [key for key, (_, split) in world.queries.items() if split != "train"]
    for number in range(data.draw(st.integers(1, 3)) if elsewhere else 0):
        batch = data.draw(st.dictionaries(st.sampled_from(elsewhere), st.sampled_from(VALUES), min_size=1))
        write(shared_store, data.draw(st.sampled_from(EXPERTS)), batch, 100 + number)
    assert train_labels() == before


def test_pool_changes_and_retirement_move_the_labels_at_once(store: Store) -> None:
    world = World(
        queries={"q1": ("maths", "train"), "q2": ("maths", "train")},
        costs={"a": None, "B": None, "c": None, "Ä": None},
        pools={"all": (set(EXPERTS), 0.95), "few": ({"a"}, 0.95)},
        batches=[("a", {"q1": 1.0, "q2": 0.0}), ("B", {"q1": 1.0, "q2": 1.0}), ("c", {"q1": 0.0, "q2": 0.0})],
    )
    fill(store, world)
    with store.writing() as connection:
        experts.change_pool(connection, "few", add=["B", "c"], remove=["a"])
        experts.set_retired(connection, "B", True)
    world.pools = {"all": ({"a", "c"}, 0.95), "few": ({"c"}, 0.95)}
    assert stored_query_labels(store) == reference_query_labels(world)
    with store.writing() as connection:
        experts.set_retired(connection, "B", False)
    world.pools = {"all": (set(EXPERTS), 0.95), "few": ({"B", "c"}, 0.95)}
    assert stored_query_labels(store) == reference_query_labels(world)
    assert stored_subject_labels(store) == reference_subject_labels(world)


def test_reported_scores_stand_in_only_where_nothing_is_measured(store: Store) -> None:
    world = World(
        queries={"q1": ("maths", "train"), "q2": ("law", "train")},
        costs=dict.fromkeys(EXPERTS),
        pools={"all": (set(EXPERTS), 0.95)},
        batches=[("a", {"q1": 0.0, "q2": 0.5})],
    )
    fill(store, world)
    with store.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        subjects, ids = catalog.subject_ids(connection, benchmark_id), experts.expert_ids(connection)
        reported = [(ids["c"], subjects["maths"], 0.9, 10), (ids["a"], subjects["maths"], 1.0, 5)]
        responses.write_reported(connection, reported, imports.begin(connection, "import-scores", "file", "0"))
        aggregates.refresh(connection, [benchmark_id])
    with store.reading() as connection:
        rows = connection.execute(select(subject_label).where(subject_label.c.split == "train")).all()
    assert {(r.subject, r.expert, r.source, r.mean) for r in rows} == {
        ("maths", "c", "reported", 0.9),
        ("law", "a", "measured", 0.5),
    }
