"""PostgreSQL has several writers: the same thing done at the same time is done once. SQLite does it in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import pytest
from sqlalchemy import Connection, func, select

from benchcoe_jobs.domain import Level, Query
from benchcoe_jobs.store.job_queue import workers
from benchcoe_jobs.store.labels.label_sets import freeze
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.experts import ExpertRow, Registration
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Benchmark, LabelSet, PoolMember, Stratum
from benchcoe_jobs.store.tables import Query as QueryTable

Made = TypeVar("Made")
N = 4


def together(store: Store, write: Callable[[Connection], Made]) -> list[Made]:
    """Run a write in several transactions that begin before any of them ends."""
    begun = threading.Barrier(N, timeout=30)

    def run(_: int) -> Made:
        if store.is_sqlite:
            begun.wait()
        with store.writing() as connection:
            if not store.is_sqlite:  # SQLite lets one transaction begin
                connection.execute(select(1))
                begun.wait()
            return write(connection)

    with ThreadPoolExecutor(N) as pool:
        return list(pool.map(run, range(N)))


def test_label_sets(store: Store) -> None:
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "quiz")
        scope = Scope(experts.find_pool(connection, "all"), benchmark_id, "quiz", "train")
    found = together(store, lambda connection: freeze(connection, Level.SUBJECT, scope))
    assert sorted(labels.created for labels in found) == [False] * (N - 1) + [True]
    assert len({labels.id for labels in found}) == 1
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(LabelSet)) == 1


def test_experts(store: Store) -> None:
    found = together(store, partial(experts.add_expert, expert=ExpertRow("ann", "recorded")))
    assert sorted(found) == sorted([Registration.NEW] + [Registration.UNCHANGED] * (N - 1))


def test_pools_and_their_members(store: Store) -> None:
    with store.writing() as connection:
        experts.add_expert(connection, ExpertRow("ann", "recorded"))
    together(store, lambda connection: experts.change_pool(connection, "pair", add=["ann"]))
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(PoolMember)) == 1


def test_workers(store: Store) -> None:
    together(store, lambda connection: workers.heartbeat(connection, "w@host", ["cpu"], None))
    with store.reading() as connection:
        assert [worker.name for worker in workers.workers(connection)] == ["w@host"]


@pytest.mark.parametrize("is_new", [True, False], ids=["a new benchmark", "a known benchmark"])
def test_imports_count_each_query_once(store: Store, is_new: bool) -> None:
    if not is_new:
        with store.writing() as connection:
            catalog.ensure_benchmark(connection, "quiz")

    def add(connection: Connection) -> int:
        benchmark_id = catalog.ensure_benchmark(connection, "quiz")
        stored = catalog.stored_queries(connection, benchmark_id)
        queries = [Query(str(key), "law", f"what about {key}?") for key in range(20)]
        return len(
            catalog.add_queries(connection, benchmark_id, [query for query in queries if query.key not in stored])
        )

    assert sorted(together(store, add)) == [0] * (N - 1) + [20]
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(Benchmark)) == 1
        assert connection.scalar(select(func.count()).select_from(QueryTable)) == 20
        assert connection.scalar(select(func.sum(Stratum.n_queries))) == 20
