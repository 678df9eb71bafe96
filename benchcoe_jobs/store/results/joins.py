"""The joins of a query with its subject, its stratum and its content, which most reads share.

Two of them name the subject by which the source of a benchmark knows a query, instead of the cluster that
`add-subjects` has put it in: prompts must not change with clusters, and files do not have them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import aliased

from benchcoe_jobs.store.tables import Query, QueryContent, QueryPicture, Stratum, Subject


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

_ORIGIN = aliased(Subject)

SOURCE_REFS = (
    select(
        Query.id,
        Query.key,
        func.coalesce(_ORIGIN.name, Subject.name).label("subject"),
        Stratum.split,
        Stratum.id.label("stratum_id"),
    )
    .join(Stratum, Stratum.id == Query.stratum_id)
    .join(Subject, Subject.id == Stratum.subject_id)
    .outerjoin(_ORIGIN, _ORIGIN.id == Subject.origin_id)
)
"""QUERY_REFS with the subject in the source of the benchmark."""

SOURCE_QUERIES = SOURCE_REFS.join(QueryContent, QueryContent.query_id == Query.id).add_columns(
    QueryContent.text, QueryContent.choices, QueryContent.answer
)
"""QUERIES with the subject in the source of the benchmark."""

HAS_QUESTION = or_(
    QueryContent.text != "",
    select(QueryPicture.query_id).where(QueryPicture.query_id == QueryContent.query_id).exists(),
)
"""Whether the question of a `query_content` is known: a text, or pictures. See `domain.Query.has_question`."""
