"""All scores of a benchmark at once, for what is computed over many experts together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from benchcoe_jobs.store.tables import Query, Score, Stratum, Subject


@dataclass(frozen=True, slots=True)
class Place:
    """Where a query stands."""

    id: int
    key: str
    subject: str
    split: str
    stratum_id: int


def places(connection: Connection, benchmark_id: int, split: str | None = None) -> list[Place]:
    """The queries of a benchmark, or of one split of it, in the order in which they came."""
    query = (
        select(Query.id, Query.key, Subject.name, Stratum.split, Stratum.id)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(Query.benchmark_id == benchmark_id)
        .order_by(Query.id)
    )
    if split is not None:
        query = query.where(Stratum.split == split)
    return [Place(*row) for row in connection.execute(query)]


def scores(
    connection: Connection, benchmark_id: int, expert_ids: Collection[int], split: str | None = None
) -> Iterable[tuple[int, int, float]]:
    """(query id, expert id, score) of some experts on a benchmark, or on one split of it."""
    strata = select(Stratum.id).join(Subject, Subject.id == Stratum.subject_id)
    strata = strata.where(Subject.benchmark_id == benchmark_id)
    if split is not None:
        strata = strata.where(Stratum.split == split)
    rows = connection.execute(
        select(Score.query_id, Score.expert_id, Score.value).where(
            Score.expert_id.in_(expert_ids), Score.stratum_id.in_(strata)
        )
    )
    return ((query_id, expert_id, value) for query_id, expert_id, value in rows)
