"""Scores with all that is stored about them, in the order of the primary key, for exports."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from benchcoe_jobs.domain import Query as DomainQuery
from benchcoe_jobs.domain import Split
from benchcoe_jobs.store.results.joins import QUERIES
from benchcoe_jobs.store.tables import (
    Extraction,
    Query,
    QueryContent,
    QueryPicture,
    Response,
    Score,
    Stratum,
    Subject,
)

ROWS_AT_ONCE = 5_000


class ScoredRow(NamedTuple):
    """A score of an expert, its query, and its response as far as it is known. `answer` is the extracted one."""

    query_id: int
    key: str
    subject: str
    split: str
    score: float
    response: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    latency_s: float | None
    answer: str | None
    rule: str | None


def scored_rows(
    connection: Connection, benchmark_id: int, expert_id: int, split: str | None = None
) -> Iterator[list[ScoredRow]]:
    """The scores of an expert on a benchmark, or on one of its splits, by query id, in parts of ROWS_AT_ONCE."""
    statement = (
        select(
            Score.query_id,
            Query.key,
            Subject.name,
            Stratum.split,
            Score.value,
            Response.text,
            Response.prompt_tokens,
            Response.completion_tokens,
            Response.cost,
            Response.latency_s,
            Extraction.answer,
            Extraction.rule,
        )
        .join(Query, Query.id == Score.query_id)
        .join(Stratum, Stratum.id == Score.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .outerjoin(Response, (Response.run_id == Score.run_id) & (Response.query_id == Score.query_id))
        .outerjoin(Extraction, (Extraction.expert_id == Score.expert_id) & (Extraction.query_id == Score.query_id))
        .where(Score.expert_id == expert_id, Subject.benchmark_id == benchmark_id)
        .order_by(Score.query_id)
    )
    if split is not None:
        statement = statement.where(Stratum.split == split)
    result = connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE))
    for part in result.partitions():
        yield [ScoredRow._make(row) for row in part]


def contents(connection: Connection, query_ids: Collection[int]) -> dict[int, DomainQuery]:
    """Query id -> query with its split and source, without its images."""
    found = {}
    ids = list(query_ids)
    for start in range(0, len(ids), ROWS_AT_ONCE):
        rows = connection.execute(
            QUERIES.add_columns(QueryContent.source).where(Query.id.in_(ids[start : start + ROWS_AT_ONCE]))
        )
        for id_, key, subject, split, _, text, choices, answer, source in rows:
            found[id_] = DomainQuery(key, subject, text, tuple(choices), answer, Split(split), source=source)
    return found


def query_ids(connection: Connection, benchmark_id: int, split: str | None) -> list[int]:
    """The ids of the queries of a benchmark, or of one of its splits, in the order in which they were added."""
    statement = select(Query.id).where(Query.benchmark_id == benchmark_id).order_by(Query.id)
    if split is not None:
        statement = statement.join(Stratum, Stratum.id == Query.stratum_id).where(Stratum.split == split)
    return list(connection.scalars(statement))


def n_with_images(connection: Connection, benchmark_id: int) -> int:
    """The number of queries of a benchmark that have images."""
    return connection.scalars(
        select(func.count(QueryPicture.query_id.distinct()))
        .join(Query, Query.id == QueryPicture.query_id)
        .where(Query.benchmark_id == benchmark_id)
    ).one()


def n_without_scores(connection: Connection, benchmark_id: int, expert_ids: Sequence[int], split: str | None) -> int:
    """The number of queries of a benchmark, or of one of its splits, on which none of some experts has a score."""
    scored = select(Score.query_id).where(Score.query_id == Query.id, Score.expert_id.in_(expert_ids)).exists()
    statement = (
        select(func.count())
        .select_from(Query)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .where(Query.benchmark_id == benchmark_id, ~scored)
    )
    if split is not None:
        statement = statement.where(Stratum.split == split)
    return connection.scalars(statement).one()
