"""Rows of `routing_snapshot`, and the artifacts that open jobs need."""

from __future__ import annotations

from pathlib import Path

import routing_world

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.routing import routers, snapshots
from benchcoe_jobs.store.session import Store


def test_a_fingerprint_is_stored_once(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        router = routers.find_router(connection, "r")
        assert snapshots.snapshot_id(connection, "f") is None
        assert snapshots.read_snapshot(connection, "f") is None
        for content in ({"mean": 0.1 + 0.2}, {"mean": 1.0}):
            snapshots.store_snapshot(connection, router, "f", content)
        assert snapshots.read_snapshot(connection, "f") == {"mean": 0.1 + 0.2}, "to the last bit, and the first stays"


def test_artifacts_of_open_jobs(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        router = routers.find_router(connection, "r")
        for fingerprint in ("open", "over", "unused"):
            snapshots.store_snapshot(connection, router, fingerprint, {})
            connection.exec_driver_sql(
                f"UPDATE routing_snapshot SET artifact = '{fingerprint}' WHERE fingerprint = '{fingerprint}'"
            )
        for request in ({"snapshot": "open"}, {"snapshot": "over"}, {"router": "r"}):
            job_id, _ = jobs.open_job(connection, "batch", request)
            if request.get("snapshot") == "over":
                jobs.close_job(connection, job_id, JobState.DONE, None)
        assert snapshots.artifacts_of_open_jobs(connection) == {"open"}
