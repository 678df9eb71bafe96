"""Many shards at once: a shard_group that is hopeless, what the dead left, a job that is cancelled or done again.

Counts and locks are kept as in `leases`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS, move_counts
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup


def fail_group(connection: Connection, shard_group_id: int, error: str) -> None:
    """Every waiting shard of a shard_group fails: they would all fail alike.

    Comes before the `finish` of the shard that showed it: that one holds the shard_group, which a claim of another
    shard waits for.
    """
    waiting = (Shard.shard_group_id == shard_group_id) & (Shard.state == ShardState.WAITING)
    _move_all(connection, waiting, ShardState.WAITING, ShardState.FAILED, error=error)


def reclaim_stalled(connection: Connection, gone: Collection[str] = ()) -> None:
    """Shards whose lease ran out, or whose owner is `gone`, wait again, or have failed after too many attempts.

    A shard that somebody else is changing just now is left to the next time.
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
    moves: Counter[tuple[int, ShardState]] = Counter()
    for row in rows:
        error = None
        if row.cancelled_at is not None:
            state = ShardState.CANCELLED
        elif row.attempts >= MAX_ATTEMPTS:
            state, error = ShardState.FAILED, f"its worker died {row.attempts} times, or gave no sign of life"
        else:
            state = ShardState.WAITING
        values = {"state": state, "owner": None, "lease_until": None, "error": error}
        connection.execute(update(Shard).where(Shard.id == row.id).values(**values))
        moves[row.shard_group_id, state] += 1
    for (shard_group_id, state), n in sorted(moves.items()):
        move_counts(connection, shard_group_id, {ShardState.RUNNING: -n, state: n})


def cancel_waiting(connection: Connection, job_id: int) -> None:
    """The waiting shards of a job are cancelled."""
    waiting = Shard.shard_group_id.in_(_groups_of(job_id)) & (Shard.state == ShardState.WAITING)
    _move_all(connection, waiting, ShardState.WAITING, ShardState.CANCELLED)


def retry_failed(connection: Connection, job_id: int) -> int:
    """Failed shards of a job, and those with errors among their items, wait again; returns how many."""
    mine = Shard.shard_group_id.in_(_groups_of(job_id))
    fresh = {"attempts": 0}
    n = _move_all(connection, mine & (Shard.state == ShardState.FAILED), ShardState.FAILED, ShardState.WAITING, **fresh)
    partly = mine & (Shard.state == ShardState.DONE) & (Shard.errors > 0)
    return n + _move_all(connection, partly, ShardState.DONE, ShardState.WAITING, **fresh)


def running_owners(connection: Connection) -> set[str]:
    """Who holds a running shard."""
    return set(connection.scalars(select(Shard.owner).where(Shard.state == ShardState.RUNNING).distinct()))


def failures(connection: Connection, job_id: int, limit: int) -> list[tuple[int, str]]:
    """(shard id, error) of a job's failed shards, the first ones."""
    rows = connection.execute(
        select(Shard.id, Shard.error)
        .where(Shard.shard_group_id.in_(_groups_of(job_id)), Shard.state == ShardState.FAILED)
        .order_by(Shard.id)
        .limit(limit)
    )
    return [(row.id, row.error or "") for row in rows]


def _move_all(
    connection: Connection, which: ColumnElement[bool], before: ShardState, after: ShardState, **values: Any
) -> int:
    moved = connection.scalars(
        update(Shard).where(which).values(state=after, **values).returning(Shard.shard_group_id)
    ).all()
    for shard_group_id, n in sorted(Counter(moved).items()):
        move_counts(connection, shard_group_id, {before: -n, after: n})
    return len(moved)


def _groups_of(job_id: int) -> Any:
    return select(ShardGroup.id).where(ShardGroup.job_id == job_id)
