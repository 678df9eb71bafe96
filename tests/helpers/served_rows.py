"""Served decisions of the router of `routing_world`, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.services.routing.snapshot import keep_snapshot
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.routing import evaluations, snapshots
from benchcoe_jobs.store.routing.evaluations import StoredDecision
from benchcoe_jobs.store.routing.routers import find_router
from benchcoe_jobs.store.routing.served import NewServedDecision, NewServedOutcome
from benchcoe_jobs.store.session import open_store


def snapshot_id(connection: Connection) -> int:
    """The id of the stored snapshot of router `r`."""
    found = snapshots.snapshot_id(connection, keep_snapshot(connection, "r").fingerprint)
    assert found is not None
    return found


def decision(
    connection: Connection, id_: str, expert: str = "ann", chosen: str = "ann", **changes: Any
) -> NewServedDecision:
    """A decision about apples, not stored."""
    ids = experts.expert_ids(connection)
    fields: dict[str, Any] = {
        "id": id_,
        "decided_at": datetime(2026, 11, 1, tzinfo=UTC),
        "snapshot_id": snapshot_id(connection),
        "path": "/v1/chat/completions",
        "prompt_hash": "0" * 64,
        "prompt": "how many apples in case 1",
        "subject": "apples",
        "confidence": 0.9,
        "familiarity": None,
        "fell_back": False,
        "chosen_id": ids[chosen],
        "expert_id": ids[expert],
        "propensity": 1.0,
    }
    return NewServedDecision(**fields | changes)


def newest_evaluation(url: str, benchmark: str) -> dict[str, StoredDecision]:
    """Query key -> the decision of the newest evaluation of the only router, with the score of the chosen expert."""
    store = open_store(url)
    with store.reading() as connection:
        router, (benchmark_id, _) = find_router(connection, None), catalog.find_benchmark(connection, benchmark)
        found = evaluations.newest_decisions(connection, router.id, benchmark_id, "test")
    store.close()
    return {decision.key: decision for decision in found}


def outcome(connection: Connection, id_: str, expert: str = "ann", attempt: int = 1) -> NewServedOutcome:
    """The outcome of an answered request, not stored."""
    return NewServedOutcome(id_, attempt, experts.expert_ids(connection)[expert], 200, None, 9, 3, 0.1, 0.2, 1.0)
