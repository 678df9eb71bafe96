"""Served decisions: which expert a request goes to, what became of it, and the score that a client reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.routing.tables import RoutingSnapshot, ServedDecision, ServedOutcome, ServedScore
from benchcoe_jobs.store.tables import Expert, now


@dataclass(frozen=True, slots=True)
class NewServedDecision:
    """A row of `served_decision`; docs/store.md describes the columns."""

    id: str
    decided_at: datetime
    snapshot_id: int
    path: str
    prompt_hash: str
    prompt: str | None
    subject: str | None
    confidence: float
    familiarity: float | None
    fell_back: bool
    chosen_id: int
    expert_id: int
    propensity: float | None


@dataclass(frozen=True, slots=True)
class NewServedOutcome:
    """A row of `served_outcome`; docs/store.md describes the columns."""

    decision_id: str
    attempt: int
    expert_id: int
    status: int
    failure: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    first_byte_s: float | None
    latency_s: float
    cost: float | None


def store_served(
    connection: Connection, decisions: Sequence[NewServedDecision], outcomes: Sequence[NewServedOutcome]
) -> None:
    """Store decisions, then outcomes of these and of earlier ones. A row that is stored already is skipped."""
    bulk.insert_few(connection, ServedDecision, [_columns(one) for one in decisions])
    bulk.insert_few(connection, ServedOutcome, [_columns(one) for one in outcomes])


def _columns(row: NewServedDecision | NewServedOutcome) -> dict[str, Any]:
    """A row by its columns. `asdict` would copy each value."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def store_score(connection: Connection, decision_id: str, value: float, source: str | None) -> bool:
    """Store the score of an answer, in [0, 1], in place of an earlier one. False if there is no such decision."""
    if connection.scalar(select(ServedDecision.id).where(ServedDecision.id == decision_id)) is None:
        return False
    row = (decision_id, value, source, now())
    bulk.insert(connection, ServedScore, ["decision_id", "value", "source", "scored_at"], [row], replace=True)
    return True


class ScoredDecision(NamedTuple):
    """A served decision whose answer was scored, with the names of the experts."""

    prompt: str | None
    subject: str | None
    chosen: str
    expert: str
    propensity: float | None
    score: float


def scored_decisions(connection: Connection, router_id: int) -> list[ScoredDecision]:
    """The scored decisions of a router, the earliest first.

    An answer of a substitute is left out: its expert was not drawn with the propensity of the decision.
    """
    chosen = select(Expert.id, Expert.name).subquery()
    substituted = select(ServedOutcome.decision_id).where(ServedOutcome.attempt > 1)
    rows = connection.execute(
        select(
            ServedDecision.prompt,
            ServedDecision.subject,
            chosen.c.name,
            Expert.name,
            ServedDecision.propensity,
            ServedScore.value,
        )
        .join(ServedScore, ServedScore.decision_id == ServedDecision.id)
        .join(RoutingSnapshot, RoutingSnapshot.id == ServedDecision.snapshot_id)
        .join(Expert, Expert.id == ServedDecision.expert_id)
        .join(chosen, chosen.c.id == ServedDecision.chosen_id)
        .where(RoutingSnapshot.router_id == router_id, ServedDecision.id.not_in(substituted))
        .order_by(ServedDecision.decided_at, ServedDecision.id)
    )
    return [ScoredDecision(*row) for row in rows]


def n_decisions(connection: Connection, router_id: int) -> int:
    """The number of served decisions of a router."""
    found = (
        select(func.count())
        .select_from(ServedDecision)
        .join(RoutingSnapshot, RoutingSnapshot.id == ServedDecision.snapshot_id)
        .where(RoutingSnapshot.router_id == router_id)
    )
    return connection.scalar(found) or 0
