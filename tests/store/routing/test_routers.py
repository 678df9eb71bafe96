"""Rows of `router`, and the cache of embeddings."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import routing_world
from sqlalchemy import text

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.routing.snapshot import keep_snapshot
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.routing.routers import StoredVectors
from benchcoe_jobs.store.session import Store


def test_a_router_by_name_or_the_only_one(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        found = routers.find_router(connection, "r")
        assert routers.find_router(connection, None) == found == routers.find_router(connection, "r", lock=True)
        assert routers.routers(connection) == [found]
        assert routers.current_artifact(connection, "r") == found.artifact
        assert routers.current_artifact(connection, "q") is None
        assert (found.scope.benchmark, found.scope.split, found.scope.pool.name) == ("toy", "train", "all")


def test_a_replaced_router_keeps_its_id(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.reading() as connection:
        before = routers.find_router(connection, "r")
    routing_world.train(store, tmp_path, pool="bobs")
    with store.reading() as connection:
        after = routers.find_router(connection, "r")
    assert (after.id, after.scope.pool.name) == (before.id, "bobs")
    assert after.label_set != before.label_set


def test_a_router_that_was_read_is_compared_with_its_row(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.reading() as connection:
        before = routers.find_router(connection, "r")
        routers.require_unchanged(connection, before)
    routing_world.train(store, tmp_path, pool="bobs")
    with store.reading() as connection, pytest.raises(routers.ReplacedError, match="'r' was trained again"):
        routers.require_unchanged(connection, before)


def test_earlier_artifacts_are_those_of_snapshots_and_evaluations(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        now = keep_snapshot(connection, "r").router
        assert routers.earlier_artifacts(connection, "r") == set()
        for table in ("routing_snapshot", "evaluation"):
            values = {
                "fingerprint": table,
                "router_id": now.id,
                "artifact": f"routers/r/{table}",
                "created_at": "2026-01-01 00:00:00",
            }
            values |= {"content": "{}"} if table == "routing_snapshot" else {"benchmark_id": 1, "split": "test"}
            names = ", ".join(values)
            connection.execute(
                text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in values)})"), values
            )
        assert routers.earlier_artifacts(connection, "r") == {"routers/r/routing_snapshot", "routers/r/evaluation"}
        assert routers.earlier_artifacts(connection, "q") == set()


def test_the_lock_of_a_name_excludes_another_transaction(store: Store) -> None:
    reached = threading.Event()

    def second() -> None:
        with store.writing() as connection:
            routers.lock_name(connection, "r")
            reached.set()

    waiting = threading.Thread(target=second)
    with store.writing() as connection:
        routers.lock_name(connection, "r")
        waiting.start()
        assert not reached.wait(0.3)
    assert reached.wait(30)
    waiting.join()


def test_messages_name_the_routers_of_the_store(store: Store, tmp_path: Path) -> None:
    with store.reading() as connection:
        with pytest.raises(UsageError, match="unknown router 'r'; the store has none yet: train one with"):
            routers.find_router(connection, "r")
        with pytest.raises(UsageError, match="the store has no routers: train one with `benchcoe-jobs train-router`"):
            routers.find_router(connection, None)
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO router (name, level, kind, pool_id, benchmark_id, split, label_set_id, artifact, n_queries, "
            "created_at) SELECT 'b', level, kind, pool_id, benchmark_id, split, label_set_id, artifact, n_queries, "
            "created_at FROM router"
        )
        with pytest.raises(UsageError, match="the store has 2 routers: name one: b, r"):
            routers.find_router(connection, None)
        with pytest.raises(UsageError, match="unknown router 'q'; the store has b, r"):
            routers.find_router(connection, "q")


def test_targets_are_the_scores_of_eligible_experts(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.reading() as connection:
        rows = list(routers.targets(connection, routers.find_router(connection, "r").scope))
    assert len(rows) == 80
    assert sum(score for *_, score in rows) == 20 * (1.0 + 0.5 + 0.0 + 1.0)


def test_a_stored_vector_stays_and_encoders_are_apart(store: Store) -> None:
    cache = StoredVectors(store)
    cache.put("small", {"a": b"1", "b": b"2"})
    cache.put("small", {"a": b"other"})
    cache.put("large", {"a": b"3"})
    assert cache.get("small", ["b", "a", "c"]) == {"a": b"1", "b": b"2"}
    assert cache.get("large", ["a", *map(str, range(routers.SQL_VARIABLES))]) == {"a": b"3"}
