"""The lease of a running shard in SQL: extend it, record progress, finish the shard or give it back.

Every write of a claim (`claims`) is fenced by its owner and fence: a worker whose shard was reclaimed
(`expired_leases`) can write no more. Every change of a shard, here and there, updates the counts of its shard group in
the same transaction. Locks are always taken in the order shard, shard group, job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, update

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup

MAX_ATTEMPTS = 3
"""How often a shard is claimed without progress before it fails.

Claims are counted, so a shard that kills its worker fails too. A claim that stored progress does not count: a long
shard on a machine that is restarted every night gets to its end.
"""


class LostLeaseError(BenchcoeError):
    """The shard has gone to another worker; work in progress must not be written."""


class JobCancelledError(BenchcoeError):
    """The job was cancelled; what is stored so far stays."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of a shard's items: answered before the job, answered by the job, and ended in an error."""

    reused: int = 0
    answered: int = 0
    errors: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.reused + other.reused, self.answered + other.answered, self.errors + other.errors)

    def is_further_than(self, other: Tally) -> bool:
        """Whether there are more answers, or as many answers and more errors.

        An item that is asked again is an error less until it ends, so the number of items alone could grow for ever.
        """
        mine, others = self.reused + self.answered, other.reused + other.answered
        return (mine, self.errors) > (others, other.errors)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.reused - other.reused, self.answered - other.answered, self.errors - other.errors)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed shard. `fence` distinguishes this claim from every other claim of the same shard.

    `tally` is what earlier claims of the shard recorded.
    """

    shard_id: int
    fence: int
    owner: str
    attempts: int
    work: dict[str, Any]
    items: int
    shard_group_id: int
    job_id: int
    kind: str
    stage: int
    request: dict[str, Any]
    expert_id: int | None
    expert: str | None
    tally: Tally


def extend(connection: Connection, claim: Claim, lease_s: float) -> bool:
    """Extend the lease to `lease_s` seconds from now. Returns False if the lease is lost."""
    extended = update(Shard).where(_is_held(claim)).values(lease_until=database_time() + lease_s)
    return connection.execute(extended).rowcount == 1


def hold(connection: Connection, claim: Claim) -> Tally:
    """Begin a fenced write: lock the shard until the end of the transaction, so that it cannot be reclaimed.

    Returns the tally recorded so far. Raises LostLeaseError.
    """
    row = connection.execute(
        select(Shard.reused, Shard.answered, Shard.errors).where(_is_held(claim)).with_for_update()
    ).first()
    if row is None:
        raise LostLeaseError(f"shard {claim.shard_id} has gone to another worker")
    return Tally(*row)


def require_not_cancelled(connection: Connection, claim: Claim) -> None:
    """Raise JobCancelledError if the job was cancelled."""
    if _is_cancelled(connection, claim):
        raise JobCancelledError(f"job {claim.job_id} was cancelled")


def record(
    connection: Connection,
    claim: Claim,
    before: Tally,
    tally: Tally,
    *,
    lease_s: float,
    seconds: float = 0.0,
    loads: int = 0,
) -> None:
    """Set the shard's tally, and extend its lease to `lease_s` from now. A repeated record changes nothing.

    If the shard is further than when it was claimed, the attempt does not count. `before` is what `hold` returned in
    the same transaction. `seconds` and `loads` are added to those of the shard group.
    """
    values = {"reused": tally.reused, "answered": tally.answered, "errors": tally.errors}
    if tally.is_further_than(claim.tally):
        values["attempts"] = claim.attempts - 1
    connection.execute(
        update(Shard).where(Shard.id == claim.shard_id).values(lease_until=database_time() + lease_s, **values)
    )
    connection.execute(
        update(ShardGroup)
        .where(ShardGroup.id == claim.shard_group_id)
        .values(
            reused=ShardGroup.reused + (tally.reused - before.reused),
            answered=ShardGroup.answered + (tally.answered - before.answered),
            errors=ShardGroup.errors + (tally.errors - before.errors),
            seconds=ShardGroup.seconds + seconds,
            loads=ShardGroup.loads + loads,
        )
    )


def finish(connection: Connection, claim: Claim, state: ShardState, error: str | None = None) -> bool:
    """End the shard as done, failed or cancelled.

    Returns whether its shard group is over. Raises LostLeaseError.
    """
    return _end(connection, claim, state, error=error)


def give_back(connection: Connection, claim: Claim, error: str | None = None) -> bool:
    """Let the shard wait again, or cancel it if its job is cancelled. Without an `error` the attempt does not count.

    Returns whether its shard group is over. Raises LostLeaseError.
    """
    attempts = Shard.attempts if error else claim.attempts - 1
    state = ShardState.CANCELLED if _is_cancelled(connection, claim) else ShardState.WAITING
    return _end(connection, claim, state, error=error, attempts=attempts)


def is_last_attempt(connection: Connection, claim: Claim) -> bool:
    """Whether the shard fails if this attempt does: it stored no progress, and it is the last one that may do so."""
    attempts = connection.scalar(select(Shard.attempts).where(_is_held(claim)))
    return attempts is not None and attempts >= MAX_ATTEMPTS


def release(connection: Connection, claim: Claim, state: ShardState, **values: Any) -> None:
    """End the lease; the caller updates the counts of the shard group. Raises LostLeaseError."""
    if state is ShardState.DONE:  # the attempt that finished a shard counts
        values["attempts"] = claim.attempts
    ended = update(Shard).where(_is_held(claim)).values(state=state, owner=None, lease_until=None, **values)
    if connection.execute(ended).rowcount != 1:
        raise LostLeaseError(f"shard {claim.shard_id} has gone to another worker")


def add_counts(connection: Connection, shard_group_id: int, steps: Mapping[ShardState, int]) -> bool:
    """Add to the counts of a shard group. Returns whether none of its shards waits or runs any more.

    The row of the shard group stays locked: if two transactions end its last two shards at the same time, the second
    one sees that the group is over.
    """
    counts = {state.value: getattr(ShardGroup, state.value) + n for state, n in steps.items()}
    updated = (
        update(ShardGroup)
        .where(ShardGroup.id == shard_group_id)
        .values(**counts)
        .returning(ShardGroup.waiting + ShardGroup.running)
    )
    return connection.execute(updated).scalar_one() == 0


def _end(connection: Connection, claim: Claim, state: ShardState, **values: Any) -> bool:
    release(connection, claim, state, **values)
    return add_counts(connection, claim.shard_group_id, {ShardState.RUNNING: -1, state: 1})


def _is_held(claim: Claim) -> ColumnElement[bool]:
    return and_(
        Shard.id == claim.shard_id,
        Shard.state == ShardState.RUNNING,
        Shard.owner == claim.owner,
        Shard.fence == claim.fence,
    )


def _is_cancelled(connection: Connection, claim: Claim) -> bool:
    return connection.scalar(select(Job.cancelled_at).where(Job.id == claim.job_id)) is not None
