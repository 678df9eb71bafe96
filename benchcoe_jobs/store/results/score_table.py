"""All scores of a benchmark, for computations over many experts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from benchcoe_jobs.domain import Query as DomainQuery
from benchcoe_jobs.domain import Split
from benchcoe_jobs.store.results.joins import QUERIES, QUERY_REFS, QueryRef
from benchcoe_jobs.store.tables import Extraction, Query, QueryContent, Response, Score, Stratum, Subject


def query_refs(connection: Connection, benchmark_id: int, split: str | None = None) -> list[QueryRef]:
    """The queries of a benchmark, or of one of its splits, in the order in which they were added."""
    query = QUERY_REFS.where(Query.benchmark_id == benchmark_id).order_by(Query.id)
    if split is not None:
        query = query.where(Stratum.split == split)
    return [QueryRef(*row) for row in connection.execute(query)]


def scores(
    connection: Connection, benchmark_id: int, expert_ids: Collection[int], split: str | None = None
) -> Iterable[tuple[int, int, float]]:
    """(query id, expert id, score) of some experts on a benchmark, or on one of its splits."""
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


@dataclass(frozen=True, slots=True)
class ScoredQuery:
    """An expert's score on the query at `position` in a list, with token counts and cost of its response.

    The response itself and what was extracted from it are there only if they were asked for.
    """

    position: int
    score: float
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    text: str | None = None
    finish_reason: str | None = None
    extracted: str | None = None
    rule: str | None = None


def queries(connection: Connection, benchmark_id: int) -> list[tuple[int, DomainQuery]]:
    """(id, query) of a benchmark in the order in which they were added, with splits but without images."""
    rows = connection.execute(
        QUERIES.add_columns(QueryContent.source).where(Query.benchmark_id == benchmark_id).order_by(Query.id)
    )
    return [
        (id_, DomainQuery(key, subject, text, tuple(choices), answer, Split(split), source=source))
        for id_, key, subject, split, _, text, choices, answer, source in rows
    ]


def expert_scores(
    connection: Connection,
    benchmark_id: int,
    expert_id: int,
    position: Mapping[int, int],
    *,
    with_responses: bool = False,
) -> list[ScoredQuery]:
    """An expert's scores on a benchmark. `position` maps a query's id to its position in a list."""
    found = (
        select(Score.query_id, Score.value, Response.prompt_tokens, Response.completion_tokens, Response.cost)
        .join(Query, Query.id == Score.query_id)
        .outerjoin(Response, (Response.run_id == Score.run_id) & (Response.query_id == Score.query_id))
        .where(Score.expert_id == expert_id, Query.benchmark_id == benchmark_id)
    )
    if with_responses:
        found = found.add_columns(Response.text, Response.finish_reason, Extraction.answer, Extraction.rule).outerjoin(
            Extraction, (Extraction.expert_id == Score.expert_id) & (Extraction.query_id == Score.query_id)
        )
    rows = connection.execute(found)
    return [ScoredQuery(position[row.query_id], *row[1:]) for row in rows]
