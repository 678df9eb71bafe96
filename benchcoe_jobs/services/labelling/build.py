"""Build a label set: freeze the live labels of a scope and measure how certain they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from benchcoe_jobs.domain import Level, Policy, Source
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.labelling.flip_rate import flip_rate, within_reach
from benchcoe_jobs.services.labelling.scope import find_scope, require_policy
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.label_sets import LabelSetRef, freeze_queries, freeze_subjects
from benchcoe_jobs.store.labels.live_labels import (
    EarlyStop,
    LeftOut,
    QueryChoice,
    QueryLabelCounts,
    Scope,
    SubjectLabel,
)
from benchcoe_jobs.store.results import experts, file_origins
from benchcoe_jobs.store.results.file_origins import ImportedShare
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted


@dataclass(frozen=True, slots=True)
class BuiltLabels:
    """A label set and its certainty.

    At subject level `subjects` has the labels and `flip_rates` the flip rate of the best expert by subject, see
    `flip_rate`. At query level `counts` counts the labels. `left_out` has the experts that could not win, with reasons.
    `best_single` is the best single expert, to which subjects go whose label no expert earns; None if there is none.
    `origins` has the experts of the pool with the numbers of their imported scores, `early_stops` those whose profiling
    stopped early, with the subjects.
    """

    level: Level
    policy: Policy
    scope: Scope
    frozen: LabelSetRef
    left_out: list[LeftOut]
    subjects: list[SubjectLabel]
    flip_rates: dict[str, float]
    counts: QueryLabelCounts | None
    best_single: str | None
    origins: list[ImportedShare]
    early_stops: list[EarlyStop]


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
    """Freeze the current labels of a pool on one split of a benchmark. `min_coverage` is stored with the pool.

    Raises UsageError if no expert of the pool is eligible for any label, and for a policy at query level.
    """
    require_policy(level, policy)
    with store.writing() as connection:
        if min_coverage is not None:
            experts.set_min_coverage(connection, experts.find_pool(connection, pool), min_coverage)
        scope = find_scope(connection, pool, benchmark, split)
        subjects: list[SubjectLabel] = []
        flip_rates: dict[str, float] = {}
        choices: Sequence[QueryChoice] = []
        counts = None
        if level is Level.SUBJECT:
            best = live_labels.subject_labels(connection, scope)
            subjects = best if policy is Policy.BEST else live_labels.subject_labels(connection, scope, policy)
            flip_rates = flip_rates_of(connection, scope, best)
        else:
            choices = live_labels.query_choices(connection, scope)
            counts = live_labels.query_label_counts(connection, choices)
        out = live_labels.left_out(connection, scope)
        if not subjects and not (counts and counts.n):
            raise UsageError(_nothing_to_label(scope, out))
        if level is Level.SUBJECT:
            frozen = freeze_subjects(connection, scope, subjects, policy)
        else:
            frozen = freeze_queries(connection, scope, choices)
        single = live_labels.best_single(connection, scope)
        members = experts.pool_members(connection, scope.pool.id)
        origins = file_origins.imported_shares(connection, scope.benchmark_id, scope.split, members)
        early = live_labels.early_stops(connection, scope)
        return BuiltLabels(level, policy, scope, frozen, out, subjects, flip_rates, counts, single, origins, early)


def flip_rates_of(connection: Connection, scope: Scope, labels: Sequence[SubjectLabel]) -> dict[str, float]:
    """Flip rates by subject of the labels of the policy `best`.

    Labels from reported scores have none, because there are no queries to resample, nor have labels that no expert
    earns.
    """
    measured = {label.subject for label in labels if label.source == Source.MEASURED and label.expert is not None}
    rates = {}
    for subject, ranked in live_labels.contenders(connection, scope).items():
        if subject not in measured:
            continue
        close = within_reach(ranked)
        if len(close) == 1:  # no other expert can win in a resample
            rates[subject] = 0.0
            continue
        patterns = live_labels.score_patterns(connection, close[0].stratum_id, [c.expert_id for c in close])
        rates[subject] = flip_rate(patterns, close)
    return rates


def _nothing_to_label(scope: Scope, out: list[LeftOut]) -> str:
    where = f"pool {scope.pool.name!r} on {scope.benchmark}, split {scope.split}"
    if not out:
        return f"{where} has no scores: import results with benchcoe-jobs import-results, or score experts with profile"
    best = max(out, key=lambda row: row.n_scored / row.n_queries)
    return (
        f"no expert is eligible in {where}: the closest, {best.expert}, has scores for {best.n_scored} of "
        f"{counted(best.n_queries, 'query', 'queries')} of {best.subject!r}, below min_coverage "
        f"{scope.pool.min_coverage:g}"
    )
