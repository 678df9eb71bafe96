"""Label sets: frozen, fingerprinted copies of the labels of the views."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, func, select

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.labels.live_labels import SUBJECT_VIEWS, Scope, in_scope
from benchcoe_jobs.store.results.experts import PoolRef
from benchcoe_jobs.store.tables import Benchmark, Expert, FrozenQueryLabel, FrozenSubjectLabel, LabelSet, Pool
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
    header: list[object] = [level, scope.pool.name, scope.benchmark, scope.split, scope.pool.min_coverage]
    if policy is not Policy.BEST:  # so that label sets older than policies keep their fingerprints
        header.append(policy)
    digest = hashlib.sha256(json.dumps(header).encode())
    view = _view(level, policy).c
    item_id, item = (view.subject_id, view.subject) if level is Level.SUBJECT else (view.query_id, view.key)
    names: dict[int, str] = dict(connection.execute(select(Expert.id, Expert.name)).all())
    rows = connection.execute(
        select(item, item_id, view.expert_id).where(*in_scope(view, scope), view.expert_id.is_not(None))
    )
    # Sorted here by bytes, as both databases sort names, because views return rows in any order.
    labels = sorted(rows, key=itemgetter(0))
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
    target = FrozenSubjectLabel if level is Level.SUBJECT else FrozenQueryLabel
    rows_of_set = ((set_id, id_, expert_id) for _, id_, expert_id in labels)
    bulk.insert(connection, target, ["label_set_id", item_id.name, "expert_id"], rows_of_set)
    return LabelSetRef(set_id, fingerprint, created=True)


def label_sets(connection: Connection) -> list[dict[str, object]]:
    """All label sets, newest first; `stale` is the number of labels that differ from the current ones."""
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
    common, same = connection.execute(
        select(func.count(), func.count().filter(frozen.expert_id == view.c.expert_id))
        .select_from(frozen)
        .join(view, getattr(frozen, item) == view.c[item])
        .where(frozen.label_set_id == set_id, *here)
    ).one()
    return {"labels": n_frozen, "stale": n_frozen + n_live - common - same}
