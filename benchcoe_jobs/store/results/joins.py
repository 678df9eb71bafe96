"""The joins of a query with its subject, its stratum and its content, which most reads share."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from benchcoe_jobs.store.tables import Query, QueryContent, Stratum, Subject


@dataclass(frozen=True, slots=True)
class QueryRef:
    """A stored query: its id, its key in the benchmark, and the stratum (subject and split) that it belongs to."""

    id: int
    key: str
    subject: str
    split: str
    stratum_id: int


QUERY_REFS = (
    select(Query.id, Query.key, Subject.name.label("subject"), Stratum.split, Stratum.id.label("stratum_id"))
    .join(Stratum, Stratum.id == Query.stratum_id)
    .join(Subject, Subject.id == Stratum.subject_id)
)
"""The columns of a QueryRef, in its order. It does not read `query_content`, which holds long texts."""

QUERIES = QUERY_REFS.join(QueryContent, QueryContent.query_id == Query.id).add_columns(
    QueryContent.text, QueryContent.choices, QueryContent.answer
)
"""The same with text, choices and answer."""
