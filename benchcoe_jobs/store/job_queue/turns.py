"""The order in which a worker tries the shard groups that wait: jobs take turns.

The job that was served longest ago comes first, so every open job advances, whatever its size. A level of priority
counts as an hour of waiting: it moves a job forward, and delays no other job for ever.

To replace the loaded expert costs a load. The loaded expert therefore stays for a turn, which lasts TURN_LOADS times as
long as its load took, and after that until a job of another expert has waited a turn longer than its own jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchcoe_jobs.domain import Queue

TURN_LOADS = 5
"""With it a worker spends at most a sixth of its time loading experts."""

PRIORITY_S = 3600.0
"""Seconds of waiting that a level of priority counts for."""


@dataclass(frozen=True, slots=True)
class LoadedExpert:
    """The expert that a worker has loaded: seconds since its load began, and the seconds that its load took."""

    expert_id: int
    since_s: float = 0.0
    load_s: float = 0.0

    @property
    def turn_s(self) -> float:
        """How long it stays loaded although jobs of other experts wait."""
        return TURN_LOADS * self.load_s


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """A shard group with waiting shards. `turn_at` is when its job was last served, less its priority, in seconds."""

    shard_group_id: int
    job_id: int
    queue: str
    expert_id: int | None
    waiting: int
    turn_at: float


def in_order(groups: Sequence[WaitingGroup], loaded: LoadedExpert | None) -> list[WaitingGroup]:
    """The groups that a worker should try, best first.

    Of one job, the loaded expert comes first, then the expert with the most waiting shards, then the oldest group.
    """
    of_expert: Counter[int | None] = Counter()
    for group in groups:
        of_expert[group.expert_id] += group.waiting
    is_in_turn = loaded is not None and loaded.since_s < loaded.load_s + loaded.turn_s
    head_start = 0.0 if loaded is None else loaded.turn_s

    def key(group: WaitingGroup) -> tuple[bool, float, bool, int, int]:
        replaces = loaded is not None and _replaces(group, loaded)
        turn_at = group.turn_at if replaces else group.turn_at - head_start
        return is_in_turn and replaces, turn_at, replaces, -of_expert[group.expert_id], group.shard_group_id

    return sorted(groups, key=key)


def _replaces(group: WaitingGroup, loaded: LoadedExpert) -> bool:
    """Whether the expert must be unloaded to run a shard of the group. A training needs its memory."""
    return group.expert_id != loaded.expert_id and (group.expert_id is not None or group.queue == Queue.TRAIN)
