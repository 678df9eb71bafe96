"""What prompts are made of: a benchmark's queries in the order in which they are run, their content, and shots.

The subject of a query is that of its source, which official prompts name.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, select

from benchcoe_jobs.domain import Query as DomainQuery
from benchcoe_jobs.store.results import pictures
from benchcoe_jobs.store.results.joins import HAS_QUESTION, SOURCE_QUERIES, SOURCE_REFS, QueryRef
from benchcoe_jobs.store.tables import Query, QueryContent, Stratum, Subject


def promptable(connection: Connection, benchmark_id: int, split: str | None, limit: int | None) -> list[QueryRef]:
    """The queries with a question, of one split or of all, sorted by subject and id.

    They are sorted by subject because the prompts of a subject share a prefix, which engines cache. `limit` selects
    the first queries in the order of their content hashes: a sample of all subjects, of which a larger limit is a
    superset.
    """
    chosen = (
        SOURCE_REFS.join(QueryContent, QueryContent.query_id == Query.id)
        .where(Query.benchmark_id == benchmark_id, HAS_QUESTION)
        .order_by(QueryContent.content_hash, Query.id)
        .limit(limit)
    )
    if split is not None:
        chosen = chosen.where(Stratum.split == split)
    return _by_subject(connection, chosen)


def by_id(connection: Connection, query_ids: Collection[int]) -> list[QueryRef]:
    """Some queries, sorted by subject and id."""
    return _by_subject(connection, SOURCE_REFS.where(Query.id.in_(query_ids)))


def contents(connection: Connection, query_ids: Collection[int]) -> dict[int, DomainQuery]:
    """Query id -> query with its images, as engines and scorers need it; without its split."""
    images = pictures.of_queries(connection, query_ids)
    rows = connection.execute(SOURCE_QUERIES.where(Query.id.in_(query_ids)))
    return {
        id_: DomainQuery(key, subject, text, tuple(choices), answer, images=images.get(id_, ()))
        for id_, key, subject, _, _, text, choices, answer in rows
    }


def stored_shots(connection: Connection, benchmark_id: int) -> dict[str, dict[str, Any]]:
    """Subject -> its worked examples. Subjects without any are left out."""
    rows = connection.execute(
        select(Subject.name, Subject.shots).where(Subject.benchmark_id == benchmark_id).order_by(Subject.name)
    )
    return {name: shots for name, shots in rows if shots is not None}


def _by_subject(connection: Connection, chosen: Select[int, str, str, str, int]) -> list[QueryRef]:
    return sorted((QueryRef(*row) for row in connection.execute(chosen)), key=lambda query: (query.subject, query.id))
