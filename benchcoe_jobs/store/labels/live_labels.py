"""Typed reads of the label views, and of the rankings behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Table, and_, cast, func, literal, select, text

from benchcoe_jobs.domain import MICRO, Distribution, Policy
from benchcoe_jobs.store.results.experts import PoolRef
from benchcoe_jobs.store.tables import Expert, PoolRank, ScoreSum, Stratum, Subject
from benchcoe_jobs.store.views import (
    best_single as best_single_view,
)
from benchcoe_jobs.store.views import (
    expert_coverage,
    pool_expert,
    query_label,
    subject_label,
    subject_label_abstain,
    subject_label_cheapest,
)

SUBJECT_VIEWS: dict[Policy, Table] = {
    Policy.BEST: subject_label,
    Policy.CHEAPEST: subject_label_cheapest,
    Policy.ABSTAIN: subject_label_abstain,
}
"""Each policy's view of subject labels."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What labels are about: a pool's experts on one split of a benchmark."""

    pool: PoolRef
    benchmark_id: int
    benchmark: str
    split: str

    def distribution(self, benchmark: str, split: str) -> Distribution:
        """What testing on a split of a benchmark shows of what was learned from these labels."""
        if benchmark != self.benchmark:
            return Distribution.OUT_OF_DISTRIBUTION
        return Distribution.NAIVE if split == self.split else Distribution.IN_DISTRIBUTION


@dataclass(frozen=True, slots=True)
class SubjectLabel:
    """A row of a policy's view. `margin` is None where nobody else is eligible, below 0 where another is better.

    `rank` is the expert's place by mean: 1, but where the policy chose another than the best.
    """

    subject: str
    expert: str
    mean: float
    n: int | None
    margin: float | None
    tied: int
    source: str
    rank: int
    all_wrong: bool


@dataclass(frozen=True, slots=True)
class QueryLabelCounts:
    """How the query labels of a scope fall: per winning expert, tied, and with every expert wrong."""

    n: int
    by_expert: dict[str, int]
    tied: int
    all_wrong: int


@dataclass(frozen=True, slots=True)
class Contender:
    """An eligible expert in the ranking of one stratum (subject and split)."""

    stratum_id: int
    expert_id: int
    expert: str
    mean: float
    n: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An expert of the pool that cannot win a subject's labels: too few of its queries are scored."""

    expert: str
    subject: str
    n_scored: int
    n_queries: int


def in_scope(view: Any, scope: Scope) -> tuple[Any, ...]:
    """The conditions that keep a label view to one scope."""
    return (view.pool_id == scope.pool.id, view.benchmark_id == scope.benchmark_id, view.split == scope.split)


def subject_labels(connection: Connection, scope: Scope, policy: Policy = Policy.BEST) -> list[SubjectLabel]:
    """Every subject's expert by a policy, by subject name."""
    c = SUBJECT_VIEWS[policy].c
    rank: ColumnElement[int] = literal(1) if policy is Policy.BEST else c.rank
    rows = connection.execute(
        select(c.subject, c.expert, c.mean, c.n, c.margin, c.tied, c.source, rank, c.all_wrong == 1)
        .where(*in_scope(c, scope))
        .order_by(c.subject)
    )
    return [SubjectLabel(*row) for row in rows]


def query_label_counts(connection: Connection, scope: Scope) -> QueryLabelCounts:
    """Counts over the view `query_label`."""
    c = query_label.c
    rows = connection.execute(
        select(
            c.expert_id,
            func.count(),
            func.count().filter(c.tied > 1),
            func.sum(c.all_wrong),
        )
        .where(*in_scope(c, scope))
        .group_by(c.expert_id)
    ).all()
    names = dict(connection.execute(select(Expert.id, Expert.name)).all())
    won = sorted(((count, names[expert]) for expert, count, _, _ in rows), key=lambda pair: (-pair[0], pair[1]))
    return QueryLabelCounts(
        n=sum(row[1] for row in rows),
        by_expert={name: count for count, name in won},
        tied=sum(row[2] for row in rows),
        all_wrong=sum(int(row[3]) for row in rows),
    )


@dataclass(frozen=True, slots=True)
class AllLabels:
    """Who holds every label of a benchmark: by (pool, split, subject), and by (pool, query id)."""

    subject: dict[tuple[str, str, str], str]
    query: dict[tuple[str, int], str]


def all_labels(connection: Connection, benchmark_id: int) -> AllLabels:
    """Every label of a benchmark, over all pools and splits."""
    s, q = subject_label.c, query_label.c
    of_subjects = connection.execute(select(s.pool, s.split, s.subject, s.expert).where(s.benchmark_id == benchmark_id))
    of_queries = connection.execute(select(q.pool, q.query_id, q.expert).where(q.benchmark_id == benchmark_id))
    return AllLabels(
        {(pool, split, subject): expert for pool, split, subject, expert in of_subjects},
        {(pool, query_id): expert for pool, query_id, expert in of_queries},
    )


def left_out(connection: Connection, scope: Scope) -> list[LeftOut]:
    """Who is in the pool but not ranked, subject by subject."""
    cover = expert_coverage.c
    ranked = (
        select(PoolRank.expert_id)
        .join(Stratum, Stratum.id == PoolRank.stratum_id)
        .where(
            PoolRank.pool_id == scope.pool.id,
            PoolRank.expert_id == cover.expert_id,
            Stratum.subject_id == cover.subject_id,
            Stratum.split == scope.split,
        )
        .exists()
    )
    rows = connection.execute(
        select(cover.expert, cover.subject, cover.n_scored, cover.n_queries)
        .join(pool_expert, pool_expert.c.expert_id == cover.expert_id)
        .where(
            pool_expert.c.pool_id == scope.pool.id,
            cover.benchmark_id == scope.benchmark_id,
            cover.split == scope.split,
            ~ranked,
        )
        .order_by(cover.expert, cover.subject)
    )
    return [LeftOut(*row) for row in rows]


def contenders(connection: Connection, scope: Scope) -> dict[str, list[Contender]]:
    """Subject -> the eligible measured experts, best first."""
    mean = cast(ScoreSum.total_micro, Double) / (cast(ScoreSum.n, Double) * MICRO)
    rows = connection.execute(
        select(Subject.name, Stratum.id, Expert.id, Expert.name, mean, ScoreSum.n, Expert.cost)
        .select_from(Subject)
        .join(Stratum, Stratum.subject_id == Subject.id)
        .join(PoolRank, PoolRank.stratum_id == Stratum.id)
        .join(Expert, Expert.id == PoolRank.expert_id)
        .join(ScoreSum, and_(ScoreSum.expert_id == Expert.id, ScoreSum.stratum_id == Stratum.id))
        .where(
            PoolRank.pool_id == scope.pool.id, Subject.benchmark_id == scope.benchmark_id, Stratum.split == scope.split
        )
        .order_by(Subject.name, PoolRank.rank)
    )
    found: dict[str, list[Contender]] = {}
    for subject, stratum_id, expert_id, expert, value, n, cost in rows:
        found.setdefault(subject, []).append(Contender(stratum_id, expert_id, expert, float(value), n, cost))
    return found


def score_patterns(connection: Connection, stratum_id: int, expert_ids: Sequence[int]) -> Sequence[Sequence[float]]:
    """The distinct score vectors of a stratum's queries, and how many queries have each.

    A row has one score per expert, in the order given, None where there is none, and the count last.
    Queries that none of the experts has a score on are left out.
    """
    # As text: compiling these expressions takes SQLAlchemy longer than SQLite takes to answer.
    places = range(len(expert_ids))
    scores = ", ".join(
        f"(SELECT s.value FROM score s WHERE s.expert_id = :expert_{i} AND s.query_id = q.id) AS score_{i}"
        for i in places
    )
    names = ", ".join(f"score_{i}" for i in places)
    rows = connection.execute(
        text(f"SELECT {scores}, COUNT(*) FROM query q WHERE q.stratum_id = :stratum GROUP BY {names}"),
        {"stratum": stratum_id, **{f"expert_{i}": expert_id for i, expert_id in enumerate(expert_ids)}},
    )
    return [row for row in rows if any(score is not None for score in row[:-1])]


def measured_experts(connection: Connection, scope: Scope) -> list[str]:
    """Names of the experts that are measured and eligible on at least one subject of the scope."""
    return sorted({c.expert for ranked in contenders(connection, scope).values() for c in ranked})


def best_single(connection: Connection, scope: Scope) -> str | None:
    """The expert of the highest mean over the whole split, among those with enough coverage of it."""
    c = best_single_view.c
    return connection.scalar(select(c.expert).where(*in_scope(c, scope)))
