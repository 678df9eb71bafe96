"""A shard in somebody's hands, in SQL: held by beats, recorded, finished, given back.

Whoever claimed it (`claims`) proves it by owner and fence at every write: a worker that was believed dead, and
whose shard went to another (`moves`), changes nothing any more. Every change of a shard, there and here, moves the
counts of its shard_group in the same transaction, and locks are always taken in the order shard, shard_group, job.
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
"""How often a shard is claimed before it is given up. The claim counts, so a shard that kills its worker counts."""


class LostLeaseError(BenchcoeError):
    """The shard has gone to another worker; whatever was under way must not be written."""


class JobCancelledError(BenchcoeError):
    """The job was cancelled; what is written so far stays."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a shard's items: answered before the job, answered by it, ended in an error."""

    reused: int = 0
    answered: int = 0
    errors: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.reused + other.reused, self.answered + other.answered, self.errors + other.errors)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.reused - other.reused, self.answered - other.answered, self.errors - other.errors)


@dataclass(frozen=True, slots=True)
class Claim:
    """A shard in somebody's hands. `fence` tells this claim from every earlier and later one.

    `tally` is what earlier claims of the same shard recorded.
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
    tally: Tally


def extend(connection: Connection, claim: Claim, lease_s: float) -> bool:
    """A beat: the lease runs `lease_s` from now. False where it is lost."""
    beat = update(Shard).where(_is_held(claim)).values(lease_until=database_time() + lease_s)
    return connection.execute(beat).rowcount == 1


def hold(connection: Connection, claim: Claim) -> Tally:
    """Begin a fenced write: until the end of the transaction nobody else can take the shard.

    Returns what is recorded so far. Raises LostLeaseError.
    """
    row = connection.execute(
        select(Shard.reused, Shard.answered, Shard.errors).where(_is_held(claim)).with_for_update()
    ).first()
    if row is None:
        raise LostLeaseError(f"shard {claim.shard_id} has gone to another worker")
    return Tally(*row)


def require_not_cancelled(connection: Connection, claim: Claim) -> None:
    """Raise JobCancelledError where somebody cancelled the job."""
    if _is_cancelled(connection, claim):
        raise JobCancelledError(f"job {claim.job_id} was cancelled")


def record(
    connection: Connection, claim: Claim, tally: Tally, *, lease_s: float, seconds: float = 0.0, loads: int = 0
) -> None:
    """Set what became of the shard's items so far; a record that is written twice counts once.

    `seconds` and `loads` are added to the shard_group's. Raises LostLeaseError.
    """
    before = hold(connection, claim)
    connection.execute(
        update(Shard)
        .where(Shard.id == claim.shard_id)
        .values(
            reused=tally.reused,
            answered=tally.answered,
            errors=tally.errors,
            lease_until=database_time() + lease_s,
        )
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
    """The shard is over: done, failed or cancelled; returns whether its shard_group is. Raises LostLeaseError."""
    return _end(connection, claim, state, error=error)


def give_back(connection: Connection, claim: Claim, error: str | None = None) -> bool:
    """The shard waits again, or is cancelled with its job. Without an `error` the attempt does not count.

    Returns whether its shard_group is over. Raises LostLeaseError.
    """
    attempts = Shard.attempts if error else Shard.attempts - 1
    state = ShardState.CANCELLED if _is_cancelled(connection, claim) else ShardState.WAITING
    return _end(connection, claim, state, error=error, attempts=attempts)


def let_go(connection: Connection, claim: Claim, state: ShardState, **values: Any) -> None:
    """The shard is nobody's any more; its shard_group is not told. Raises LostLeaseError."""
    ended = update(Shard).where(_is_held(claim)).values(state=state, owner=None, lease_until=None, **values)
    if connection.execute(ended).rowcount != 1:
        raise LostLeaseError(f"shard {claim.shard_id} has gone to another worker")


def move_counts(connection: Connection, shard_group_id: int, steps: Mapping[ShardState, int]) -> bool:
    """Move a shard_group's counts; returns whether none of its shards waits or runs any more.

    The shard_group's row stays locked: of two that end its last two shards at once, the second sees that all is over.
    """
    counts = {state.value: getattr(ShardGroup, state.value) + n for state, n in steps.items()}
    moved = (
        update(ShardGroup)
        .where(ShardGroup.id == shard_group_id)
        .values(**counts)
        .returning(ShardGroup.waiting + ShardGroup.running)
    )
    return connection.execute(moved).scalar_one() == 0


def _end(connection: Connection, claim: Claim, state: ShardState, **values: Any) -> bool:
    let_go(connection, claim, state, **values)
    return move_counts(connection, claim.shard_group_id, {ShardState.RUNNING: -1, state: 1})


def _is_held(claim: Claim) -> ColumnElement[bool]:
    return and_(
        Shard.id == claim.shard_id,
        Shard.state == ShardState.RUNNING,
        Shard.owner == claim.owner,
        Shard.fence == claim.fence,
    )


def _is_cancelled(connection: Connection, claim: Claim) -> bool:
    return connection.scalar(select(Job.cancelled_at).where(Job.id == claim.job_id)) is not None
