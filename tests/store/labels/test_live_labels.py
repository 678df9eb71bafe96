"""The policies' views and the best single expert against a plain Python reference."""

from __future__ import annotations

from fractions import Fraction

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_worlds import EXPERTS, VALUES, World, clear, fill, is_unearned, mean, ranking
from sqlalchemy import Connection, select

from benchcoe_jobs.domain import Distribution, Policy, Query, Split
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import SUBJECT_VIEWS, QueryLabelCounts, Scope, best_single, subject_labels
from benchcoe_jobs.store.results import aggregates, catalog, experts, imports, responses
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.views import best_single as best_single_view

Labels = dict[tuple[str, str, str], tuple[str | None, int]]
"""(pool, subject, split) -> expert, None if none earns the label, and its rank by mean."""

N = 24


@st.composite
def skilled_worlds(draw: st.DrawFn) -> World:
    """Enough queries for significance, and experts that are good at one subject and bad at another."""
    keys = [f"q{number}" for number in range(draw(st.integers(1, N)))]
    law = draw(st.integers(0, len(keys)))  # the first of them are law
    queries = {
        key: ("law" if number < law else "maths", draw(st.sampled_from(["train"] * 9 + ["test"])))
        for number, key in enumerate(keys)
    }
    batches = []
    for expert in EXPERTS:
        favourite = {subject: draw(st.sampled_from(VALUES)) for subject in ("law", "maths")}
        others = draw(st.dictionaries(st.sampled_from(keys), st.sampled_from(VALUES), max_size=8))
        unknown = draw(st.sets(st.sampled_from(keys), max_size=3))
        batch = {k: others.get(k, favourite[subject]) for k, (subject, _) in queries.items() if k not in unknown}
        if batch:
            batches.append((expert, batch))
    return World(
        queries=queries,
        costs={expert: draw(st.sampled_from([None, 1.0, 2.0, 3.0])) for expert in EXPERTS},
        pools={
            "all": (set(EXPERTS), draw(st.sampled_from([0.95, 0.7]))),
            "few": (draw(st.sets(st.sampled_from(EXPERTS), min_size=1)), 0.5),
        },
        batches=batches,
    )


def is_significantly_better(world: World, better: str, other: str, subject: str, split: str) -> bool | None:
    """McNemar's test with continuity correction, at 5 %, over the common queries; None where there are none."""
    gaps = [
        world.scores[better, key] - world.scores[other, key]
        for key, place in world.queries.items()
        if place == (subject, split) and (better, key) in world.scores and (other, key) in world.scores
    ]
    if not gaps:
        return None
    ahead = sum(gaps)
    return ahead > 1 and (ahead - 1) ** 2 / sum(gap * gap for gap in gaps) > 3.841459


def reference_single(world: World, pool: str, split: str) -> str | None:
    members, coverage = world.pools[pool]
    keys = [key for key, place in world.queries.items() if place[1] == split]
    found: list[tuple[str, Fraction]] = []
    for expert in members:
        values = [world.scores[expert, key] for key in keys if (expert, key) in world.scores]
        if values and len(values) >= coverage * len(keys) - 1e-6:
            found.append((expert, mean(values)))
    cost = world.costs
    found.sort(key=lambda pair: (-pair[1], cost[pair[0]] is None, cost[pair[0]] or 0, pair[0].encode()))
    return found[0][0] if found else None


def reference(world: World, policy: Policy) -> Labels:
    labels: Labels = {}
    for pool in world.pools:
        for subject, split in set(world.queries.values()):
            with_means = ranking(world, pool, subject, split)
            ranked = [expert for expert, _ in with_means]
            if ranked:
                chosen = chosen_by(world, policy, ranked, subject, split, reference_single(world, pool, split))
                none = is_unearned(with_means) if policy is Policy.BEST else with_means[0][1] == 0
                labels[pool, subject, split] = None if none else chosen, ranked.index(chosen) + 1
    return labels


def chosen_by(world: World, policy: Policy, ranked: list[str], subject: str, split: str, single: str | None) -> str:
    best = ranked[0]
    if policy is Policy.ABSTAIN:
        return single if single in ranked and not is_significantly_better(world, best, single, subject, split) else best
    if policy is Policy.CHEAPEST:
        price = {expert: float("inf") if (cost := world.costs[expert]) is None else cost for expert in ranked}
        tied = [e for e in ranked if e == best or is_significantly_better(world, best, e, subject, split) is False]
        return min(tied, key=lambda expert: (price[expert], ranked.index(expert)))
    return best


def stored(store: Store, policy: Policy) -> Labels:
    view = SUBJECT_VIEWS[policy]
    with store.reading() as connection:
        rows = connection.execute(select(view)).all()
    return {(r.pool, r.subject, r.split): (r.expert, 1 if policy is Policy.BEST else r.rank) for r in rows}


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=skilled_worlds())
def test_policies_equal_the_reference(shared_store: Store, world: World) -> None:
    clear(shared_store)
    fill(shared_store, world)
    for policy in Policy:
        assert stored(shared_store, policy) == reference(world, policy), policy
    with shared_store.reading() as connection:
        rows = connection.execute(select(best_single_view)).all()
        pools = {name: experts.find_pool(connection, name) for name in world.pools}
    singles = {(row.pool_id, row.split): row.expert for row in rows}
    for name, pool in pools.items():
        for split in {split for _, split in world.queries.values()}:
            assert singles.get((pool.id, split)) == reference_single(world, name, split)


def world_of(scores: dict[str, dict[str, list[float]]], costs: dict[str, float | None]) -> World:
    """Expert -> subject -> the scores on its train queries, in order."""
    sizes = {subject: len(values) for subject, values in next(iter(scores.values())).items()}
    return World(
        queries={f"{subject}{n}": (subject, "train") for subject, size in sizes.items() for n in range(size)},
        costs={expert: costs.get(expert) for expert in EXPERTS},
        pools={"all": (set(EXPERTS), 0.95)},
        batches=[
            (expert, {f"{subject}{n}": v for subject, values in by_subject.items() for n, v in enumerate(values)})
            for expert, by_subject in scores.items()
        ],
    )


@pytest.mark.parametrize(("wins", "safe"), [(5, False), (6, True)])
def test_significance_by_example(store: Store, wins: int, safe: bool) -> None:
    """a is best overall, c at law: five wins of five may be luck, six of six are not (p < 0.05)."""
    world = world_of(
        {
            "a": {"law": [0.0] * wins + [1.0] * 10, "maths": [1.0] * 20},
            "c": {"law": [1.0] * (wins + 10), "maths": [0.0] * 20},
        },
        {"a": 1.0, "c": 2.0},
    )
    fill(store, world)
    with store.reading() as connection:
        scope = Scope(experts.find_pool(connection, "all"), *catalog.find_benchmark(connection, None), "train")
        assert best_single(connection, scope) == "a"
        for policy in (Policy.ABSTAIN, Policy.CHEAPEST):
            law, maths = subject_labels(connection, scope, policy)
            assert (law.expert, law.rank) == (("c", 1) if safe else ("a", 2))
            assert law.margin == pytest.approx(wins / (wins + 10) * (1 if safe else -1))
            assert (maths.expert, maths.rank, maths.margin) == ("a", 1, 1.0)


def test_a_reported_score_is_not_tested(store: Store) -> None:
    """It has no single queries: `abstain` does not choose it, and no expert counts as tied with it."""
    world = world_of({"a": {"law": [0.5] * 4}}, {"a": 3.0, "B": 1.0, "c": 2.0})
    fill(store, world)
    with store.writing() as connection:
        benchmark_id, benchmark = catalog.find_benchmark(connection, None)
        law, ids = catalog.subject_ids(connection, benchmark_id)["law"], experts.expert_ids(connection)
        responses.write_reported(
            connection,
            [(ids["c"], law, 0.9, 10), (ids["B"], law, 0.8, 10)],
            imports.begin(connection, "import-scores", "file", "0"),
        )
        aggregates.refresh(connection, [benchmark_id])
        scope = Scope(experts.find_pool(connection, "all"), benchmark_id, benchmark, "train")
        chosen = {policy: subject_labels(connection, scope, policy)[0] for policy in Policy}
    assert {policy: label.expert for policy, label in chosen.items()} == {
        Policy.BEST: "c",
        Policy.CHEAPEST: "c",
        Policy.ABSTAIN: "a",
    }
    assert (chosen[Policy.ABSTAIN].rank, chosen[Policy.ABSTAIN].source) == (3, "measured")


def query_label_counts(connection: Connection, scope: Scope) -> QueryLabelCounts:
    return live_labels.query_label_counts(connection, live_labels.query_choices(connection, scope))


def test_reads_of_a_scope(filled: Store) -> None:
    with filled.reading() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, None)
        everyone = Scope(experts.find_pool(connection, "all"), benchmark_id, name, "train")
        alone = Scope(experts.find_pool(connection, "one"), benchmark_id, name, "train")
        counts = query_label_counts(connection, everyone)
        assert (counts.n, counts.by_expert, counts.tied, counts.all_wrong) == (4, {"a": 2, "b": 2}, 1, 0)
        assert query_label_counts(connection, alone).all_wrong == 2
        assert live_labels.measured_experts(connection, everyone) == ["a", "b"]
        assert live_labels.left_out(connection, everyone) == []
        ranked = live_labels.contenders(connection, everyone)
        assert {subject: [c.expert for c in of_subject] for subject, of_subject in ranked.items()} == {
            "law": ["b", "a"],
            "maths": ["a", "b"],
        }
        ids = [c.expert_id for c in ranked["maths"]]
        patterns = live_labels.score_patterns(connection, ranked["maths"][0].stratum_id, ids)
        assert sorted(map(tuple, patterns)) == [(0.0, 1.0, 1), (1.0, 0.0, 1), (1.0, 1.0, 1)]
        labels = live_labels.all_labels(connection, benchmark_id)
        assert labels.subject["all", "train", "law"] == "b"
        assert labels.query["all", catalog.stored_queries(connection, benchmark_id)["q3"].id] == "b"


def test_an_expert_with_too_few_scores_is_left_out(filled: Store) -> None:
    with filled.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, None)
        added = catalog.add_queries(connection, benchmark_id, [Query("q6", "law", "new", split=Split.TRAIN)])
        aggregates.refresh(connection, [benchmark_id])
        found = live_labels.left_out(
            connection, Scope(experts.find_pool(connection, "all"), benchmark_id, name, "train")
        )
    assert added
    assert [(one.expert, one.subject, one.n_scored, one.n_queries) for one in found] == [
        ("a", "law", 1, 2),
        ("b", "law", 1, 2),
    ]


def test_the_distribution_of_a_test_follows_from_benchmark_and_split(filled: Store) -> None:
    with filled.reading() as connection:
        trained_on = Scope(experts.find_pool(connection, "all"), 1, "bench", "train")
    assert trained_on.distribution("bench", "train") is Distribution.NAIVE
    assert trained_on.distribution("bench", "test") is Distribution.IN_DISTRIBUTION
    assert trained_on.distribution("other", "train") is Distribution.OUT_OF_DISTRIBUTION
