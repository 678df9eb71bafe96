"""Remove routers with their evaluations and served decisions, and label sets that no router was trained on."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from benchcoe_jobs.store.removal.tally import Removal
from benchcoe_jobs.store.routing.tables import (
    Decision,
    Evaluation,
    Router,
    RoutingSnapshot,
    ServedDecision,
    ServedOutcome,
    ServedScore,
)
from benchcoe_jobs.store.tables import FrozenQueryLabel, FrozenSubjectLabel, LabelSet


def remove_router(connection: Connection, router_id: int) -> tuple[Removal, set[str]]:
    """Delete a router with all that was decided by it. Returns the names of its artifacts as well.

    The caller has made sure that no open job uses it.
    """
    removal = Removal()
    evaluations = select(Evaluation.id).where(Evaluation.router_id == router_id)
    artifacts = {
        artifact
        for found in (
            select(Router.artifact).where(Router.id == router_id),
            select(Evaluation.artifact).where(Evaluation.router_id == router_id),
            select(RoutingSnapshot.artifact).where(RoutingSnapshot.router_id == router_id),
        )
        for artifact in connection.scalars(found)
    }
    removal.delete(connection, delete(Decision).where(Decision.evaluation_id.in_(evaluations)))
    removal.delete(connection, delete(Evaluation).where(Evaluation.router_id == router_id))
    snapshots = select(RoutingSnapshot.id).where(RoutingSnapshot.router_id == router_id)
    served = select(ServedDecision.id).where(ServedDecision.snapshot_id.in_(snapshots))
    for table in (ServedScore, ServedOutcome):
        connection.execute(delete(table).where(table.decision_id.in_(served)))
    removal.delete(connection, delete(ServedDecision).where(ServedDecision.snapshot_id.in_(snapshots)))
    connection.execute(delete(RoutingSnapshot).where(RoutingSnapshot.router_id == router_id))
    removal.delete(connection, delete(Router).where(Router.id == router_id))
    return removal, artifacts


def find_label_set(connection: Connection, name: str) -> list[tuple[int, str, int]]:
    """(id, fingerprint, benchmark id) of the label sets whose fingerprint begins with a name of at least 6 digits."""
    if len(name) < 6 or not name.isalnum():
        return []
    found = select(LabelSet.id, LabelSet.fingerprint, LabelSet.benchmark_id)
    return [(*row,) for row in connection.execute(found.where(LabelSet.fingerprint.startswith(name)))]


def routers_trained_on(connection: Connection, label_set_id: int) -> list[str]:
    """The names of the routers that were trained on a label set."""
    names = select(Router.name).where(Router.label_set_id == label_set_id).order_by(Router.name)
    return list(connection.scalars(names))


def remove_label_sets(connection: Connection, ids: list[int], removal: Removal) -> None:
    """Delete label sets with their labels."""
    for table in (FrozenSubjectLabel, FrozenQueryLabel):
        connection.execute(delete(table).where(table.label_set_id.in_(ids)))
    removal.delete(connection, delete(LabelSet).where(LabelSet.id.in_(ids)))
