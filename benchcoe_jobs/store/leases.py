"""The life of a shard, in SQL: claimed, held by beats, recorded, finished, given back, taken back.

Every change moves the counts of the shard's lot in the same transaction. Locks are always taken in the order
shard, lot, job. Whoever claimed a shard proves it by owner and fence at every write: a worker that was
believed dead, and whose shard went to another, changes nothing any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text, update

from benchcoe_jobs.domain import JobState, ShardState
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_tables import Job, Lot, Shard

MAX_ATTEMPTS = 3
"""How often a shard is claimed before it is given up. The claim counts, so a shard that kills its worker counts."""

_LOOKED_AT = 200
"""Among so many of the oldest lots the expert with the most waiting is looked for: younger ones wait their turn."""

_TRIED = 8
"""So many lots are tried for a shard that nobody else is just claiming."""


class LostLeaseError(BenchcoeError):
    """The shard has gone to another worker; whatever was under way must not be written."""


class JobCancelledError(BenchcoeError):
    """The job was cancelled; what is written so far stays."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a shard's items: answered before the job, answered by it, ended in an error."""

    there: int = 0
    answered: int = 0
    errors: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.there + other.there, self.answered + other.answered, self.errors + other.errors)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.there - other.there, self.answered - other.answered, self.errors - other.errors)


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
    lot_id: int
    job_id: int
    kind: str
    stage: int
    request: dict[str, Any]
    expert_id: int | None
    tally: Tally


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
    """Take the best waiting shard: of the resident expert, else of the expert with the most waiting.

    `gpus` is how many the worker has, `job_ids` limits the claim to some jobs. None where nothing waits.
    """
    for lot_id, job_id, kind, stage, request, expert_id in _lots_to_claim(connection, queues, resident, gpus, job_ids):
        row = _take(connection, owner, lot_id, lease_s)
        if row is not None:
            _move(connection, lot_id, {ShardState.WAITING: -1, ShardState.RUNNING: 1})
            return Claim(
                shard_id=row.id,
                fence=row.fence,
                owner=owner,
                attempts=row.attempts,
                work=row.work,
                items=row.items,
                lot_id=lot_id,
                job_id=job_id,
                kind=kind,
                stage=stage,
                request=request,
                expert_id=expert_id,
                tally=Tally(row.there, row.answered, row.errors),
            )
    return None


def extend(connection: Connection, claim: Claim, lease_s: float) -> bool:
    """A beat: the lease runs `lease_s` from now. False where it is lost."""
    beat = update(Shard).where(_is_held(claim)).values(lease_until=database_time() + lease_s)
    return connection.execute(beat).rowcount == 1


def hold(connection: Connection, claim: Claim) -> Tally:
    """Begin a fenced write: until the end of the transaction nobody else can take the shard.

    Returns what is recorded so far. Raises LostLeaseError.
    """
    row = connection.execute(
        select(Shard.there, Shard.answered, Shard.errors).where(_is_held(claim)).with_for_update()
    ).first()
    if row is None:
        raise LostLeaseError(f"shard {claim.shard_id} has gone to another worker")
    return Tally(*row)


def insist_on_going_on(connection: Connection, claim: Claim) -> None:
    """Raise JobCancelledError where somebody cancelled the job."""
    if _is_cancelled(connection, claim):
        raise JobCancelledError(f"job {claim.job_id} was cancelled")


def record(
    connection: Connection, claim: Claim, tally: Tally, *, lease_s: float, seconds: float = 0.0, loads: int = 0
) -> None:
    """Set what became of the shard's items so far; a record that is written twice counts once.

    `seconds` and `loads` are added to the lot's. Raises LostLeaseError.
    """
    before = hold(connection, claim)
    connection.execute(
        update(Shard)
        .where(Shard.id == claim.shard_id)
        .values(
            there=tally.there,
            answered=tally.answered,
            errors=tally.errors,
            lease_until=database_time() + lease_s,
        )
    )
    connection.execute(
        update(Lot)
        .where(Lot.id == claim.lot_id)
        .values(
            there=Lot.there + (tally.there - before.there),
            answered=Lot.answered + (tally.answered - before.answered),
            errors=Lot.errors + (tally.errors - before.errors),
            seconds=Lot.seconds + seconds,
            loads=Lot.loads + loads,
        )
    )


def finish(connection: Connection, claim: Claim, state: ShardState, error: str | None = None) -> bool:
    """The shard is over: done, failed or cancelled; returns whether its lot is. Raises LostLeaseError."""
    return _end(connection, claim, state, error=error)


def finish_and_claim(connection: Connection, claim: Claim, *, lease_s: float) -> tuple[Claim | None, bool]:
    """The shard is done; returns another one of its lot, taken in the same breath, and whether the lot is over.

    Half the round trips and half the commits of `finish` and `claim`. Raises LostLeaseError.
    """
    _let_go(connection, claim, ShardState.DONE)
    row = _take(connection, claim.owner, claim.lot_id, lease_s)
    if row is None:
        return None, _move(connection, claim.lot_id, {ShardState.RUNNING: -1, ShardState.DONE: 1})
    _move(connection, claim.lot_id, {ShardState.WAITING: -1, ShardState.DONE: 1})
    if connection.dialect.name == "postgresql":  # what a crash of the server loses of this is only done again
        connection.execute(text("SET LOCAL synchronous_commit TO off"))
    taken = replace(
        claim,
        shard_id=row.id,
        fence=row.fence,
        attempts=row.attempts,
        work=row.work,
        items=row.items,
        tally=Tally(row.there, row.answered, row.errors),
    )
    return taken, False


def give_back(connection: Connection, claim: Claim, error: str | None = None) -> bool:
    """The shard waits again, or is cancelled with its job. Without an `error` the attempt does not count.

    Returns whether its lot is over. Raises LostLeaseError.
    """
    attempts = Shard.attempts if error else Shard.attempts - 1
    state = ShardState.CANCELLED if _is_cancelled(connection, claim) else ShardState.WAITING
    return _end(connection, claim, state, error=error, attempts=attempts)


def fail_lot(connection: Connection, lot_id: int, error: str) -> None:
    """Every waiting shard of a lot fails: they would all fail alike.

    Comes before the `finish` of the shard that showed it: that one holds the lot, which a claim of another
    shard waits for.
    """
    waiting = (Shard.lot_id == lot_id) & (Shard.state == ShardState.WAITING)
    _move_all(connection, waiting, ShardState.WAITING, ShardState.FAILED, error=error)


def take_back(connection: Connection, gone: Collection[str] = ()) -> None:
    """Shards whose lease ran out, or whose owner is `gone`, wait again, or have failed after too many attempts.

    A shard that somebody else is changing just now is left to the next time.
    """
    late = or_(Shard.lease_until < database_time(), Shard.owner.in_(gone))
    rows = connection.execute(
        select(Shard.id, Shard.lot_id, Shard.attempts, Job.cancelled_at)
        .join(Lot, Lot.id == Shard.lot_id)
        .join(Job, Job.id == Lot.job_id)
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
        moves[row.lot_id, state] += 1
    for (lot_id, state), n in sorted(moves.items()):
        _move(connection, lot_id, {ShardState.RUNNING: -n, state: n})


def cancel_waiting(connection: Connection, job_id: int) -> None:
    """The waiting shards of a job are cancelled."""
    waiting = Shard.lot_id.in_(_lots_of(job_id)) & (Shard.state == ShardState.WAITING)
    _move_all(connection, waiting, ShardState.WAITING, ShardState.CANCELLED)


def retry_failed(connection: Connection, job_id: int) -> int:
    """Failed shards of a job, and those with errors among their items, wait again; returns how many."""
    mine = Shard.lot_id.in_(_lots_of(job_id))
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
        .where(Shard.lot_id.in_(_lots_of(job_id)), Shard.state == ShardState.FAILED)
        .order_by(Shard.id)
        .limit(limit)
    )
    return [(row.id, row.error or "") for row in rows]


def _lots_to_claim(
    connection: Connection,
    queues: Sequence[str],
    resident: int | None,
    gpus: int,
    job_ids: Collection[int] | None,
) -> Iterator[Any]:
    """The lots to claim from, best first; how many wait besides does not matter to what it costs."""
    lot = (
        select(Lot.id, Lot.job_id, Job.kind, Lot.stage, Job.request, Lot.expert_id)
        .join(Job, Job.id == Lot.job_id)
        .where(
            Lot.waiting > 0,
            Lot.queue.in_(queues),
            Lot.gpus <= gpus,
            Job.state == JobState.OPEN,
            Job.cancelled_at.is_(None),
        )
    )
    if job_ids is not None:
        lot = lot.where(Lot.job_id.in_(job_ids))
    if resident is not None:
        yield from connection.execute(lot.where(Lot.expert_id == resident).order_by(Lot.id).limit(_TRIED)).all()
    oldest = lot.add_columns(Lot.waiting).order_by(Lot.id).limit(_LOOKED_AT).subquery().c
    of_expert = func.sum(oldest.waiting).over(partition_by=oldest.expert_id)
    best = select(oldest.id, oldest.job_id, oldest.kind, oldest.stage, oldest.request, oldest.expert_id)
    yield from connection.execute(best.order_by(of_expert.desc(), oldest.id).limit(_TRIED)).all()


def _is_held(claim: Claim) -> ColumnElement[bool]:
    return and_(
        Shard.id == claim.shard_id,
        Shard.state == ShardState.RUNNING,
        Shard.owner == claim.owner,
        Shard.fence == claim.fence,
    )


def _is_cancelled(connection: Connection, claim: Claim) -> bool:
    return connection.scalar(select(Job.cancelled_at).where(Job.id == claim.job_id)) is not None


def _take(connection: Connection, owner: str, lot_id: int, lease_s: float) -> Any:
    best = (
        select(Shard.id)
        .where(Shard.lot_id == lot_id, Shard.state == ShardState.WAITING)
        .order_by(Shard.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(
        update(Shard)
        .where(Shard.id == best.scalar_subquery())
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
            Shard.there,
            Shard.answered,
            Shard.errors,
        )
    ).first()


def _end(connection: Connection, claim: Claim, state: ShardState, **values: Any) -> bool:
    _let_go(connection, claim, state, **values)
    return _move(connection, claim.lot_id, {ShardState.RUNNING: -1, state: 1})


def _let_go(connection: Connection, claim: Claim, state: ShardState, **values: Any) -> None:
    ended = update(Shard).where(_is_held(claim)).values(state=state, owner=None, lease_until=None, **values)
    if connection.execute(ended).rowcount != 1:
        raise LostLeaseError(f"shard {claim.shard_id} has gone to another worker")


def _move(connection: Connection, lot_id: int, steps: Mapping[ShardState, int]) -> bool:
    """Move a lot's counts; returns whether none of its shards waits or runs any more.

    The lot's row stays locked: of two that end its last two shards at once, the second sees that all is over.
    """
    counts = {state.value: getattr(Lot, state.value) + n for state, n in steps.items()}
    moved = update(Lot).where(Lot.id == lot_id).values(**counts).returning(Lot.waiting + Lot.running)
    return connection.execute(moved).scalar_one() == 0


def _move_all(
    connection: Connection, which: ColumnElement[bool], before: ShardState, after: ShardState, **values: Any
) -> int:
    moved = connection.scalars(update(Shard).where(which).values(state=after, **values).returning(Shard.lot_id)).all()
    for lot_id, n in sorted(Counter(moved).items()):
        _move(connection, lot_id, {before: -n, after: n})
    return len(moved)


def _lots_of(job_id: int) -> Any:
    return select(Lot.id).where(Lot.job_id == job_id)
