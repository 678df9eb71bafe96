"""What a kind of job is: the stages that it takes, how each is cut into shards, and how a shard is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection

from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.job_queue.lease import Lease
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Claim
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Assignment:
    """A shard to run, and what there is to run it with.

    `host` gives the engine of an expert (its id, its settings), which the shard before may have loaded; `unload`
    ends it, for work that wants the memory. `home` is where artifacts are.
    """

    store: Store
    home: Path
    claim: Claim
    lease: Lease
    host: Callable[[int, ExpertSettings], EngineClient]
    unload: Callable[[], None]


class JobKind(Protocol):
    """A plug-in of the group "jobs". `n_stages` is how many stages a job of it takes, one after the other."""

    n_stages: int

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """The shards of the job's current stage; none where it has nothing to do.

        Raises UsageError where the job asks for what cannot be.
        """

    def run(self, assignment: Assignment) -> None:
        """Do a shard, committing each step through the lease, which is checked between them.

        What is done already must not be done twice: a shard may be claimed again after a crash. Single items
        that fail are no errors of the shard: the tally counts them.
        """

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any] | None:
        """What the job ended with, when all is over."""

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """(kind, request) of the jobs that its end calls for."""
