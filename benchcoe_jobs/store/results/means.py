"""Means of experts: of their scores by subject, and of the tokens of their answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from benchcoe_jobs.store.tables import Expert, Response, Score, Stratum, Subject
from benchcoe_jobs.store.views import expert_subject_score, pool_expert


class SubjectMean(NamedTuple):
    """The mean score of an expert on a subject: measured over `n` queries of a split, or reported (`n` may be None)."""

    expert: str
    subject: str
    mean: float
    n: int | None
    source: str


def subject_means(connection: Connection, pool_id: int, benchmark_id: int, split: str) -> list[SubjectMean]:
    """The means of a pool's experts on the subjects of a split, by expert and subject."""
    c = expert_subject_score.c
    rows = connection.execute(
        select(Expert.name, Subject.name, c.mean, c.n, c.source)
        .join(pool_expert, pool_expert.c.expert_id == c.expert_id)
        .join(Expert, Expert.id == c.expert_id)
        .join(Subject, Subject.id == c.subject_id)
        .where(pool_expert.c.pool_id == pool_id, Subject.benchmark_id == benchmark_id, c.split == split)
        .order_by(Expert.name, Subject.name)
    )
    return [SubjectMean(*row) for row in rows]


def subject_sizes(connection: Connection, benchmark_id: int, split: str) -> dict[str, int]:
    """Subject name -> its number of queries in a split, for the subjects that have some; by name."""
    rows = connection.execute(
        select(Subject.name, Stratum.n_queries)
        .join(Stratum, Stratum.subject_id == Subject.id)
        .where(Subject.benchmark_id == benchmark_id, Stratum.split == split, Stratum.n_queries > 0)
        .order_by(Subject.name)
    )
    return dict(rows.all())


class MeanTokens(NamedTuple):
    """The mean numbers of tokens that an expert read and wrote for an answer; None if they were not counted."""

    read: float | None
    written: float | None


def mean_tokens(
    connection: Connection, benchmark_id: int, split: str, expert_ids: Collection[int]
) -> dict[int, MeanTokens]:
    """Expert id -> the mean tokens of its scored answers to a split. Experts without a score are left out."""
    rows = connection.execute(
        select(Score.expert_id, func.avg(Response.prompt_tokens), func.avg(Response.completion_tokens))
        .join(Stratum, Stratum.id == Score.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .outerjoin(Response, (Response.run_id == Score.run_id) & (Response.query_id == Score.query_id))
        .where(Score.expert_id.in_(expert_ids), Subject.benchmark_id == benchmark_id, Stratum.split == split)
        .group_by(Score.expert_id)
    )
    return {
        expert_id: MeanTokens(*(None if value is None else float(value) for value in values))
        for expert_id, *values in rows
    }
