"""Which shard a claim takes."""

from __future__ import annotations

import pytest
from queue_rows import add_expert_group, add_job, claim, group_of, shards
from sqlalchemy import select, text
from sqlalchemy.event import listen

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import claims, jobs, leases
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup, Submission
from benchcoe_jobs.store.job_queue.leases import Claim, LostLeaseError, Tally
from benchcoe_jobs.store.job_queue.tables import Shard
from benchcoe_jobs.store.job_queue.turns import LoadedExpert
from benchcoe_jobs.store.session import Store


def test_the_loaded_expert_comes_first_then_the_one_with_most_shards(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x")
        few, many = (add_expert_group(connection, job_id, name, n) for name, n in (("few", 1), ("many", 3)))
        assert claim(connection).expert_id == many
        loaded = LoadedExpert(few)
        assert claim(connection, loaded=loaded).expert_id == few
        assert claim(connection, loaded=loaded).expert_id == many, "nothing waits for the loaded one"


def test_a_claim_has_its_owner_and_counts_as_an_attempt(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 2)
        first, second = claim(connection, "one"), claim(connection, "two")
        group = group_of(connection, job_id)
        assert claims.claim(connection, "three", ["cpu"], lease_s=60) is None
    assert (first.owner, first.attempts, first.fence, first.items, first.work) == ("one", 1, 1, 3, {"number": 0})
    assert (second.owner, second.work, second.kind, second.stage) == ("two", {"number": 1}, "empty", 0)
    assert (group.waiting, group.running) == (0, 2)


def test_queues_gpus_and_jobs_limit_a_claim(store: Store) -> None:
    with store.writing() as connection:
        large = add_job(connection, "large", 1, queue=Queue.GPU, gpus=2)
        small = add_job(connection, "small", 1)
        assert claims.claim(connection, "o", ["gpu"], lease_s=60, gpus=1) is None
        assert claims.claim(connection, "o", ["cpu", "gpu"], lease_s=60, gpus=2, job_ids=[large + small]) is None
        found = claims.claim(connection, "o", ["cpu", "gpu"], lease_s=60, gpus=2, job_ids=[large])
        assert found is not None
        assert found.job_id == large


def test_shards_of_cancelled_and_closed_jobs_are_not_claimed(store: Store) -> None:
    with store.writing() as connection:
        jobs.flag_cancelled(connection, add_job(connection, "cancelled", 1))
        jobs.close_job(connection, add_job(connection, "closed", 1), jobs.JobState.FAILED, None)
        assert claims.claim(connection, "o", ["cpu"], lease_s=60) is None


def test_finishing_claims_the_next_shard_of_the_same_group(store: Store) -> None:
    with store.writing() as connection:
        first_job, other_job = add_job(connection, "x", 2), add_job(connection, "y", 9)
        first = claim(connection, job_ids=[first_job])
        second, is_over = claims.finish_and_claim(connection, first, lease_s=60)
        assert second is not None
        assert (second.job_id, second.work, is_over) == (first_job, {"number": 1}, False)
        assert claims.finish_and_claim(connection, second, lease_s=60) == (None, True)
        group = group_of(connection, first_job)
        assert (group.done, group.waiting, group.running) == (2, 0, 0)
        assert group_of(connection, other_job).waiting == 9


def test_the_shards_of_all_groups_of_an_expert_count_and_a_tie_goes_to_the_oldest_group(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x")
        older = add_expert_group(connection, job_id, "a", 3)
        newer = add_expert_group(connection, job_id, "b", 2)
        jobs.add_shard_groups(connection, job_id, 0, [NewShardGroup(Queue.CPU, [({}, 1)] * 2, newer)])
        claimed = [claim(connection) for _ in range(2)]
        assert [one.expert_id for one in claimed] == [newer, older], "4 shards against 3, and then 3 against 3"
        _, first, second = jobs.shard_groups(connection, [job_id])
        assert (first.waiting, second.waiting) == (1, 2), "of one expert, the oldest group comes first"


def test_jobs_are_served_in_turn(store: Store) -> None:
    with store.writing() as connection:
        large, small = add_job(connection, "large", 3), add_job(connection, "small", 1)
    claimed = []
    for _ in range(3):
        with store.writing() as connection:
            claimed.append(claim(connection).job_id)
    assert claimed == [large, small, large]


def test_priority_counts_as_waiting(store: Store) -> None:
    with store.writing() as connection:
        add_job(connection, "low", 1, priority=-1)
        add_job(connection, "normal", 1)
        high = add_job(connection, "high", 1, priority=2)
        again, is_new = jobs.open_job(
            connection, "empty", {"stages": [[1], []], "name": "low"}, submission=Submission(priority=3)
        )
        assert (is_new, jobs.read_job(connection, again).priority) == (False, 3)
        assert [claim(connection).job_id for _ in range(2)] == [again, high]
        jobs.open_job(connection, "empty", {"stages": [[1], []], "name": "low"})
        assert jobs.read_job(connection, again).priority == 3, "it is not lowered"


def test_a_loaded_expert_is_found_behind_many_groups_of_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_CONSIDERED", 2)
    with store.writing() as connection:
        for name in ("bob", "cat", "dan"):
            add_expert_group(connection, add_job(connection, name), name, 1)
        ann = add_expert_group(connection, add_job(connection, "z"), "ann", 2)
        assert claim(connection, loaded=LoadedExpert(ann, since_s=1, load_s=60)).expert_id == ann


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_claim_reads_through_indexes(store: Store) -> None:
    """The groups to consider must not be sorted from all waiting ones; bench/queue_depth.py looks on PostgreSQL."""
    with store.writing() as connection:
        for number in range(100):
            add_job(connection, str(number), 1)
        connection.execute(text("ANALYZE"))
    seen: list[tuple[str, object]] = []
    with store.writing() as connection:
        listen(
            connection, "before_cursor_execute", lambda _c, _u, statement, values, *_: seen.append((statement, values))
        )
        claim(connection)
        statement, values = next((one, values) for one, values in seen if "LIMIT" in one and "turn_at" in one)
        plan = " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))  # type: ignore[arg-type]
    assert "ix_job_turn_at" in plan, plan


def test_a_claim_carries_what_earlier_claims_of_the_shard_recorded(store: Store) -> None:
    with store.writing() as connection:
        add_job(connection, "x", 1)
        first = claim(connection, "one")
        leases.record(connection, first, Tally(), Tally(1, 1, 0), lease_s=60)
        leases.give_back(connection, first, "an error")
        second = claim(connection, "two")
        leases.give_back(connection, second, "an error")
        third = claim(connection, "three")
    assert (first.tally, second.tally, third.tally) == (Tally(), Tally(1, 1, 0), Tally(1, 1, 0))
    assert first.fence < second.fence < third.fence
    assert [first.attempts, second.attempts, third.attempts] == [1, 1, 2], "the first one stored progress"


def test_a_lost_claim_neither_ends_its_shard_nor_claims_another(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 2)
        lost = claim(connection, "one")
        leases.give_back(connection, lost)
        claim(connection, "two")
    with pytest.raises(LostLeaseError), store.writing() as connection:
        claims.finish_and_claim(connection, lost, lease_s=60)
    with store.reading() as connection:
        assert [state for state, *_ in shards(connection)] == ["running", "waiting"]
        group = group_of(connection, job_id)
        assert (group.waiting, group.running, group.done) == (1, 1, 0)


@pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite has one writer at a time
def test_locked_shards_are_skipped(store: Store) -> None:
    with store.writing() as connection:
        older, newer = add_job(connection, "older", 2), add_job(connection, "newer", 1)
        first, second, _ = connection.scalars(select(Shard.id).order_by(Shard.id))
    with store.writing() as other:
        other.execute(select(Shard.id).where(Shard.id == first).with_for_update())
        with store.writing() as connection:
            assert claim(connection, job_ids=[older]).shard_id == second
            assert claim(connection).job_id == newer, "all waiting shards of the first group are locked"
            assert claims.claim(connection, "owner", ["cpu"], lease_s=60) is None
    with store.writing() as connection:
        assert claim(connection).shard_id == first


@pytest.mark.parametrize("dialect", ["postgresql"])  # a setting of PostgreSQL
def test_only_the_end_of_the_last_shard_of_a_group_waits_for_the_disk(store: Store) -> None:
    """If a shard follows, a crash of the server costs work that is done again; the last one may end the job."""
    with store.writing() as connection:
        add_job(connection, "x", 2)
        running: Claim | None = claim(connection)
    settings = []
    while running is not None:
        with store.writing() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = on"))
            running, _ = claims.finish_and_claim(connection, running, lease_s=60)
            settings.append(connection.scalar(text("SHOW synchronous_commit")))
    assert settings == ["off", "on"]
