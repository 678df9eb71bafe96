"""What names an expert or a benchmark, and has to be removed before it."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, union

from benchcoe_jobs.store.job_queue.tables import BatchLine
from benchcoe_jobs.store.routing.tables import (
    Decision,
    Evaluation,
    Router,
    RoutingSnapshot,
    ServedDecision,
    ServedOutcome,
)
from benchcoe_jobs.store.tables import FrozenQueryLabel, FrozenSubjectLabel, LabelSet


def routers_on(connection: Connection, benchmark_id: int) -> list[str]:
    """The names of the routers that were trained or evaluated on a benchmark."""
    evaluated = select(Router.name).join(Evaluation, Evaluation.router_id == Router.id)
    found = union(
        select(Router.name).where(Router.benchmark_id == benchmark_id),
        evaluated.where(Evaluation.benchmark_id == benchmark_id),
    )
    return sorted(connection.scalars(found))


def routers_with(connection: Connection, expert_id: int) -> list[str]:
    """The names of the routers that were trained on labels of an expert, or that chose it or sent a request to it."""
    evaluations = select(Decision.evaluation_id).where(Decision.expert_id == expert_id)
    substituted = select(ServedOutcome.decision_id).where(ServedOutcome.expert_id == expert_id)
    served = select(ServedDecision.snapshot_id).where(
        or_(
            ServedDecision.chosen_id == expert_id,
            ServedDecision.expert_id == expert_id,
            ServedDecision.id.in_(substituted),
        )
    )
    found = union(
        select(Router.name).where(Router.label_set_id.in_(_label_sets(expert_id))),
        select(Router.name).join(Evaluation, Evaluation.router_id == Router.id).where(Evaluation.id.in_(evaluations)),
        select(Router.name)
        .join(RoutingSnapshot, RoutingSnapshot.router_id == Router.id)
        .where(RoutingSnapshot.id.in_(served)),
    )
    return sorted(connection.scalars(found))


def label_sets_with(connection: Connection, expert_id: int) -> list[str]:
    """The fingerprints of the label sets that name an expert, the oldest first."""
    found = select(LabelSet.fingerprint).where(LabelSet.id.in_(_label_sets(expert_id)))
    return list(connection.scalars(found.order_by(LabelSet.id)))


def batches_with(connection: Connection, expert_id: int) -> list[int]:
    """The jobs of submitted files that have lines of an expert."""
    found = select(BatchLine.job_id).where(BatchLine.expert_id == expert_id).distinct()
    return sorted(connection.scalars(found))


def _label_sets(expert_id: int):  # type: ignore[no-untyped-def]
    return union(*(select(table.label_set_id).where(table.expert_id == expert_id) for table in _FROZEN))


_FROZEN = (FrozenSubjectLabel, FrozenQueryLabel)
