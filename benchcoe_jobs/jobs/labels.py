"""Freeze the labels of the views, and say how sure they are."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from sqlalchemy import Connection

from benchcoe_jobs.domain import ALL_POOL, Level, Policy, Source
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.jobs.bootstrap import flip_rate, within_reach
from benchcoe_jobs.store import catalog, experts, labels
from benchcoe_jobs.store.label_sets import Frozen, freeze
from benchcoe_jobs.store.labels import LeftOut, QueryLabelCounts, Scope, SubjectLabel
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class BuiltLabels:
    """A label set with what a reader needs to trust it or not.

    Subject level: `subjects`, and `flip_rates` of the best expert by subject (see jobs.bootstrap). Query level:
    `counts`. `left_out` says who could not win and why.
    """

    level: Level
    policy: Policy
    scope: Scope
    frozen: Frozen
    left_out: list[LeftOut]
    subjects: list[SubjectLabel]
    flip_rates: dict[str, float]
    counts: QueryLabelCounts | None


def find_scope(connection: Connection, pool: str, benchmark: str | None, split: str) -> Scope:
    """Names -> what labels are about. Raises UsageError."""
    return Scope(experts.find_pool(connection, pool), *catalog.find_benchmark(connection, benchmark), split)


def best_single(connection: Connection, scope: Scope) -> str:
    """The expert to compare with and to fall back to. Raises UsageError where nobody has scores enough."""
    found = labels.best_single(connection, scope)
    if found is None:
        raise UsageError(
            f"no expert of pool {scope.pool.name!r} has scores for {scope.pool.min_coverage:.0%} of {scope.benchmark}, "
            f"split {scope.split}: there is no best single expert to compare with or to fall back to"
        )
    return found


def how_to_leave(pool: str, expert: str) -> str:
    """The command that takes an expert out of a pool, for whoever is told that it stands in the way."""
    name = shlex.quote(expert)
    command = f"retire {name}" if pool == ALL_POOL else f"add-pool {shlex.quote(pool)} --remove {name}"
    return f"leave it out: benchcoe-jobs {command}"


def insist_on_policy(level: Level, policy: Policy) -> None:
    """Raises UsageError for a policy at query level: one query has no margin that could be significant."""
    if level is Level.QUERY and policy is not Policy.BEST:
        raise UsageError(f"policy {policy} is one of subject labels: leave it out, or use --level subject")


def build_labels(
    store: Store,
    level: Level,
    *,
    pool: str,
    benchmark: str | None,
    split: str,
    min_coverage: float | None = None,
    policy: Policy = Policy.BEST,
) -> BuiltLabels:
    """Freeze the current labels of a pool on one split of a benchmark; a `min_coverage` stays with the pool.

    Raises UsageError where no expert of the pool is eligible for a single label, and for a policy at query level.
    """
    insist_on_policy(level, policy)
    with store.writing() as connection:
        if min_coverage is not None:
            experts.set_min_coverage(connection, experts.find_pool(connection, pool), min_coverage)
        scope = find_scope(connection, pool, benchmark, split)
        subjects: list[SubjectLabel] = []
        flip_rates: dict[str, float] = {}
        counts = None
        if level is Level.SUBJECT:
            subjects = labels.subject_labels(connection, scope, policy)
            flip_rates = _flip_rates(connection, scope)
        else:
            counts = labels.query_label_counts(connection, scope)
        out = labels.left_out(connection, scope)
        if not subjects and not (counts and counts.n):
            raise UsageError(_nothing_to_label(scope, out))
        frozen = freeze(connection, level, scope, policy)
        return BuiltLabels(level, policy, scope, frozen, out, subjects, flip_rates, counts)


def _flip_rates(connection: Connection, scope: Scope) -> dict[str, float]:
    """By subject; none where the best expert's score is a reported one, with no queries that could be drawn again."""
    measured = {label.subject for label in labels.subject_labels(connection, scope) if label.source == Source.MEASURED}
    rates = {}
    for subject, ranked in labels.contenders(connection, scope).items():
        if subject not in measured:
            continue
        close = within_reach(ranked)
        if len(close) == 1:  # nobody near: no resample flips it
            rates[subject] = 0.0
            continue
        patterns = labels.score_patterns(connection, close[0].stratum_id, [c.expert_id for c in close])
        rates[subject] = flip_rate(patterns, close)
    return rates


def _nothing_to_label(scope: Scope, out: list[LeftOut]) -> str:
    where = f"pool {scope.pool.name!r} on {scope.benchmark}, split {scope.split}"
    if not out:
        return f"there are no scores of {where}: import some first"
    best = max(out, key=lambda row: row.n_scored / row.n_queries)
    return (
        f"no expert is eligible in {where}: the nearest is {best.expert} with {best.n_scored} of {best.n_queries} "
        f"queries of {best.subject!r}, below min_coverage {scope.pool.min_coverage:g}"
    )
