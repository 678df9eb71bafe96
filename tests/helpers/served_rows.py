"""Served decisions of the router of `routing_world`, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.services.routing.snapshot import keep_snapshot
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.routing.served import NewServedDecision, NewServedOutcome


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


def outcome(connection: Connection, id_: str, expert: str = "ann", attempt: int = 1) -> NewServedOutcome:
    """The outcome of an answered request, not stored."""
    return NewServedOutcome(id_, attempt, experts.expert_ids(connection)[expert], 200, None, 9, 3, 0.1, 0.2, 1.0)
