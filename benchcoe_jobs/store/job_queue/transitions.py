"""State transitions of many shards: fail a group, cancel the shards of a job or let them wait again.

Counts and locks follow the rules of `leases`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, true, update

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.store.job_queue.leases import add_counts
from benchcoe_jobs.store.job_queue.tables import Shard, ShardGroup


def fail_group(connection: Connection, shard_group_id: int, error: str) -> None:
    """Fail every waiting shard of a shard group, because each would fail for the same reason.

    Call `leases.hold` of the shard that failed before it, and `finish` after it: shards are locked before their group.
    Otherwise a claim can lock the failed shard, which PostgreSQL leaves locked if it turns out not to wait, and then
    wait for the group: a deadlock.
    """
    waiting = (Shard.shard_group_id == shard_group_id) & (Shard.state == ShardState.WAITING)
    _set_state(connection, waiting, ShardState.WAITING, ShardState.FAILED, error=error)


def cancel_waiting(connection: Connection, job_id: int) -> None:
    """Cancel the waiting shards of a job."""
    waiting = Shard.shard_group_id.in_(_groups_of(job_id)) & (Shard.state == ShardState.WAITING)
    _set_state(connection, waiting, ShardState.WAITING, ShardState.CANCELLED)


def resume(connection: Connection, job_id: int) -> int:
    """Let the failed and cancelled shards of a job, and those with errors among their items, wait again.

    Returns their number.
    """
    of_job = Shard.shard_group_id.in_(_groups_of(job_id))
    n = 0
    for state, which in (
        (ShardState.FAILED, true()),
        (ShardState.CANCELLED, true()),
        (ShardState.DONE, Shard.errors > 0),
    ):
        n += _set_state(
            connection, of_job & (Shard.state == state) & which, state, ShardState.WAITING, attempts=0, error=None
        )
    return n


def renew_attempts(connection: Connection, job_id: int) -> None:
    """Let the waiting and running shards of a job have all their attempts again."""
    unfinished = Shard.state.in_([ShardState.WAITING, ShardState.RUNNING])
    connection.execute(update(Shard).where(Shard.shard_group_id.in_(_groups_of(job_id)), unfinished).values(attempts=0))


def failed_work(connection: Connection, job_id: int) -> list[tuple[int, dict[str, Any], str]]:
    """(stage, work, error) of the failed shards of a job."""
    rows = connection.execute(
        select(ShardGroup.stage, Shard.work, Shard.error)
        .join(ShardGroup, ShardGroup.id == Shard.shard_group_id)
        .where(ShardGroup.job_id == job_id, Shard.state == ShardState.FAILED)
        .order_by(Shard.id)
    )
    return [(row.stage, row.work, row.error or "") for row in rows]


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
