"""Claim the best waiting shard, in one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from benchcoe_jobs.domain import JobState, ShardState
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.leases import Claim, Tally, add_counts, release
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup

_CONSIDERED = 200
"""How many of the oldest shard groups a claim considers when it looks for the expert with the most waiting shards."""

_TRIED = 8
"""How many shard groups are tried. The shards of one may all be locked by other claims."""


def claim(
    connection: Connection,
    owner: str,
    queues: Sequence[str],
    *,
    lease_s: float,
    resident: int | None = None,
    gpus: int = 0,
    job_ids: Collection[int] | None = None,
) -> Claim | None:
    """Claim a waiting shard of the resident expert, else of the expert with the most waiting shards.

    `gpus` is the number of GPUs of the worker; `job_ids` limits the claim to some jobs. Returns None if no shard
    waits.
    """
    for shard_group_id, job_id, kind, stage, request, expert_id in _groups_to_claim(
        connection, queues, resident, gpus, job_ids
    ):
        row = _claim_in(connection, owner, shard_group_id, lease_s)
        if row is not None:
            add_counts(connection, shard_group_id, {ShardState.WAITING: -1, ShardState.RUNNING: 1})
            return Claim(
                shard_id=row.id,
                fence=row.fence,
                owner=owner,
                attempts=row.attempts,
                work=row.work,
                items=row.items,
                shard_group_id=shard_group_id,
                job_id=job_id,
                kind=kind,
                stage=stage,
                request=request,
                expert_id=expert_id,
                tally=Tally(row.reused, row.answered, row.errors),
            )
    return None


def finish_and_claim(connection: Connection, claim: Claim, *, lease_s: float) -> tuple[Claim | None, bool]:
    """Finish a shard. Returns the next shard of its group, already claimed, and whether the group is over.

    This takes half the round trips and commits of `finish` and `claim`. Raises LostLeaseError.
    """
    release(connection, claim, ShardState.DONE)
    # If a shard follows, the commit does not wait for PostgreSQL's disk: work that a crash of the server loses is
    # done again. The setting travels with the claiming statement, so it costs no round trip.
    lazily = [func.set_config("synchronous_commit", "off", True)] if connection.dialect.name == "postgresql" else []
    row = _claim_in(connection, claim.owner, claim.shard_group_id, lease_s, *lazily)
    if row is None:
        return None, add_counts(connection, claim.shard_group_id, {ShardState.RUNNING: -1, ShardState.DONE: 1})
    add_counts(connection, claim.shard_group_id, {ShardState.WAITING: -1, ShardState.DONE: 1})
    following = replace(
        claim,
        shard_id=row.id,
        fence=row.fence,
        attempts=row.attempts,
        work=row.work,
        items=row.items,
        tally=Tally(row.reused, row.answered, row.errors),
    )
    return following, False


def _groups_to_claim(
    connection: Connection,
    queues: Sequence[str],
    resident: int | None,
    gpus: int,
    job_ids: Collection[int] | None,
) -> Iterator[Any]:
    """The shard groups to claim from, best first. The cost does not grow with the number of waiting groups."""
    claimable = (
        select(ShardGroup.id, ShardGroup.job_id, Job.kind, ShardGroup.stage, Job.request, ShardGroup.expert_id)
        .join(Job, Job.id == ShardGroup.job_id)
        .where(
            ShardGroup.waiting > 0,
            ShardGroup.queue.in_(queues),
            ShardGroup.gpus <= gpus,
            Job.state == JobState.OPEN,
            Job.cancelled_at.is_(None),
        )
    )
    if job_ids is not None:
        claimable = claimable.where(ShardGroup.job_id.in_(job_ids))
    if resident is not None:
        yield from connection.execute(
            claimable.where(ShardGroup.expert_id == resident).order_by(ShardGroup.id).limit(_TRIED)
        ).all()
    oldest = claimable.add_columns(ShardGroup.waiting).order_by(ShardGroup.id).limit(_CONSIDERED).subquery().c
    of_expert = func.sum(oldest.waiting).over(partition_by=oldest.expert_id)
    best = select(oldest.id, oldest.job_id, oldest.kind, oldest.stage, oldest.request, oldest.expert_id)
    yield from connection.execute(best.order_by(of_expert.desc(), oldest.id).limit(_TRIED)).all()


def _claim_in(
    connection: Connection, owner: str, shard_group_id: int, lease_s: float, *returning: ColumnElement[Any]
) -> Any:
    """Claim the first waiting shard of a shard group that no other transaction has locked. None if there is none."""
    first = (
        select(Shard.id)
        .where(Shard.shard_group_id == shard_group_id, Shard.state == ShardState.WAITING)
        .order_by(Shard.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(
        update(Shard)
        .where(Shard.id == first.scalar_subquery())
        .values(
            state=ShardState.RUNNING,
            owner=owner,
            lease_until=database_time() + lease_s,
            attempts=Shard.attempts + 1,
            fence=Shard.fence + 1,
        )
        .returning(
            Shard.id,
            Shard.fence,
            Shard.attempts,
            Shard.work,
            Shard.items,
            Shard.reused,
            Shard.answered,
            Shard.errors,
            *returning,
        )
    ).first()
