"""Evaluations: decisions, stored before their outcomes are looked up, and the outcomes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results import catalog
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


def store_decisions(
    connection: Connection,
    router: TrainedRouter,
    benchmark_id: int,
    split: str,
    fingerprint: str,
    decisions: Iterable[tuple[int, int, str | None]],
) -> int:
    """Keep (query id, expert id, predicted subject or None) of an evaluation; returns its id.

    The same evaluation (fingerprint) is kept once.
    """
    by_fingerprint = select(Evaluation.id).where(Evaluation.fingerprint == fingerprint)
    evaluation_id = connection.scalar(by_fingerprint)
    if evaluation_id is None:
        connection.execute(
            insert(Evaluation).values(
                fingerprint=fingerprint,
                router_id=router.id,
                artifact=router.artifact,
                benchmark_id=benchmark_id,
                split=split,
            )
        )
        evaluation_id = connection.scalars(by_fingerprint).one()
    connection.execute(delete(Decision).where(Decision.evaluation_id == evaluation_id))
    subjects = catalog.subject_ids(connection, router.scope.benchmark_id)
    rows = ((evaluation_id, query, expert, subjects.get(subject or "")) for query, expert, subject in decisions)
    bulk.insert(connection, Decision, ["evaluation_id", "query_id", "expert_id", "subject_id"], rows)
    return evaluation_id


def undecided(connection: Connection, evaluation_id: int) -> dict[int, list[int]]:
    """Expert id -> the queries that were decided for it in an evaluation and that it has no score on."""
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
    """Keep what an evaluation found."""
    connection.execute(update(Evaluation).where(Evaluation.id == evaluation_id).values(report=report))


def score_counts(connection: Connection, benchmark_id: int, split: str, expert_ids: Collection[int]) -> dict[int, int]:
    """Expert id -> how many queries of a split it has a score on."""
    rows = connection.execute(
        select(ScoreSum.expert_id, func.sum(ScoreSum.n))
        .join(Stratum, Stratum.id == ScoreSum.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(ScoreSum.expert_id.in_(expert_ids), Subject.benchmark_id == benchmark_id, Stratum.split == split)
        .group_by(ScoreSum.expert_id)
    )
    return {expert_id: int(n) for expert_id, n in rows}


def fully_scored(connection: Connection, benchmark_id: int, split: str, expert_ids: Collection[int]) -> set[int]:
    """Ids of the queries of a split that every one of some experts has a score on."""
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
    """(query id, expert id, score, cost or None) of some experts on a split, the cost as in `ANSWER_COST`."""
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
    """(query key, query id, expert id) of every decision in a router's evaluations."""
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
    """Expert id -> mean cost of its answers to a split, as in `ANSWER_COST`; None where no answer has one."""
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
    """How many queries of a split have the very content of a query that the router was trained on."""
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
            QueryContent.content_hash.in_(trained_on),
        )
    )
    return count or 0
