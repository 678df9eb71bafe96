"""Random stores of scores, written the way imports do, and the plain ranking that the label views must agree with."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import compress

from hypothesis import strategies as st
from sqlalchemy import exists, select, text

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Base, Benchmark

EXPERTS = ["a", "B", "c", "Ä"]  # names that sort differently by bytes and by locale
VALUES = [0.0, 1.0, 1.0, 0.5, 1 / 3, 0.1]


@dataclass
class World:
    """A random store: queries by subject and split, costs, pools, and each expert's scores."""

    queries: dict[str, tuple[str, str]]
    costs: dict[str, float | None]
    pools: dict[str, tuple[set[str], float]]
    batches: list[tuple[str, dict[str, float]]] = field(default_factory=list)

    @property
    def scores(self) -> dict[tuple[str, str], float]:
        """(expert, query key) -> score, later batches over earlier ones."""
        return {(expert, key): value for expert, batch in self.batches for key, value in batch.items()}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    keys = [f"q{number}" for number in range(draw(st.integers(1, 14)))]
    place = st.tuples(st.sampled_from(["maths", "law"]), st.sampled_from([s.value for s in Split]))
    batch = st.tuples(
        st.sampled_from(EXPERTS),
        st.dictionaries(st.sampled_from(keys), st.sampled_from(VALUES), min_size=1)
        | st.fixed_dictionaries({k: st.sampled_from(VALUES) for k in keys}),
    )
    return World(
        queries={key: draw(place) for key in keys},
        costs={expert: draw(st.sampled_from([None, 1.0, 2.0])) for expert in EXPERTS},
        pools={
            "all": (set(EXPERTS), draw(st.sampled_from([0.95, 0.5]))),
            "few": (draw(st.sets(st.sampled_from(EXPERTS))), draw(st.sampled_from([1.0, 0.3]))),
        },
        batches=draw(st.lists(batch, max_size=7)),
    )


def clear(store: Store) -> None:
    tables = list(reversed(Base.metadata.sorted_tables))
    with store.writing() as connection:
        filled = connection.execute(select(*(exists(select(1).select_from(table)) for table in tables))).one()
        for table in compress(tables, filled):
            connection.execute(table.delete())
        connection.execute(text("INSERT INTO pool (name, min_coverage) VALUES ('all', 0.95)"))


def fill(store: Store, world: World) -> None:
    """Write a world the way imports do: experts, pools, queries, then batch after batch of scores."""
    with store.writing() as connection:
        for expert, cost in world.costs.items():
            experts.add_expert(connection, experts.ExpertRow(expert, "recorded", cost=cost))
        benchmark_id = catalog.ensure_benchmark(connection, "bench")
        catalog.add_queries(
            connection,
            benchmark_id,
            [
                Query(key, subject, f"text of {key}", split=Split(split))
                for key, (subject, split) in world.queries.items()
            ],
        )
        for pool, (members, coverage) in world.pools.items():
            if pool != "all":
                experts.change_pool(connection, pool, add=sorted(members))
            experts.set_min_coverage(connection, experts.find_pool(connection, pool), coverage)
    for number, (expert, batch) in enumerate(world.batches):
        write(store, expert, batch, number)


def write(store: Store, expert: str, batch: dict[str, float], number: int = 0) -> None:
    with store.writing() as connection:
        benchmark_id = connection.scalars(select(Benchmark.id)).one()
        expert_id = experts.find_expert(connection, expert)
        stored = catalog.stored_queries(connection, benchmark_id)
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"batch": number})
        scores = [NewScore(stored[key].id, stored[key].stratum_id, value) for key, value in batch.items()]
        responses.write_scores(connection, expert_id, run_id, scores)
        changed = {(expert_id, score.stratum_id) for score in scores}
        if number % 2:
            aggregates.refresh(connection, [benchmark_id], changed)
        else:
            aggregates.refresh_strata(connection, changed)


def mean(values: list[float]) -> Fraction:
    """As exact as the store: scores are summed in micro-units."""
    return Fraction(sum(round(value * 1_000_000) for value in values), len(values) * 1_000_000)


def ranking(world: World, pool: str, subject: str, split: str) -> list[tuple[str, Fraction]]:
    members, coverage = world.pools[pool]
    keys = [key for key, place in world.queries.items() if place == (subject, split)]
    found = []
    for expert in members:
        values = [world.scores[expert, key] for key in keys if (expert, key) in world.scores]
        if values and len(values) >= coverage * len(keys) - 1e-6:
            found.append((expert, mean(values)))
    cost = world.costs
    return sorted(found, key=lambda pair: (-pair[1], cost[pair[0]] is None, cost[pair[0]] or 0, pair[0].encode()))


def is_unearned(ranked: list[tuple[str, Fraction]]) -> bool:
    """Whether no expert earns the label of a ranking: the best mean is 0, or all of several means are equal."""
    means = [value for _, value in ranked]
    return means[0] == 0 or (len(means) > 1 and means[0] == means[-1])
