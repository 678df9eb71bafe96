"""The value of an expert to a pool, from stored scores: the accuracy of the pool with and without it.

The labels of the changed pool are computed by the label views: a trial pool is written, read, and rolled back.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.gaps import Gap, gap_note, gaps_of
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.labelling.scope import best_single, find_scope, how_to_leave
from benchcoe_jobs.services.score_matrix import ScoreMatrix, read_matrix, subject_oracle
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class PoolAccuracy:
    """The accuracy of a pool on a split, as fractions.

    `best_single` and the subject labels behind `by_subject` are chosen on the training split; `by_subject` is a router
    that always predicts the right subject. The two oracles choose in hindsight.
    """

    experts: list[str]
    best_single_expert: str
    best_single: float
    by_subject: float
    subject_oracle: float
    oracle: float


MEASURES = ("best_single", "by_subject", "subject_oracle", "oracle")


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A pool before and after a change of its members, over the same `n` queries.

    `change` is after minus before by measure, with a paired 95 % bootstrap interval over queries; the choices are the
    same in all resamples. `without_scores` counts the queries that are left out because a compared expert has no score
    on them, and `gaps` has these experts.
    """

    pool: str
    benchmark: str
    trained_on: str
    split: str
    n: int
    without_scores: int
    gaps: list[Gap]
    added: list[str]
    dropped: list[str]
    before: PoolAccuracy
    after: PoolAccuracy
    change: dict[str, dict[str, float]]

    @property
    def gap_note(self) -> str | None:
        """The note on the queries that are left out; None if there are none."""
        if not self.gaps:
            return None
        first = self.gaps[0].expert
        leave = f"omit --add {shlex.quote(first)}" if first in self.added else how_to_leave(self.pool, first)
        return gap_note(self.gaps, self.without_scores, self.n + self.without_scores, leave)

    def as_json(self) -> dict[str, Any]:
        """The comparison as one JSON object."""
        return asdict(self)


def what_if(
    store: Store,
    *,
    pool: str,
    benchmark: str | None,
    split: str,
    trained_on: str = "train",
    add: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> WhatIf:
    """Compare a pool with the same pool after adding and dropping experts. The store is not changed.

    Raises UsageError if the pool would not change, or if there is no query to compare on.
    """
    with store.writing() as connection:
        scope = find_scope(connection, pool, benchmark, trained_on)
        before = experts.pool_members(connection, scope.pool.id)
        after = _changed(connection, before, pool, add, drop)
        matrix = read_matrix(connection, scope.benchmark_id, before | after, split)
        ignored = matrix.without_scores() - {*add, *drop}  # a member without any score takes no part in routing yet
        before, after = ({name: id_ for name, id_ in side.items() if name not in ignored} for side in (before, after))
        matrix = matrix.without(ignored)
        complete = matrix.complete()
        if not complete.queries:
            scored = (~np.isnan(matrix.values)).sum(axis=0).tolist()
            n, fewest = min(zip(scored, matrix.experts, strict=True), default=(0, "no expert"))
            raise UsageError(
                f"no query of {scope.benchmark}, split {split}, has a score of every compared expert: {fewest} has "
                f"{n} of {len(matrix.queries)}. Import its missing scores, or {how_to_leave(pool, fewest)}"
            )
        sides = [_accuracy(connection, scope, members, complete) for members in (before, after)]
        connection.rollback()
    (accuracy_before, scores_before), (accuracy_after, scores_after) = sides
    change = {}
    for measure in MEASURES:
        differences = scores_after[measure] - scores_before[measure]
        low, high = mean_interval(differences)
        change[measure] = {"value": float(differences.mean()), "low": low, "high": high}
    n = len(complete.queries)
    return WhatIf(
        pool,
        scope.benchmark,
        trained_on,
        split,
        n,
        len(matrix.queries) - n,
        gaps_of(matrix.values, matrix.experts, [query.subject for query in matrix.queries]),
        list(add),
        list(drop),
        accuracy_before,
        accuracy_after,
        change,
    )


def _changed(
    connection: Connection, members: Mapping[str, int], pool: str, add: Sequence[str], drop: Sequence[str]
) -> dict[str, int]:
    """The members after the change, name -> id."""
    for name in drop:
        if name not in members:
            raise UsageError(f"expert {name!r} is not in pool {pool!r}, which has {', '.join(members) or 'no expert'}")
    for name in add:
        if name in members:
            raise UsageError(f"expert {name!r} is already in pool {pool!r}: use --drop {name} to see its value")
    if not (add or drop):
        raise UsageError("name an expert with --add or --drop")
    after = {name: id_ for name, id_ in members.items() if name not in drop}
    after |= {name: experts.find_expert(connection, name) for name in add}
    if not after:
        raise UsageError(f"pool {pool!r} would have no expert")
    return after


def _accuracy(
    connection: Connection, scope: Scope, members: Mapping[str, int], matrix: ScoreMatrix
) -> tuple[PoolAccuracy, dict[str, Floats]]:
    """The accuracy of a pool of `members` on the queries of `matrix`, and the score of each query (n,) by measure."""
    by_subject, single = _choices(connection, scope, members)
    scores = matrix.values[:, [matrix.experts.index(name) for name in members]]
    rows = np.arange(len(scores))
    labelled = [matrix.experts.index(by_subject.get(query.subject) or single) for query in matrix.queries]
    routed = {
        "best_single": matrix.column(single),
        "by_subject": matrix.values[rows, labelled],
        "subject_oracle": subject_oracle(scores, matrix.subject_codes()),
        "oracle": scores.max(axis=1),
    }
    means = {measure: float(values.mean()) for measure, values in routed.items()}
    return PoolAccuracy(list(members), single, **means), routed


def _choices(connection: Connection, scope: Scope, members: Mapping[str, int]) -> tuple[dict[str, str | None], str]:
    """The subject labels (subject -> expert, None if none earns it) and the best single expert of these members."""
    trial_scope = replace(scope, pool=experts.trial_pool(connection, members.values(), scope.pool.min_coverage))
    by_subject = {label.subject: label.expert for label in live_labels.subject_labels(connection, trial_scope)}
    return by_subject, best_single(connection, trial_scope, f"pool {scope.pool.name!r} with {', '.join(members)}")
