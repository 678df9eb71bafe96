"""Which shard a claim takes."""

from __future__ import annotations

from queue_rows import add_expert_group, add_job, claim, group_of

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import claims, jobs
from benchcoe_jobs.store.session import Store


def test_the_loaded_expert_comes_first_then_the_one_with_most_shards(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x")
        few, many = (add_expert_group(connection, job_id, name, n) for name, n in (("few", 1), ("many", 3)))
        assert claim(connection).expert_id == many
        assert claim(connection, resident=few).expert_id == few
        assert claim(connection, resident=few).expert_id == many, "nothing waits for the loaded one"


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
