"""Rows of `routing_snapshot`: what the decisions of a job depend on, as it was when the job was submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.store.job_queue.tables import Job
from benchcoe_jobs.store.routing.routers import TrainedRouter
from benchcoe_jobs.store.routing.tables import Evaluation, Router, RoutingSnapshot, ServedDecision


def store_snapshot(connection: Connection, router: TrainedRouter, fingerprint: str, content: Mapping[str, Any]) -> None:
    """Store a snapshot of a router. A fingerprint is stored once."""
    if snapshot_id(connection, fingerprint) is not None:
        return
    values = {
        "fingerprint": fingerprint,
        "router_id": router.id,
        "artifact": router.artifact,
        "content": dict(content),
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(RoutingSnapshot).values(**values))
    except IntegrityError:  # another transaction has stored the same snapshot in the meantime
        return


def snapshot_id(connection: Connection, fingerprint: str) -> int | None:
    """The id of a stored snapshot, or None."""
    return connection.scalar(select(RoutingSnapshot.id).where(RoutingSnapshot.fingerprint == fingerprint))


def read_snapshot(connection: Connection, fingerprint: str) -> dict[str, Any] | None:
    """The content of a stored snapshot, or None."""
    return connection.scalar(select(RoutingSnapshot.content).where(RoutingSnapshot.fingerprint == fingerprint))


def remove_unused(connection: Connection) -> None:
    """Delete the snapshots that no job, no evaluation and no served decision names.

    The routers are locked first, as a transaction does that opens a job: a snapshot that it has just found stays.
    """
    connection.execute(select(Router.id).order_by(Router.id).with_for_update())
    connection.execute(delete(RoutingSnapshot).where(_unused()))


def routers_of_unused(connection: Connection) -> list[str]:
    """The names of the routers of these snapshots."""
    names = select(Router.name).join(RoutingSnapshot, RoutingSnapshot.router_id == Router.id).where(_unused())
    return list(connection.scalars(names.distinct().order_by(Router.name)))


def _unused() -> ColumnElement[bool]:
    named = select(Job.request["snapshot"].as_string()).where(Job.request["snapshot"].as_string().is_not(None))
    evaluated = select(Evaluation.snapshot_id).where(Evaluation.snapshot_id.is_not(None))
    served = select(ServedDecision.snapshot_id)
    return (
        RoutingSnapshot.fingerprint.not_in(named)
        & RoutingSnapshot.id.not_in(evaluated)
        & RoutingSnapshot.id.not_in(served)
    )


def artifacts_of_open_jobs(connection: Connection) -> set[str]:
    """The artifacts, as in `router.artifact`, of every snapshot that the request of an open job names."""
    named = select(Job.request["snapshot"].as_string()).where(Job.state == JobState.OPEN)
    return set(connection.scalars(select(RoutingSnapshot.artifact).where(RoutingSnapshot.fingerprint.in_(named))))
