"""Shards under any order of claims, lost leases, cancels and retries that hypothesis finds, and under real threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fake_plugins
import pytest
from examples import examples
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, delete, func, select, update

from benchcoe_jobs.domain import JobState, ShardState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel, retry, settle, submit, sweep
from benchcoe_jobs.store.job_queue import claims, expired_leases, jobs, leases, transitions, unfinished
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS, Claim, LostLeaseError, Tally
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup
from benchcoe_jobs.store.session import Store

OWNERS = st.sampled_from(["ann@here.1", "bob@here.2"])
STAGES = st.sampled_from([[[2], [1]], [[1, 3], []], [[0], [2]], [[], []]])
ITEMS = 3


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins.install(tmp_path, monkeypatch)


def record(connection: Connection, claim: Claim, tally: Tally) -> None:
    """As `Lease.commit` does."""
    leases.record(connection, claim, leases.hold(connection, claim), tally, lease_s=60)


class ShardLife(RuleBasedStateMachine):
    """Owners that run the shards of jobs. `current` holds the valid claim of every running shard."""

    store: Store
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        with self.store.writing() as connection:
            for table in (Shard, ShardGroup, Job):
                connection.execute(delete(table))
        self.current: dict[int, Claim] = {}
        self.fences: Counter[int] = Counter()
        self.submitted: list[int] = []

    @initialize()
    def begin(self) -> None:
        self.submit([[2], [1]])

    @rule(stages=STAGES)
    def submit(self, stages: list[list[int]]) -> None:
        """The same work is one job while that job is open, unless it is being cancelled."""
        request = {"stages": stages}
        with self.store.reading() as connection:
            open_jobs = jobs.list_jobs(connection, only_open=True)
        same_work = [job.id for job in open_jobs if job.request["stages"] == stages and job.cancelled_at is None]
        with self.store.writing() as connection:
            job_id, is_new = submit(connection, "empty", request)
        # A retried job asks for more than it did at first, and may stand beside a new one.
        assert is_new or job_id in same_work
        if is_new:
            self.submitted.append(job_id)

    @rule(target=claims, owner=OWNERS)
    def claim(self, owner: str) -> object:
        with self.store.writing() as connection:
            claim = claims.claim(connection, owner, ["cpu"], lease_s=60)
        with self.store.reading() as connection:
            waiting = unfinished.waiting_shards(connection, 1000)
            if claim is None:
                assert waiting == {}
                return multiple()
            job = jobs.read_job(connection, claim.job_id)
        assert job.is_open
        assert job.cancelled_at is None, "a shard of a cancelled job was claimed"
        assert claim.stage == job.stage
        assert 1 <= claim.attempts <= MAX_ATTEMPTS
        assert claim.fence > self.fences[claim.shard_id]
        assert claim.shard_id not in self.current
        self.fences[claim.shard_id] = claim.fence
        self.current[claim.shard_id] = claim
        return claim

    @rule(claim=claims, answered=st.integers(0, ITEMS), errors=st.integers(0, 1))
    def record(self, claim: Claim, answered: int, errors: int) -> None:
        tally = Tally(answered=min(answered, ITEMS - errors), errors=errors)
        for _ in range(2):  # as after a commit whose reply was lost
            self._write(claim, lambda connection: record(connection, claim, tally))

    @rule(claim=claims)
    def heartbeat(self, claim: Claim) -> None:
        with self.store.writing() as connection:
            assert leases.extend(connection, claim, 60) is self._holds(claim)

    @rule(claim=consumes(claims), state=st.sampled_from([ShardState.DONE, ShardState.FAILED]))
    def finish(self, claim: Claim, state: ShardState) -> None:
        self._end(claim, lambda connection: leases.finish(connection, claim, state, "a reason"))

    @rule(target=claims, claim=consumes(claims))
    def finish_and_continue(self, claim: Claim) -> object:
        taken: list[Claim] = []

        def write(connection: Connection) -> None:
            following, group_is_over = claims.finish_and_claim(connection, claim, lease_s=60)
            taken.extend([] if following is None else [following])
            unfinished = connection.scalar(
                select(ShardGroup.waiting + ShardGroup.running).where(ShardGroup.id == claim.shard_group_id)
            )
            assert group_is_over is (unfinished == 0)

        self._end(claim, write)
        if not taken:
            return multiple()
        [following] = taken
        assert (following.shard_group_id, following.owner) == (claim.shard_group_id, claim.owner)
        assert following.fence > self.fences[following.shard_id]
        assert following.shard_id not in self.current
        self.fences[following.shard_id] = following.fence
        self.current[following.shard_id] = following
        return following

    @rule(claim=claims)
    def fail_with_its_group(self, claim: Claim) -> None:
        def write(connection: Connection) -> None:
            transitions.fail_group(connection, claim.shard_group_id, "hopeless")
            leases.finish(connection, claim, ShardState.FAILED, "hopeless")

        self._end(claim, write)

    @rule(claim=claims, error=st.sampled_from([None, "it went wrong"]))
    def give_back(self, claim: Claim, error: str | None) -> None:
        """As the executor does: after the last attempt, an error is not given back."""
        if error and claim.attempts >= MAX_ATTEMPTS:
            return
        self._end(claim, lambda connection: leases.give_back(connection, claim, error))

    @rule(owner=OWNERS)
    def fall_silent(self, owner: str) -> None:
        """Let all leases of an owner expire by the clock of the database, and sweep."""
        with self.store.writing() as connection:
            late = (Shard.owner == owner) & (Shard.state == ShardState.RUNNING)
            connection.execute(update(Shard).where(late).values(lease_until=Shard.lease_until - 61))
        sweep(self.store)
        self._forget(owner)

    @rule(owner=OWNERS)
    def be_killed(self, owner: str) -> None:
        with self.store.writing() as connection:
            expired_leases.reclaim_stalled(connection, [owner])
        self._forget(owner)
        sweep(self.store)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        with self.store.reading() as connection:
            open_jobs = [job.id for job in jobs.list_jobs(connection, only_open=True)]
        job_id = data.draw(st.sampled_from(open_jobs or self.submitted))
        if open_jobs:
            assert cancel(self.store, job_id).cancelled_at is not None
            with self.store.reading() as connection:
                assert sum(shard_group.waiting for shard_group in jobs.shard_groups(connection, [job_id])) == 0
        else:
            with pytest.raises(UsageError, match="is over"):
                cancel(self.store, job_id)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.submitted))
        with self.store.reading() as connection:
            job = jobs.read_job(connection, job_id)
            groups = jobs.shard_groups(connection, [job_id])
            failed = job.state is JobState.CANCELLED or any(
                shard_group.failed or (shard_group.done and shard_group.errors) for shard_group in groups
            )
            twins = [
                other.id
                for other in jobs.list_jobs(connection, only_open=True)
                if other.request["stages"] == job.request["stages"] and other.id != job_id
            ]
        if job.is_open or not failed:
            with pytest.raises(UsageError):
                retry(self.store, job_id)
        elif not twins:
            assert retry(self.store, job_id) > 0 or job.state is JobState.CANCELLED
            with self.store.reading() as connection:
                again = jobs.read_job(connection, job_id)
            assert again.cancelled_at is None
            assert again.state in (JobState.OPEN, JobState.DONE)

    @invariant()
    def counts_are_those_of_the_shards(self) -> None:
        with self.store.reading() as connection:
            states = Counter(map(tuple, connection.execute(select(Shard.shard_group_id, Shard.state))))
            tallies = {
                shard_group: (items, reused, answered, errors)
                for shard_group, items, reused, answered, errors in connection.execute(
                    select(
                        Shard.shard_group_id,
                        func.sum(Shard.items),
                        func.sum(Shard.reused),
                        func.sum(Shard.answered),
                        func.sum(Shard.errors),
                    ).group_by(Shard.shard_group_id)
                )
            }
            for shard_group in connection.execute(select(ShardGroup.__table__)):
                assert {state: getattr(shard_group, state) for state in ShardState} == {
                    state: states[shard_group.id, state] for state in ShardState
                }
                assert (shard_group.items, shard_group.reused, shard_group.answered, shard_group.errors) == tallies.get(
                    shard_group.id, (0, 0, 0, 0)
                )

    @invariant()
    def a_job_is_open_while_a_shard_is(self) -> None:
        with self.store.reading() as connection:
            for job in jobs.list_jobs(connection):
                assert job.is_open == bool(unfinished.n_unfinished(connection, job.id)), job
                assert job.is_open == (job.finished_at is None)
                shard_groups = jobs.shard_groups(connection, [job.id])
                assert job.cancelled_at is None or not any(shard_group.waiting for shard_group in shard_groups), (
                    "a cancelled job has waiting shards"
                )
                match job.state:
                    case JobState.DONE:
                        assert not any(
                            shard_group.failed or shard_group.errors or shard_group.cancelled
                            for shard_group in shard_groups
                        )
                    case JobState.PARTIAL | JobState.FAILED:
                        assert job.error
                        assert any(shard_group.failed or shard_group.errors for shard_group in shard_groups)
                    case JobState.CANCELLED:
                        assert job.cancelled_at is not None

    @invariant()
    def running_shards_have_the_right_owner(self) -> None:
        with self.store.reading() as connection:
            shards = list(connection.execute(select(Shard.__table__)))
        for shard in shards:
            assert 0 <= shard.attempts <= MAX_ATTEMPTS
            assert shard.fence >= self.fences[shard.id], "fences only grow"
            assert (shard.owner is None) == (shard.lease_until is None) == (shard.state != ShardState.RUNNING)
        running = {shard.id: (shard.owner, shard.fence) for shard in shards if shard.owner}
        assert running == {id_: (claim.owner, claim.fence) for id_, claim in self.current.items()}

    def _holds(self, claim: Claim) -> bool:
        return self.current.get(claim.shard_id) is claim

    def _forget(self, owner: str) -> None:
        self.current = {id_: claim for id_, claim in self.current.items() if claim.owner != owner}

    def _write(self, claim: Claim, write: Callable[[Connection], None]) -> None:
        """A write with the valid claim succeeds; any other write is refused and changes nothing."""
        if self._holds(claim):
            with self.store.writing() as connection:
                write(connection)
                settle(connection, claim.job_id)
            return
        with pytest.raises(LostLeaseError), self.store.writing() as connection:
            write(connection)

    def _end(self, claim: Claim, write: Callable[[Connection], None]) -> None:
        self._write(claim, write)
        if self._holds(claim):
            del self.current[claim.shard_id]


@pytest.mark.parametrize("ends", ["killed", "error"])
def test_an_attempt_that_stored_progress_does_not_count(store: Store, ends: str) -> None:
    """A shard gets further in ten attempts, then three attempts in a row end at the same item."""
    with store.writing() as connection:
        submit(connection, "empty", {"stages": [[1], []]})

    def attempt(tally: Tally | None) -> None:
        with store.writing() as connection:
            held = claims.claim(connection, "owner", ["cpu"], lease_s=60)
            assert held is not None
            if tally is not None:
                record(connection, held, tally)
            if ends == "killed":
                expired_leases.reclaim_stalled(connection, ["owner"])
            elif leases.is_last_attempt(connection, held):
                leases.finish(connection, held, ShardState.FAILED, "no memory")
            else:
                leases.give_back(connection, held, "no memory")

    for n in range(1, 11):
        attempt(Tally(answered=n))
        assert shards(store) == [("waiting", 0)]
    attempt(Tally(answered=10, errors=1))
    assert shards(store) == [("waiting", 0)], "an item that ended in an error is progress"
    attempt(Tally(answered=10, errors=0))  # it is asked again
    attempt(Tally(answered=10, errors=0))
    assert shards(store) == [("waiting", 2)], "asking the same item again is none"
    attempt(None)
    assert shards(store) == [("failed", MAX_ATTEMPTS)]


def test_giving_back_after_progress_counts_no_attempt(store: Store) -> None:
    with store.writing() as connection:
        submit(connection, "empty", {"stages": [[1], []]})
        held = claims.claim(connection, "owner", ["cpu"], lease_s=60)
        assert held is not None
        record(connection, held, Tally(answered=1))
        leases.give_back(connection, held)
    assert shards(store) == [("waiting", 0)]


def shards(store: Store) -> list[tuple[str, int]]:
    """(state, attempts) of every shard."""
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(Shard.state, Shard.attempts).order_by(Shard.id))]


def test_no_order_of_events_breaks_the_state_machine(store: Store) -> None:
    class Life(ShardLife):
        pass

    Life.store = store
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples(4), stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_many_threads_claim_every_shard_once(store: Store) -> None:
    """Locks are taken in one order, so there are no deadlocks and no errors that require a retry."""
    n_groups, n_shards = 3, 20
    with store.writing() as connection:
        job_id, _ = submit(connection, "empty", {"stages": [[n_shards] * n_groups, [0]]})
    claimed: list[int] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            while True:
                with store.writing() as connection:
                    claim = claims.claim(connection, f"worker {number}", ["cpu"], lease_s=60)
                if claim is None:
                    return
                claimed.append(claim.shard_id)
                with store.writing() as connection:
                    record(connection, claim, Tally(answered=ITEMS))
                with store.writing() as connection:
                    expired_leases.reclaim_stalled(connection)
                with store.writing() as connection:
                    if len(claimed) > n_groups * n_shards - 10:
                        leases.hold(connection, claim)
                        transitions.fail_group(connection, claim.shard_group_id, "hopeless")
                    leases.finish(connection, claim, ShardState.DONE)
                    settle(connection, job_id)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(Counter(claimed).values()) == {1}
    with store.reading() as connection:
        job = jobs.read_job(connection, job_id)
        shard_groups = jobs.shard_groups(connection, [job_id])
    assert sum(shard_group.done for shard_group in shard_groups) == len(claimed)
    assert sum(shard_group.done + shard_group.failed for shard_group in shard_groups) == n_groups * n_shards
    assert not job.is_open
