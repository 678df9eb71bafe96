"""State transitions of many shards: fail a group, reclaim stalled shards, cancel or retry the shards of a job.

Counts and locks follow the rules of `leases`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS, add_counts
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup


def fail_group(connection: Connection, shard_group_id: int, error: str) -> None:
    """Fail every waiting shard of a shard group, because each would fail for the same reason.

    Call it before `finish` of the shard that failed: `finish` locks the row of the shard group, and shards are locked
    before their group.
    """
    waiting = (Shard.shard_group_id == shard_group_id) & (Shard.state == ShardState.WAITING)
    _set_state(connection, waiting, ShardState.WAITING, ShardState.FAILED, error=error)


def reclaim_stalled(connection: Connection, gone: Collection[str] = ()) -> None:
    """Let shards whose lease expired, or whose owner is in `gone`, wait again; after MAX_ATTEMPTS claims they fail.

    Shards locked by another transaction are skipped; a later call reclaims them.
    """
    late = or_(Shard.lease_until < database_time(), Shard.owner.in_(gone))
    rows = connection.execute(
        select(Shard.id, Shard.shard_group_id, Shard.attempts, Job.cancelled_at)
        .join(ShardGroup, ShardGroup.id == Shard.shard_group_id)
        .join(Job, Job.id == ShardGroup.job_id)
        .where(Shard.state == ShardState.RUNNING, late)
        .order_by(Shard.id)
        .with_for_update(skip_locked=True, of=Shard)
    ).all()
    reclaimed: Counter[tuple[int, ShardState]] = Counter()
    for row in rows:
        error = None
        if row.cancelled_at is not None:
            state = ShardState.CANCELLED
        elif row.attempts >= MAX_ATTEMPTS:
            state, error = ShardState.FAILED, f"its worker was killed or stopped responding {row.attempts} times"
        else:
            state = ShardState.WAITING
        values = {"state": state, "owner": None, "lease_until": None, "error": error}
        connection.execute(update(Shard).where(Shard.id == row.id).values(**values))
        reclaimed[row.shard_group_id, state] += 1
    for (shard_group_id, state), n in sorted(reclaimed.items()):
        add_counts(connection, shard_group_id, {ShardState.RUNNING: -n, state: n})


def cancel_waiting(connection: Connection, job_id: int) -> None:
    """Cancel the waiting shards of a job."""
    waiting = Shard.shard_group_id.in_(_groups_of(job_id)) & (Shard.state == ShardState.WAITING)
    _set_state(connection, waiting, ShardState.WAITING, ShardState.CANCELLED)


def retry_failed(connection: Connection, job_id: int) -> int:
    """Let the failed shards of a job, and those with errors among their items, wait again. Returns their number."""
    of_job = Shard.shard_group_id.in_(_groups_of(job_id))
    fresh = {"attempts": 0}
    failed = of_job & (Shard.state == ShardState.FAILED)
    partly = of_job & (Shard.state == ShardState.DONE) & (Shard.errors > 0)
    n = _set_state(connection, failed, ShardState.FAILED, ShardState.WAITING, **fresh)
    return n + _set_state(connection, partly, ShardState.DONE, ShardState.WAITING, **fresh)


def running_owners(connection: Connection) -> set[str]:
    """The owners of the running shards."""
    return set(connection.scalars(select(Shard.owner).where(Shard.state == ShardState.RUNNING).distinct()))


def failures(connection: Connection, job_id: int, limit: int) -> list[tuple[int, str]]:
    """(shard id, error) of the first `limit` failed shards of a job."""
    rows = connection.execute(
        select(Shard.id, Shard.error)
        .where(Shard.shard_group_id.in_(_groups_of(job_id)), Shard.state == ShardState.FAILED)
        .order_by(Shard.id)
        .limit(limit)
    )
    return [(row.id, row.error or "") for row in rows]


def _set_state(
    connection: Connection, which: ColumnElement[bool], before: ShardState, after: ShardState, **values: Any
) -> int:
    changed = connection.scalars(
        update(Shard).where(which).values(state=after, **values).returning(Shard.shard_group_id)
    ).all()
    for shard_group_id, n in sorted(Counter(changed).items()):
        add_counts(connection, shard_group_id, {before: -n, after: n})
    return len(changed)


def _groups_of(job_id: int) -> Any:
    return select(ShardGroup.id).where(ShardGroup.job_id == job_id)
