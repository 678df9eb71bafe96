"""The order in which jobs take turns: rule by rule, and a simulation of three experts and twenty jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from benchcoe_jobs.store.job_queue.turns import LoadedExpert, WaitingGroup, in_order

ANN, BOB, CAT = 1, 2, 3
LOAD_S, SHARD_S = 60.0, 20.0
TURN_S = LoadedExpert(ANN, load_s=LOAD_S).turn_s

Policy = Callable[[Sequence[WaitingGroup], LoadedExpert | None], list[WaitingGroup]]


def group(job_id: int, expert_id: int | None = ANN, turn_at: float = 0.0, **more: object) -> WaitingGroup:
    made = WaitingGroup(job_id, job_id, "gpu", expert_id, 1, turn_at)
    return replace(made, **more)  # type: ignore[arg-type]


def jobs_in_order(groups: Sequence[WaitingGroup], loaded: LoadedExpert | None = None) -> list[int]:
    return [one.job_id for one in in_order(groups, loaded)]


def loaded(since_s: float, expert_id: int = ANN) -> LoadedExpert:
    """An expert that has been ready for some seconds."""
    return LoadedExpert(expert_id, LOAD_S + since_s, LOAD_S)


def test_the_job_that_was_served_longest_ago_comes_first_whatever_its_size() -> None:
    groups = [group(1, turn_at=20, waiting=9000), group(2, BOB, turn_at=10, waiting=5), group(3, turn_at=15)]
    assert jobs_in_order(groups) == [2, 3, 1]


def test_a_loaded_expert_stays_for_a_turn() -> None:
    groups = [group(1, ANN, turn_at=9999.0), group(2, BOB, turn_at=0.0)]
    assert jobs_in_order(groups, loaded(TURN_S - 1)) == [1, 2]
    assert jobs_in_order(groups, loaded(TURN_S + 1)) == [2, 1]


@pytest.mark.parametrize(("waited", "first"), [(TURN_S - 1, 1), (TURN_S + 1, 2)])
def test_and_then_until_another_job_has_waited_a_turn_longer(waited: float, first: int) -> None:
    groups = [group(1, ANN, turn_at=1000.0), group(2, BOB, turn_at=1000.0 - waited)]
    assert jobs_in_order(groups, loaded(10 * TURN_S))[0] == first


def test_jobs_of_the_loaded_expert_take_turns() -> None:
    groups = [group(1, turn_at=30, waiting=9000), group(2, turn_at=10), group(3, turn_at=20)]
    assert jobs_in_order(groups, loaded(1)) == [2, 3, 1]


def test_work_without_an_expert_waits_for_no_turn_but_a_training_does() -> None:
    routing, training = group(2, None, turn_at=5, queue="cpu"), group(3, None, turn_at=1, queue="train")
    assert jobs_in_order([group(1, turn_at=10), routing, training], loaded(1)) == [2, 1, 3]


def test_within_a_job_the_loaded_expert_comes_first_then_the_one_with_most_shards() -> None:
    groups = [group(1, ANN), group(1, BOB, shard_group_id=2), group(1, BOB, shard_group_id=3), group(1, CAT, waiting=9)]
    assert [one.expert_id for one in in_order(groups, None)] == [CAT, BOB, BOB, ANN]
    assert [one.expert_id for one in in_order(groups, LoadedExpert(ANN))] == [ANN, CAT, BOB, BOB]


# --- the simulation ------------------------------------------------------------------------------------------------


@dataclass
class Job:
    """A job with shards of one expert."""

    id: int
    expert_id: int
    submitted: float
    waiting: int
    turn_at: float = 0.0
    started: float | None = None


@dataclass
class Worker:
    """A worker: when it is free, which expert it has loaded and since when, and for how long it has loaded experts."""

    free: float = 0.0
    expert_id: int | None = None
    loaded_at: float = 0.0
    loading: float = 0.0


@dataclass
class Course:
    """How a simulation went."""

    jobs: list[Job]
    workers: list[Worker]
    longest_wait: float = field(init=False)
    loading: float = field(init=False)
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = max(worker.free for worker in self.workers)
        self.longest_wait = max((job.started or 0.0) - job.submitted for job in self.jobs)
        self.loading = sum(worker.loading for worker in self.workers) / (self.seconds * len(self.workers))


def simulate(policy: Policy, n_workers: int) -> Course:
    """Three jobs of 300 shards, one for each expert, and seventeen of one to three shards that follow over an hour."""
    jobs = [Job(number, (ANN, BOB, CAT)[number % 3], 0.0, 300) for number in range(3)]
    jobs += [Job(number, (ANN, BOB, CAT)[number % 3], 211.0 * (number - 2), 1 + number % 3) for number in range(3, 20)]
    for job in jobs:
        job.turn_at = job.submitted
    workers = [Worker() for _ in range(n_workers)]
    while any(job.waiting for job in jobs):
        worker = min(workers, key=lambda worker: worker.free)
        now = worker.free
        waiting = [job for job in jobs if job.waiting and job.submitted <= now]
        groups = [WaitingGroup(job.id, job.id, "gpu", job.expert_id, job.waiting, job.turn_at) for job in waiting]
        has = None if worker.expert_id is None else LoadedExpert(worker.expert_id, now - worker.loaded_at, LOAD_S)
        chosen = jobs[policy(groups, has)[0].job_id]
        chosen.waiting -= 1
        chosen.turn_at = now
        chosen.started = now if chosen.started is None else chosen.started
        if worker.expert_id != chosen.expert_id:
            worker.expert_id, worker.loaded_at = chosen.expert_id, now
            worker.loading += LOAD_S
            worker.free += LOAD_S
        worker.free += SHARD_S
    return Course(jobs, workers)


def keeps_for_ever(groups: Sequence[WaitingGroup], loaded: LoadedExpert | None) -> list[WaitingGroup]:
    """The loaded expert as long as it has work, and the oldest job first."""
    return sorted(groups, key=lambda one: (loaded is None or one.expert_id != loaded.expert_id, one.job_id))


def keeps_never(groups: Sequence[WaitingGroup], loaded: LoadedExpert | None) -> list[WaitingGroup]:
    """The job that was served longest ago, whatever is loaded."""
    return in_order(groups, None)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_three_experts_and_twenty_jobs(n_workers: int) -> None:
    ours, for_ever, never = (simulate(policy, n_workers) for policy in (in_order, keeps_for_ever, keeps_never))
    rows = [(one.longest_wait, one.loading, one.seconds) for one in (ours, for_ever, never)]
    print("longest wait, share of loading, seconds:", rows)
    # The turns of the two other experts, the loads between them, and a shard that ends late in each turn.
    assert ours.longest_wait <= 2 * (TURN_S + SHARD_S) + 3 * LOAD_S
    assert ours.loading <= 1 / 6 + 0.01  # a turn in which the work runs out is shorter
    # To keep the expert for ever costs fewest loads; some job waits for most of a big one. Never to keep it costs most.
    assert for_ever.longest_wait > 4 * ours.longest_wait
    assert never.loading > 3 * ours.loading
    assert ours.seconds < 1.25 * for_ever.seconds
