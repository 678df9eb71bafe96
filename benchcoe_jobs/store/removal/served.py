"""Remove served decisions with their outcomes and scores."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from benchcoe_jobs.store.routing.tables import ServedDecision, ServedOutcome, ServedScore


def n_served_before(connection: Connection, moment: datetime) -> int:
    """The number of decisions before a moment."""
    found = select(func.count()).select_from(ServedDecision).where(ServedDecision.decided_at < moment)
    return connection.scalar(found) or 0


def remove_served_before(connection: Connection, moment: datetime, most: int) -> int:
    """Delete the earliest decisions before a moment, at most `most`. Returns their number.

    Snapshots stay: a running service names its own with each decision.
    """
    if connection.dialect.name == "sqlite":  # deleted texts would stay readable in the file's free pages
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    earliest = select(ServedDecision.id).where(ServedDecision.decided_at < moment)
    ids = list(connection.scalars(earliest.order_by(ServedDecision.decided_at).limit(most)))
    for table in (ServedScore, ServedOutcome):
        connection.execute(delete(table).where(table.decision_id.in_(ids)))
    return connection.execute(delete(ServedDecision).where(ServedDecision.id.in_(ids))).rowcount
