"""Evaluations: decisions, which are stored before their outcomes are read, and the outcomes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.results.joins import HAS_QUESTION
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.routing.answer_cost import ANSWER_COST
from benchcoe_jobs.store.routing.routers import TrainedRouter
from benchcoe_jobs.store.routing.tables import Decision, Evaluation
from benchcoe_jobs.store.tables import (
    Expert,
    Query,
    QueryContent,
    Response,
    Score,
    ScoreSum,
    Stratum,
    Subject,
)


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to store. `subject` is the predicted one, None at query level."""

    query_id: int
    expert_id: int
    subject: str | None
    fell_back: bool


def store_decisions(
    connection: Connection,
    router: TrainedRouter,
    snapshot: str,
    benchmark_id: int,
    split: str,
    decisions: Sequence[NewDecision],
) -> int:
    """Store an evaluation: the decisions of a router, by its stored snapshot, on a split. Return its id.

    The same decisions from the same snapshot are stored once.
    """
    rows = [(d.query_id, d.expert_id, d.subject, d.fell_back) for d in decisions]
    content = json.dumps([snapshot, benchmark_id, split, rows])
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    by_fingerprint = select(Evaluation.id).where(Evaluation.fingerprint == fingerprint)
    if (stored := connection.scalar(by_fingerprint)) is not None:
        return stored
    values = {
        "fingerprint": fingerprint,
        "router_id": router.id,
        "artifact": router.artifact,
        "snapshot_id": snapshots.snapshot_id(connection, snapshot),
        "benchmark_id": benchmark_id,
        "split": split,
    }
    try:
        with connection.begin_nested():
            new = connection.scalars(insert(Evaluation).values(**values).returning(Evaluation.id)).one()
    except IntegrityError:  # another transaction has stored the same evaluation in the meantime
        return connection.scalars(by_fingerprint).one()
    subjects = catalog.subject_ids(connection, router.scope.benchmark_id)
    columns = ["evaluation_id", "query_id", "expert_id", "subject_id", "fell_back"]
    bulk.insert(
        connection,
        Decision,
        columns,
        ((new, query, expert, subjects.get(subject or ""), fell_back) for query, expert, subject, fell_back in rows),
    )
    return new


def stored_decisions(connection: Connection, evaluation_id: int) -> dict[int, tuple[int, bool]]:
    """Query id -> (expert id, whether it fell back) of every decision of an evaluation."""
    rows = connection.execute(
        select(Decision.query_id, Decision.expert_id, Decision.fell_back).where(Decision.evaluation_id == evaluation_id)
    )
    return {query_id: (expert_id, bool(fell_back)) for query_id, expert_id, fell_back in rows}


class StoredDecision(NamedTuple):
    """A decision: its query, the chosen expert with its score if known, and the predicted subject, if any."""

    key: str
    subject: str
    expert: str
    score: float | None
    predicted: str | None
    fell_back: bool | None
    query_hash: str


def newest_decisions(connection: Connection, router_id: int, benchmark_id: int, split: str) -> list[StoredDecision]:
    """The decisions of a router's newest evaluation on a split, by query id; empty if it has none."""
    newest = (
        select(func.max(Evaluation.id))
        .where(Evaluation.router_id == router_id, Evaluation.benchmark_id == benchmark_id, Evaluation.split == split)
        .scalar_subquery()
    )
    predicted = aliased(Subject)
    rows = connection.execute(
        select(
            Query.key,
            Subject.name,
            Expert.name,
            Score.value,
            predicted.name,
            Decision.fell_back,
            QueryContent.content_hash,
        )
        .select_from(Decision)
        .join(Query, Query.id == Decision.query_id)
        .join(QueryContent, QueryContent.query_id == Query.id)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .join(Expert, Expert.id == Decision.expert_id)
        .outerjoin(predicted, predicted.id == Decision.subject_id)
        .outerjoin(Score, (Score.expert_id == Decision.expert_id) & (Score.query_id == Decision.query_id))
        .where(Decision.evaluation_id == newest)
        .order_by(Decision.query_id)
    )
    return [StoredDecision(*row) for row in rows]


def unscored_decisions(connection: Connection, evaluation_id: int) -> dict[int, list[int]]:
    """Expert id -> the queries that an evaluation decided for it and that it has no score on."""
    rows = connection.execute(
        select(Decision.expert_id, Decision.query_id)
        .outerjoin(Score, (Score.expert_id == Decision.expert_id) & (Score.query_id == Decision.query_id))
        .where(Decision.evaluation_id == evaluation_id, Score.query_id.is_(None))
        .order_by(Decision.expert_id, Decision.query_id)
    )
    found: dict[int, list[int]] = {}
    for expert_id, query_id in rows:
        found.setdefault(expert_id, []).append(query_id)
    return found


def store_report(connection: Connection, evaluation_id: int, report: dict[str, Any]) -> None:
    """Store the report of an evaluation; an earlier one is replaced."""
    connection.execute(update(Evaluation).where(Evaluation.id == evaluation_id).values(report=report))


def score_counts(connection: Connection, benchmark_id: int, split: str, expert_ids: Collection[int]) -> dict[int, int]:
    """Expert id -> number of queries of a split that it has a score on. Experts without a score are left out."""
    rows = connection.execute(
        select(ScoreSum.expert_id, func.sum(ScoreSum.n))
        .join(Stratum, Stratum.id == ScoreSum.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(ScoreSum.expert_id.in_(expert_ids), Subject.benchmark_id == benchmark_id, Stratum.split == split)
        .group_by(ScoreSum.expert_id)
    )
    return {expert_id: int(n) for expert_id, n in rows}


def fully_scored(connection: Connection, benchmark_id: int, split: str, expert_ids: Collection[int]) -> set[int]:
    """Ids of the queries of a split on which each of some experts has a score."""
    rows = connection.scalars(
        select(Score.query_id)
        .join(Stratum, Stratum.id == Score.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(Score.expert_id.in_(expert_ids), Subject.benchmark_id == benchmark_id, Stratum.split == split)
        .group_by(Score.query_id)
        .having(func.count() == len(expert_ids))
    )
    return set(rows)


def outcomes(connection: Connection, benchmark_id: int, split: str, expert_ids: Iterable[int]) -> Iterable[Any]:
    """(query id, expert id, score, cost) of some experts on a split; the cost is `ANSWER_COST`, None if unknown."""
    return connection.execute(
        select(Score.query_id, Score.expert_id, Score.value, ANSWER_COST)
        .join(Stratum, Stratum.id == Score.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .join(Expert, Expert.id == Score.expert_id)
        .outerjoin(Response, (Response.run_id == Score.run_id) & (Response.query_id == Score.query_id))
        .where(
            Score.expert_id.in_(list(expert_ids)),
            Subject.benchmark_id == benchmark_id,
            Stratum.split == split,
        )
    )


def decided(connection: Connection, router_id: int) -> list[tuple[str, int, int]]:
    """(query key, query id, expert id) of every decision in every evaluation of a router, by query id."""
    rows = connection.execute(
        select(Query.key, Decision.query_id, Decision.expert_id)
        .join(Evaluation, Evaluation.id == Decision.evaluation_id)
        .join(Query, Query.id == Decision.query_id)
        .where(Evaluation.router_id == router_id)
        .order_by(Decision.query_id)
    )
    return [(key, query_id, expert_id) for key, query_id, expert_id in rows]


def mean_costs(
    connection: Connection, benchmark_id: int, split: str, expert_ids: Collection[int]
) -> dict[int, float | None]:
    """Expert id -> mean `ANSWER_COST` of its scored answers to a split; None if no answer has a cost.

    Experts without a score are left out.
    """
    rows = connection.execute(
        select(Score.expert_id, func.avg(ANSWER_COST))
        .join(Stratum, Stratum.id == Score.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .join(Expert, Expert.id == Score.expert_id)
        .outerjoin(Response, (Response.run_id == Score.run_id) & (Response.query_id == Score.query_id))
        .where(Score.expert_id.in_(expert_ids), Subject.benchmark_id == benchmark_id, Stratum.split == split)
        .group_by(Score.expert_id)
    )
    return {expert_id: None if cost is None else float(cost) for expert_id, cost in rows}


def seen_in_training(connection: Connection, router: TrainedRouter, benchmark_id: int, split: str) -> int:
    """The number of queries of a split whose content is that of a query of the router's training split.

    Queries without a question do not count: their content is unknown, not equal.
    """
    trained_on = (
        select(QueryContent.content_hash)
        .join(Query, Query.id == QueryContent.query_id)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(Subject.benchmark_id == router.scope.benchmark_id, Stratum.split == router.scope.split)
    )
    count = connection.scalar(
        select(func.count())
        .select_from(Query)
        .join(QueryContent, QueryContent.query_id == Query.id)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(
            Subject.benchmark_id == benchmark_id,
            Stratum.split == split,
            HAS_QUESTION,
            QueryContent.content_hash.in_(trained_on),
        )
    )
    return count or 0
