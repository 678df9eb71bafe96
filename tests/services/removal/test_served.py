"""Old served decisions are removed, a part at a time; a running service goes on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import routing_world
import served_rows
from sqlalchemy import select

from benchcoe_jobs.services.removal import served as removal
from benchcoe_jobs.store.routing import served
from benchcoe_jobs.store.routing.tables import RoutingSnapshot, ServedDecision, ServedOutcome, ServedScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import now


def test_old_decisions_go_with_what_belongs_to_them(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_AT_ONCE", 2)
    routing_world.fill(store, tmp_path)
    days = {f"d{n}": n for n in range(10)}
    with store.writing() as connection:
        rows = [served_rows.decision(connection, id_, decided_at=now() - timedelta(n)) for id_, n in days.items()]
        served.store_served(connection, rows, [served_rows.outcome(connection, id_) for id_ in days])
        for id_ in days:
            served.store_score(connection, id_, 1.0, None)
    assert removal.n_served(store, timedelta(days=6)) == 4
    assert removal.remove_served(store, timedelta(days=6)) == 4
    with store.reading() as connection:
        for column in (ServedDecision.id, ServedOutcome.decision_id, ServedScore.decision_id):
            assert list(connection.scalars(select(column).order_by(column))) == [f"d{n}" for n in range(6)]
        assert connection.scalar(select(RoutingSnapshot.id)) is not None
    assert removal.remove_served(store, timedelta(days=6)) == 0
