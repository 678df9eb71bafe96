"""Label sets: frozen, fingerprinted copies of the labels of the views."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, func, select

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.labels.live_labels import (
    SUBJECT_VIEWS,
    QueryChoice,
    Scope,
    SubjectLabel,
    in_scope,
    query_choices,
    subject_labels,
)
from benchcoe_jobs.store.results.experts import PoolRef, expert_names
from benchcoe_jobs.store.tables import Benchmark, Expert, FrozenQueryLabel, FrozenSubjectLabel, LabelSet, Pool, Subject
from benchcoe_jobs.store.views import query_label


@dataclass(frozen=True, slots=True)
class LabelSetRef:
    """A label set: its id, its fingerprint, and whether it was created now."""

    id: int
    fingerprint: str
    created: bool


def freeze(connection: Connection, level: Level, scope: Scope, policy: Policy = Policy.BEST) -> LabelSetRef:
    """Copy the current labels of a scope into a label set; identical labels are stored once.

    A subject whose label no expert earns has none in the set.

    The fingerprint is the SHA-256 of the scope, the policy and every (subject or query key, expert).
    """
    if level is Level.SUBJECT:
        return freeze_subjects(connection, scope, subject_labels(connection, scope, policy), policy)
    return freeze_queries(connection, scope, query_choices(connection, scope))


def freeze_subjects(
    connection: Connection, scope: Scope, labels: Iterable[SubjectLabel], policy: Policy
) -> LabelSetRef:
    """Like `freeze`, of subject labels that were read in this transaction."""
    subjects = dict(
        connection.execute(select(Subject.name, Subject.id).where(Subject.benchmark_id == scope.benchmark_id)).all()
    )
    names = expert_names(connection)
    ids = {name: id_ for id_, name in names.items()}
    chosen = [(label.subject, subjects[label.subject], ids[label.expert]) for label in labels if label.expert]
    return _freeze(connection, Level.SUBJECT, scope, policy, chosen, names)


def freeze_queries(connection: Connection, scope: Scope, choices: Iterable[QueryChoice]) -> LabelSetRef:
    """Like `freeze`, of query labels that were read in this transaction."""
    names = expert_names(connection)
    chosen = [(key, id_, expert_id) for key, id_, expert_id, _, _ in choices]
    return _freeze(connection, Level.QUERY, scope, Policy.BEST, chosen, names)


def _freeze(
    connection: Connection,
    level: Level,
    scope: Scope,
    policy: Policy,
    chosen: Iterable[tuple[str, int, int]],
    names: Mapping[int, str],
) -> LabelSetRef:
    """Store (subject name or query key, its id, expert id) of each label; `names` has the names of experts by id."""
    header: list[object] = [level, scope.pool.name, scope.benchmark, scope.split, scope.pool.min_coverage]
    if policy is not Policy.BEST:  # so that label sets older than policies keep their fingerprints
        header.append(policy)
    digest = hashlib.sha256(json.dumps(header).encode())
    # Sorted here by bytes, as both databases sort names, because views return rows in any order.
    labels = sorted(chosen, key=itemgetter(0))
    digest.update("".join([f"{key}\t{names[expert_id]}\n" for key, _, expert_id in labels]).encode())
    fingerprint = digest.hexdigest()

    found = connection.scalar(select(LabelSet.id).where(LabelSet.fingerprint == fingerprint))
    if found is not None:
        return LabelSetRef(found, fingerprint, created=False)
    is_new = bulk.insert_new(
        connection,
        LabelSet,
        fingerprint=fingerprint,
        level=level.value,
        pool_id=scope.pool.id,
        benchmark_id=scope.benchmark_id,
        split=scope.split,
        min_coverage=scope.pool.min_coverage,
        policy=policy.value,
    )
    set_id = connection.scalars(select(LabelSet.id).where(LabelSet.fingerprint == fingerprint)).one()
    if not is_new:  # another transaction has just frozen the same labels
        return LabelSetRef(set_id, fingerprint, created=False)
    target, item = (FrozenSubjectLabel, "subject_id") if level is Level.SUBJECT else (FrozenQueryLabel, "query_id")
    rows_of_set = ((set_id, id_, expert_id) for _, id_, expert_id in labels)
    bulk.insert(connection, target, ["label_set_id", item, "expert_id"], rows_of_set)
    return LabelSetRef(set_id, fingerprint, created=True)


def label_sets(connection: Connection) -> list[dict[str, object]]:
    """All label sets, newest first.

    `stale` is the number of labels that differ from the current ones, or name an expert that is marked as drifted.
    """
    rows = connection.execute(
        select(LabelSet, Pool.name.label("pool"), Benchmark.name.label("benchmark"))
        .join(Pool, Pool.id == LabelSet.pool_id)
        .join(Benchmark, Benchmark.id == LabelSet.benchmark_id)
        .order_by(LabelSet.id.desc())
    )
    return [
        {
            "fingerprint": row.fingerprint,
            "level": row.level,
            "policy": row.policy,
            "pool": row.pool,
            "benchmark": row.benchmark,
            "split": row.split,
            **_freshness(connection, row, _scope(row)),
            "created_at": row.created_at.isoformat(timespec="seconds"),
        }
        for row in rows
    ]


def _scope(row: Any) -> Scope:
    return Scope(PoolRef(row.pool_id, row.pool, row.min_coverage), row.benchmark_id, row.benchmark, row.split)


def _view(level: Level, policy: Policy) -> Table:
    return SUBJECT_VIEWS[policy] if level is Level.SUBJECT else query_label


def _freshness(connection: Connection, row: Any, scope: Scope) -> dict[str, int]:
    set_id, level = row.id, Level(row.level)
    frozen: Any = FrozenSubjectLabel if level is Level.SUBJECT else FrozenQueryLabel
    view = _view(level, Policy(row.policy))
    item = "subject_id" if level is Level.SUBJECT else "query_id"
    here = (*in_scope(view.c, scope), view.c.expert_id.is_not(None))
    n_frozen = connection.scalar(select(func.count()).where(frozen.label_set_id == set_id)) or 0
    n_live = connection.scalar(select(func.count()).where(*here)) or 0
    drifted = select(Expert.id).where(Expert.drifted_at.is_not(None))
    is_same = (frozen.expert_id == view.c.expert_id) & frozen.expert_id.not_in(drifted)
    common, same = connection.execute(
        select(func.count(), func.count().filter(is_same))
        .select_from(frozen)
        .join(view, getattr(frozen, item) == view.c[item])
        .where(frozen.label_set_id == set_id, *here)
    ).one()
    return {"labels": n_frozen, "stale": n_frozen + n_live - common - same}


@dataclass(frozen=True, slots=True)
class FrozenLabels:
    """The subject labels of a label set: subject -> expert."""

    fingerprint: str
    created_at: datetime
    experts: dict[str, str]


def newest_before(connection: Connection, scope: Scope, date: datetime) -> FrozenLabels | None:
    """The subject labels of a scope, of the policy `best`, that were frozen last before a date; None if none were."""
    row = connection.execute(
        select(LabelSet.id, LabelSet.fingerprint, LabelSet.created_at)
        .where(
            LabelSet.level == Level.SUBJECT.value,
            LabelSet.policy == Policy.BEST.value,
            LabelSet.pool_id == scope.pool.id,
            LabelSet.benchmark_id == scope.benchmark_id,
            LabelSet.split == scope.split,
            LabelSet.created_at < date,
        )
        .order_by(LabelSet.created_at.desc(), LabelSet.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    labels = connection.execute(
        select(Subject.name, Expert.name)
        .select_from(FrozenSubjectLabel)
        .join(Subject, Subject.id == FrozenSubjectLabel.subject_id)
        .join(Expert, Expert.id == FrozenSubjectLabel.expert_id)
        .where(FrozenSubjectLabel.label_set_id == row.id)
    )
    return FrozenLabels(row.fingerprint, row.created_at, dict(labels.all()))
