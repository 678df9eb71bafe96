"""What an expert is worth to a pool, from stored scores alone: the pool with it and without it.

The labels of the pool as it would be come from the views themselves: a pool of these members is
written, read, and rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.labelling.scope import best_single, find_scope, how_to_leave
from benchcoe_jobs.services.score_matrix import ScoreMatrix, read_matrix, subject_oracle
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class PoolAccuracy:
    """What a pool reaches on a split, as fractions.

    `best_single` and the subject labels behind `by_subject` are chosen on the training split; `by_subject`
    is a router by subject that never mistakes one. The two oracles choose in hindsight.
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
    """A pool as it is and as it would be, over the same `n` queries.

    `change` is after minus before by measure, with a paired 95 % bootstrap interval over queries; what was
    chosen stays chosen in the resamples. `without_scores` counts the queries that are left out because
    one of the experts has no score on them.
    """

    pool: str
    benchmark: str
    trained_on: str
    split: str
    n: int
    without_scores: int
    added: list[str]
    dropped: list[str]
    before: PoolAccuracy
    after: PoolAccuracy
    change: dict[str, dict[str, float]]

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
    """Compare a pool with what it would be with some experts more and others fewer; the store stays as it is.

    Raises UsageError where nothing would change, or nothing can be compared.
    """
    with store.writing() as connection:
        scope = find_scope(connection, pool, benchmark, trained_on)
        before = experts.pool_members(connection, scope.pool.id)
        after = _changed(connection, before, pool, add, drop)
        matrix = read_matrix(connection, scope.benchmark_id, before | after, split)
        silent = matrix.silent() - {*add, *drop}  # members without a score are no members yet
        before, after = ({name: id_ for name, id_ in side.items() if name not in silent} for side in (before, after))
        matrix = matrix.without(silent)
        complete = matrix.complete()
        if not complete.queries:
            scored = (~np.isnan(matrix.values)).sum(axis=0).tolist()
            n, fewest = min(zip(scored, matrix.experts, strict=True), default=(0, "nobody"))
            raise UsageError(
                f"no query of {scope.benchmark}, split {split}, has a score of every expert concerned: {fewest} has "
                f"{n} of {len(matrix.queries)}. Import what is missing, or {how_to_leave(pool, fewest)}"
            )
        sides = [_reach(connection, scope, members, complete) for members in (before, after)]
        connection.rollback()
    (was, was_scores), (would_be, would_be_scores) = sides
    change = {}
    for measure in MEASURES:
        gaps = would_be_scores[measure] - was_scores[measure]
        low, high = mean_interval(gaps)
        change[measure] = {"value": float(gaps.mean()), "low": low, "high": high}
    n = len(complete.queries)
    return WhatIf(
        pool,
        scope.benchmark,
        trained_on,
        split,
        n,
        len(matrix.queries) - n,
        list(add),
        list(drop),
        was,
        would_be,
        change,
    )


def _changed(
    connection: Connection, members: Mapping[str, int], pool: str, add: Sequence[str], drop: Sequence[str]
) -> dict[str, int]:
    """The members after the change, name -> id."""
    for name in drop:
        if name not in members:
            raise UsageError(f"expert {name!r} is not in pool {pool!r}, which has {', '.join(members) or 'nobody'}")
    for name in add:
        if name in members:
            raise UsageError(f"expert {name!r} is in pool {pool!r} already: see what it is worth with --drop {name}")
    if not (add or drop):
        raise UsageError("say which expert to --add or to --drop")
    after = {name: id_ for name, id_ in members.items() if name not in drop}
    after |= {name: experts.find_expert(connection, name) for name in add}
    if not after:
        raise UsageError(f"pool {pool!r} would be empty")
    return after


def _reach(
    connection: Connection, scope: Scope, members: Mapping[str, int], matrix: ScoreMatrix
) -> tuple[PoolAccuracy, dict[str, Floats]]:
    """What the members reach on the queries of `matrix`, and the score of every query by measure."""
    by_subject, single = _choices(connection, scope, members)
    own = matrix.values[:, [matrix.experts.index(name) for name in members]]
    rows = np.arange(len(own))
    labelled = [matrix.experts.index(by_subject.get(query.subject, single)) for query in matrix.queries]
    scores = {
        "best_single": matrix.column(single),
        "by_subject": matrix.values[rows, labelled],
        "subject_oracle": subject_oracle(own, matrix.subject_codes()),
        "oracle": own.max(axis=1),
    }
    means = {measure: float(values.mean()) for measure, values in scores.items()}
    return PoolAccuracy(list(members), single, **means), scores


def _choices(connection: Connection, scope: Scope, members: Mapping[str, int]) -> tuple[dict[str, str], str]:
    """Subject -> expert, and the best single expert, of a pool with just these members."""
    trial_scope = replace(scope, pool=experts.trial_pool(connection, members.values(), scope.pool.min_coverage))
    by_subject = {label.subject: label.expert for label in live_labels.subject_labels(connection, trial_scope)}
    return by_subject, best_single(connection, trial_scope, f"{scope.pool.name!r} with {', '.join(members)}")
