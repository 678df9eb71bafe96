"""Typed reads of the label views and of the rankings behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, Table, and_, literal, select

from benchcoe_jobs.domain import Distribution, Policy, Source
from benchcoe_jobs.store.results.experts import PoolRef, expert_names
from benchcoe_jobs.store.tables import Expert, PoolRank, Stratum, Subject
from benchcoe_jobs.store.views import (
    best_single as best_single_view,
)
from benchcoe_jobs.store.views import (
    expert_coverage,
    expert_subject_score,
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
"""Policy -> its view of subject labels."""


_ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of labels: a pool, a benchmark and a split."""

    pool: PoolRef
    benchmark_id: int
    benchmark: str
    split: str

    def distribution(self, benchmark: str, split: str) -> Distribution:
        """The distribution of a test on a split of a benchmark, relative to training on this scope."""
        if benchmark != self.benchmark:
            return Distribution.OUT_OF_DISTRIBUTION
        return Distribution.NAIVE if split == self.split else Distribution.IN_DISTRIBUTION


@dataclass(frozen=True, slots=True)
class SubjectLabel:
    """A row of a policy's view.

    `expert` is None if no expert earns the label: the best mean is 0, or (policy `best`) all of several eligible
    experts have the same mean. `margin` is None if no other expert is eligible, and negative if another expert is
    better. `rank` is the expert's rank by mean: 1 unless the policy chose an expert that is not the best.
    """

    subject: str
    expert: str | None
    mean: float
    n: int | None
    margin: float | None
    tied: int
    source: str
    rank: int
    all_wrong: bool


@dataclass(frozen=True, slots=True)
class QueryLabelCounts:
    """Counts of the query labels of a scope: in all, by expert, decided by a tie-break, and with every expert wrong.

    `by_expert` leaves out those with every expert wrong, which no expert earns.
    """

    n: int
    by_expert: dict[str, int]
    tied: int
    all_wrong: int


class QueryLabel(NamedTuple):
    """A row of the view `query_label`. `expert` is None if every expert is wrong."""

    key: str
    subject: str
    expert: str | None
    score: float
    margin: float | None
    tied: int


QueryChoice: TypeAlias = tuple[str, int, int, int, int]
"""The label of a query: its key and id, the id of its expert, how many are equally good, and 1 if all are wrong.

A plain tuple, because there is one for every query.
"""


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
    """An expert of the pool that is not eligible for a subject's label: too few queries are scored."""

    expert: str
    subject: str
    n_scored: int
    n_queries: int


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """An expert whose profiling stopped on a subject after `n` of the `n_queries`: an estimate, between its bounds."""

    expert: str
    subject: str
    n: int
    n_queries: int
    mean: float
    low: float
    high: float


def in_scope(view: Any, scope: Scope) -> tuple[Any, ...]:
    """The conditions that restrict a label view to a scope."""
    return (view.pool_id == scope.pool.id, view.benchmark_id == scope.benchmark_id, view.split == scope.split)


def subject_labels(connection: Connection, scope: Scope, policy: Policy = Policy.BEST) -> list[SubjectLabel]:
    """The labels of a policy, sorted by subject name."""
    c = SUBJECT_VIEWS[policy].c
    rank: ColumnElement[int] = literal(1) if policy is Policy.BEST else c.rank
    rows = connection.execute(
        select(c.subject, c.expert, c.mean, c.n, c.margin, c.tied, c.source, rank, c.all_wrong == 1)
        .where(*in_scope(c, scope))
        .order_by(c.subject)
    )
    return [SubjectLabel(*row) for row in rows]


def query_labels(connection: Connection, scope: Scope) -> Iterator[QueryLabel]:
    """The labels of the view `query_label`, by query id."""
    c = query_label.c
    rows = connection.execute(
        select(c.key, c.subject, c.expert, c.score, c.margin, c.tied, c.all_wrong)
        .where(*in_scope(c, scope))
        .order_by(c.query_id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    for key, subject, expert, score, margin, tied, all_wrong in rows:
        yield QueryLabel(key, subject, None if all_wrong else expert, score, margin, tied)


def query_choices(connection: Connection, scope: Scope) -> Sequence[QueryChoice]:
    """The expert of each query label of a scope, in any order."""
    c = query_label.c
    rows = connection.execute(select(c.key, c.query_id, c.expert_id, c.tied, c.all_wrong).where(*in_scope(c, scope)))
    return [tuple(row) for row in rows.all()]


def query_label_counts(connection: Connection, choices: Sequence[QueryChoice]) -> QueryLabelCounts:
    """Count the query labels of a scope."""
    names = expert_names(connection)
    earned = Counter(expert_id for _, _, expert_id, _, all_wrong in choices if not all_wrong)
    by_count = sorted(((n, names[expert_id]) for expert_id, n in earned.items()), key=lambda pair: (-pair[0], pair[1]))
    return QueryLabelCounts(
        n=len(choices),
        by_expert={name: n for n, name in by_count},
        tied=sum(tied > 1 for _, _, _, tied, _ in choices),
        all_wrong=len(choices) - earned.total(),
    )


@dataclass(frozen=True, slots=True)
class AllLabels:
    """The expert of every label of a benchmark, by (pool, split, subject) and by (pool, query id).

    A label of a subject that no expert earns is None.
    """

    subject: dict[tuple[str, str, str], str | None]
    query: dict[tuple[str, int], str]


def all_labels(connection: Connection, benchmark_id: int) -> AllLabels:
    """All labels of a benchmark, in all pools and splits."""
    s, q = subject_label.c, query_label.c
    of_subjects = connection.execute(select(s.pool, s.split, s.subject, s.expert).where(s.benchmark_id == benchmark_id))
    of_queries = connection.execute(select(q.pool, q.query_id, q.expert).where(q.benchmark_id == benchmark_id))
    return AllLabels(
        {(pool, split, subject): expert for pool, split, subject, expert in of_subjects},
        {(pool, query_id): expert for pool, query_id, expert in of_queries},
    )


def left_out(connection: Connection, scope: Scope) -> list[LeftOut]:
    """The experts of the pool that are not ranked, for each subject."""
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


def early_stops(connection: Connection, scope: Scope) -> list[EarlyStop]:
    """Where profiling of an expert of the pool stopped early, by expert and subject."""
    c = expert_subject_score.c
    rows = connection.execute(
        select(Expert.name, Subject.name, c.n, Stratum.n_queries, c.mean, c.low, c.high)
        .join(pool_expert, pool_expert.c.expert_id == c.expert_id)
        .join(Expert, Expert.id == c.expert_id)
        .join(Subject, Subject.id == c.subject_id)
        .join(Stratum, Stratum.id == c.stratum_id)
        .where(pool_expert.c.pool_id == scope.pool.id, Subject.benchmark_id == scope.benchmark_id)
        .where(c.split == scope.split, c.source == Source.ESTIMATED)
        .order_by(Expert.name, Subject.name)
    )
    return [EarlyStop(*row) for row in rows]


def contenders(connection: Connection, scope: Scope) -> dict[str, list[Contender]]:
    """Subject -> its eligible experts with measured scores, best first."""
    c = expert_subject_score.c
    rows = connection.execute(
        select(Subject.name, Stratum.id, Expert.id, Expert.name, c.mean, c.n, Expert.cost)
        .select_from(Subject)
        .join(Stratum, Stratum.subject_id == Subject.id)
        .join(PoolRank, PoolRank.stratum_id == Stratum.id)
        .join(Expert, Expert.id == PoolRank.expert_id)
        .join(expert_subject_score, and_(c.expert_id == Expert.id, c.stratum_id == Stratum.id))
        .where(
            PoolRank.pool_id == scope.pool.id,
            Subject.benchmark_id == scope.benchmark_id,
            Stratum.split == scope.split,
            c.source == Source.MEASURED,
        )
        .order_by(Subject.name, PoolRank.rank)
    )
    found: dict[str, list[Contender]] = {}
    for subject, stratum_id, expert_id, expert, value, n, cost in rows:
        found.setdefault(subject, []).append(Contender(stratum_id, expert_id, expert, float(value), n, cost))
    return found


def score_patterns(
    connection: Connection, stratum_id: int, expert_ids: Sequence[int]
) -> list[tuple[float | None, ...]]:
    """The distinct score vectors of a stratum's queries, and the number of queries with each.

    A row holds one score per expert in the given order, None if there is no score, and the count last. Queries without
    a score of any of the experts are left out.
    """
    # As text with the ids in it, because SQLAlchemy takes longer to compile these expressions than SQLite to run them.
    # Not as joins, of which SQLite allows 64; materialised, because it would otherwise read each score twice.
    names = ", ".join(f"s{i}" for i in range(len(expert_ids)))
    scores = ", ".join(
        f"(SELECT s.value FROM score s WHERE s.expert_id = {int(expert_id)} AND s.query_id = q.id) AS s{i}"
        for i, expert_id in enumerate(expert_ids)
    )
    vectors = f"SELECT {scores} FROM query q WHERE q.stratum_id = {int(stratum_id)}"
    rows = connection.exec_driver_sql(
        f"WITH v AS MATERIALIZED ({vectors}) SELECT {names}, COUNT(*) FROM v GROUP BY {names}"
    )
    known = [tuple(row) for row in rows.all() if any(score is not None for score in row[:-1])]
    # Sorted, because resamples are drawn in this order.
    return sorted(known, key=lambda row: _unknown_first(row[:-1]))


def _unknown_first(vector: Sequence[float | None]) -> list[tuple[bool, float]]:
    """The order of vectors, in which None is below every number, as SQLite sorts NULL."""
    return [(score is not None, score or 0.0) for score in vector]


def measured_experts(connection: Connection, scope: Scope) -> list[str]:
    """Names of the experts that are eligible by measured scores on at least one subject of the scope, sorted."""
    return sorted({c.expert for ranked in contenders(connection, scope).values() for c in ranked})


def best_single(connection: Connection, scope: Scope) -> str | None:
    """The expert with the highest mean on the whole split, among those with enough coverage; None if there is none."""
    c = best_single_view.c
    return connection.scalar(select(c.expert).where(*in_scope(c, scope)))
