"""Where profiling stopped early: the estimate of a stratum, and the rounds of a job that lead to one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import JSON, Connection, Double, ForeignKey, Integer, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from benchcoe_jobs.domain import ALL_POOL, Source
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.tables import Base, Expert, PoolRank, ScoreSum, Stratum, Subject
from benchcoe_jobs.store.views import expert_rank, expert_subject_score, pool_expert, subject_label


class StratumEstimate(Base):
    """The mean score of an expert in a stratum, estimated from a random part of its queries.

    The views use it while the expert has scores for less than 95 % of the stratum.
    """

    __tablename__ = "stratum_estimate"
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"), primary_key=True)
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), primary_key=True)
    n: Mapped[int] = mapped_column(Integer)
    mean: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    confidence: Mapped[float] = mapped_column(Double)


class SettlingRound(Base):
    """Queries of a stratum that a stage of a job drew, and what was known when they were drawn."""

    __tablename__ = "settling_round"
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    stage: Mapped[int] = mapped_column(Integer, primary_key=True)
    stratum_id: Mapped[int] = mapped_column(ForeignKey("stratum.id"), primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)


class SubjectState(NamedTuple):
    """An expert on a subject: `n` of its `n_queries` queries have a score, and its mean is between `low` and `high`.

    `settled` is whether the mean is an estimate, because profiling stopped early. `label` is the expert that is the
    label of the subject in the pool `all`; None if no expert earns it.
    """

    subject: str
    n: int
    n_queries: int
    mean: float
    low: float
    high: float
    settled: bool
    label: str | None


class HeldEstimate(NamedTuple):
    """Bounds on the mean of an expert in a stratum, each of which holds with the confidence."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class RivalRow:
    """The best other experts of a pool in a stratum: at least one has a mean of `low`, none has one above `high`."""

    pool_id: int
    stratum_id: int
    low: float
    high: float


def store_estimate(connection: Connection, expert_id: int, stratum_id: int, **values: Any) -> None:
    """Store the estimate of an expert in a stratum in place of an earlier one. The caller refreshes the labels."""
    key = (StratumEstimate.expert_id == expert_id, StratumEstimate.stratum_id == stratum_id)
    connection.execute(delete(StratumEstimate).where(*key))
    bulk.insert_new(connection, StratumEstimate, expert_id=expert_id, stratum_id=stratum_id, **values)


def forget_estimates(connection: Connection, pairs: Collection[tuple[int, int]]) -> None:
    """Delete the estimates of some (expert id, stratum id), whose scores no longer are those of a random part."""
    for expert_id, group in groupby(sorted(pairs), key=lambda pair: pair[0]):
        strata = [stratum for _, stratum in group]
        of_expert = (StratumEstimate.expert_id == expert_id, StratumEstimate.stratum_id.in_(strata))
        connection.execute(delete(StratumEstimate).where(*of_expert))


def estimates(connection: Connection, expert_id: int, strata: Collection[int]) -> dict[int, HeldEstimate]:
    """Stratum id -> the estimate of an expert, where there is one."""
    c = StratumEstimate
    rows = connection.execute(
        select(c.stratum_id, c.low, c.high, c.confidence).where(c.expert_id == expert_id, c.stratum_id.in_(strata))
    )
    return {stratum_id: HeldEstimate(*values) for stratum_id, *values in rows}


def subject_states(connection: Connection, expert_id: int, benchmark_id: int, split: str) -> list[SubjectState]:
    """An expert on the subjects of a split on which it has a score, by name."""
    c, label = expert_subject_score.c, subject_label.c
    rows = connection.execute(
        select(Subject.name, c.n, Stratum.n_queries, c.mean, c.low, c.high, c.source == Source.ESTIMATED, label.expert)
        .join(Subject, Subject.id == c.subject_id)
        .join(Stratum, Stratum.id == c.stratum_id)
        .outerjoin(
            subject_label, (label.pool == ALL_POOL) & (label.subject_id == c.subject_id) & (label.split == c.split)
        )
        .where(c.expert_id == expert_id, Subject.benchmark_id == benchmark_id, c.split == split)
        .where(c.source != Source.REPORTED)
        .order_by(Subject.name)
    )
    return [SubjectState(*row) for row in rows]


def rivals(connection: Connection, expert_id: int, strata: Collection[int]) -> list[RivalRow]:
    """The best other experts in some strata, for each pool that an expert belongs to, where others are eligible."""
    view, members = expert_rank.c, pool_expert.c
    pools = select(members.pool_id).where(members.expert_id == expert_id)
    rows = connection.execute(
        select(view.pool_id, view.stratum_id, func.max(view.low), func.max(view.high))
        .where(view.pool_id.in_(pools), view.stratum_id.in_(strata), view.expert_id != expert_id)
        .group_by(view.pool_id, view.stratum_id)
        .order_by(view.pool_id, view.stratum_id)
    )
    return [RivalRow(*row) for row in rows]


def winners(connection: Connection, expert_id: int, strata: Collection[int]) -> dict[int, int]:
    """Stratum id -> the best other expert, in the pool `all` if it is ranked there."""
    ranked = (
        select(PoolRank.stratum_id, PoolRank.expert_id)
        .where(PoolRank.stratum_id.in_(strata), PoolRank.expert_id != expert_id)
        .order_by(PoolRank.pool_id.desc(), PoolRank.rank.desc())
    )
    return dict(connection.execute(ranked).all())  # of several rows the last one stays: the smallest pool and rank


def most_scored(connection: Connection, benchmark_id: int, split: str, expert_id: int, limit: int) -> list[int]:
    """The other experts that are not retired and have the most scores on a split, at most `limit`."""
    rows = connection.scalars(
        select(ScoreSum.expert_id)
        .join(Stratum, Stratum.id == ScoreSum.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .join(Expert, Expert.id == ScoreSum.expert_id)
        .where(Subject.benchmark_id == benchmark_id, Stratum.split == split)
        .where(ScoreSum.expert_id != expert_id, Expert.retired_at.is_(None))
        .group_by(ScoreSum.expert_id)
        .order_by(func.sum(ScoreSum.n).desc(), func.sum(ScoreSum.total_micro).desc(), ScoreSum.expert_id)
        .limit(limit)
    )
    return list(rows)


def store_rounds(connection: Connection, job_id: int, stage: int, contents: Mapping[int, Mapping[str, Any]]) -> None:
    """Store the rounds of a stage: stratum id -> content. Rounds of this stage and of later ones are replaced."""
    later = delete(SettlingRound).where(SettlingRound.job_id == job_id, SettlingRound.stage >= stage)
    connection.execute(later)
    rows = [
        {"job_id": job_id, "stage": stage, "stratum_id": stratum_id, "content": dict(content)}
        for stratum_id, content in contents.items()
    ]
    bulk.insert_few(connection, SettlingRound, rows)


def rounds(connection: Connection, job_id: int, before: int) -> dict[int, list[dict[str, Any]]]:
    """Stratum id -> the contents of its rounds in the stages of a job before one, in their order."""
    rows = connection.execute(
        select(SettlingRound.stratum_id, SettlingRound.content)
        .where(SettlingRound.job_id == job_id, SettlingRound.stage < before)
        .order_by(SettlingRound.stage)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for stratum_id, content in rows:
        found.setdefault(stratum_id, []).append(content)
    return found
