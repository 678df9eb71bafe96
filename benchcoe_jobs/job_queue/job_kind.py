"""The interface of a kind of job: its stages, how a stage is split into shards, and how a shard is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.job_queue.lease import Lease
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Claim
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Assignment:
    """A shard to run, and what is needed to run it.

    `engine_of` returns the engine of an expert, given its id and settings; it stays loaded between shards. `unload`
    ends the engine, for work that needs the memory. `home` is the folder of artifacts.
    """

    store: Store
    home: Path
    claim: Claim
    lease: Lease
    engine_of: Callable[[int, ExpertSettings], EngineClient]
    unload: Callable[[], None]


class Needs(NamedTuple):
    """Names of stored objects that a job needs until it ends, or that a removal takes away. None means every name."""

    experts: frozenset[str] | None = frozenset()
    benchmarks: frozenset[str] | None = frozenset()
    routers: frozenset[str] | None = frozenset()


class JobKind(Protocol):
    """A plug-in of the group "jobs". `n_stages` is the number of stages of a job, which run one after the other."""

    n_stages: int

    def needs(self, request: Mapping[str, Any]) -> Needs:
        """What a job with this request needs. `remove` refuses to take it away while the job is open."""

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """The shard groups of the job's current stage; empty if the stage has nothing to do.

        Raises UsageError if the job's request is invalid.
        """

    def run(self, assignment: Assignment) -> None:
        """Run a shard. Commit each step through the lease, and check the lease between steps.

        A shard may be claimed again after a crash, so work that is stored must not be repeated. An item that fails
        does not fail the shard: the tally counts it.
        """

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any] | None:
        """The report of the job, computed when its last stage is over."""

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """(kind, request) of the jobs to submit when this one is done."""
