"""Evaluations: decisions, stored before their outcomes are looked up, and the outcomes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, select, update

from benchcoe_jobs.store import bulk, catalog
from benchcoe_jobs.store.routers import TrainedRouter
from benchcoe_jobs.store.tables import (
    Decision,
    Evaluation,
    Expert,
    Query,
    QueryContent,
    Response,
    Score,
    ScoreSum,
    Stratum,
    Subject,
)


def _bill(tokens: Any, price: Any) -> Any:
    """Tokens by their price; nothing where they have none, unknown where nobody counted them."""
    return case((price.is_(None), 0.0), else_=tokens * price / 1e6)


_TOKENS = _bill(Response.prompt_tokens, Expert.price_in) + _bill(Response.completion_tokens, Expert.price_out)

# Of one answer: as recorded, else its tokens by their prices, else its seconds by theirs, else what a query
# costs with this expert. The latency of an answer out of a batch is the batch's, and counts in full.
_COST = func.coalesce(
    Response.cost,
    case((func.coalesce(Expert.price_in, Expert.price_out).is_not(None), _TOKENS)),
    Response.latency_s * Expert.price_gpu_second,
    Expert.cost,
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
    """(query id, expert id, score, cost or None) of some experts on a split, the cost as in `_COST`."""
    return connection.execute(
        select(Score.query_id, Score.expert_id, Score.value, _COST)
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
    """Expert id -> mean cost of its answers to a split, as in `_COST`; None where no answer has one."""
    rows = connection.execute(
        select(Score.expert_id, func.avg(_COST))
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
