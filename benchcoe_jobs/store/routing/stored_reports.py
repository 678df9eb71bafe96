"""The stored reports of evaluations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from benchcoe_jobs.store.routing.tables import Evaluation, Router, RoutingSnapshot
from benchcoe_jobs.store.tables import Benchmark


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The newest report of a router on a split of a benchmark, as `evaluate --json` prints it.

    `snapshot` is the fingerprint of the routing snapshot that its decisions were made from; None if a release before
    0.2.0 made them.
    """

    evaluation_id: int
    router: str
    benchmark: str
    split: str
    report: dict[str, Any]
    snapshot: str | None
    created_at: datetime


def newest_reports(connection: Connection, router_ids: Collection[int]) -> list[StoredReport]:
    """The newest report of some routers on each split that they were evaluated on, by router, benchmark and split."""
    newest = (
        select(func.max(Evaluation.id))
        .where(Evaluation.router_id.in_(router_ids), Evaluation.report.is_not(None))
        .group_by(Evaluation.router_id, Evaluation.benchmark_id, Evaluation.split)
    )
    rows = connection.execute(
        select(
            Evaluation.id,
            Router.name,
            Benchmark.name,
            Evaluation.split,
            Evaluation.report,
            RoutingSnapshot.fingerprint,
            Evaluation.created_at,
        )
        .join(Router, Router.id == Evaluation.router_id)
        .join(Benchmark, Benchmark.id == Evaluation.benchmark_id)
        .outerjoin(RoutingSnapshot, RoutingSnapshot.id == Evaluation.snapshot_id)
        .where(Evaluation.id.in_(newest))
        .order_by(Router.name, Benchmark.name, Evaluation.split)
    )
    return [StoredReport(*row) for row in rows if row.report]
