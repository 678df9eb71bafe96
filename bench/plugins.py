"""Plug-ins of the bench scripts of the queue."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import Completion, Decoding, Queue, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup

NOTES = "BENCH_NOTES"
ROUNDS_PER_ANSWER = 40_000
"""Some ten milliseconds of a core."""


class NoOp:
    """See `benchcoe_jobs.job_queue.job_kind.JobKind`: empty shards, as many as the request says."""

    n_stages = 1

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        return [NewShardGroup(Queue.CPU, [({}, 1)] * job.request["shards"])]

    def run(self, assignment: Assignment) -> None:
        pass

    def report(self, connection: Connection, job: JobRow) -> None:
        return None

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return []


class Sleep(NoOp):
    """Shards that write their start to a file and then wait; `work` has the seconds, for the first attempt."""

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        return [NewShardGroup(Queue.CPU, [({"seconds": job.request["seconds"]}, 1)] * job.request["shards"])]

    def run(self, assignment: Assignment) -> None:
        claim = assignment.claim
        with Path(os.environ[NOTES]).open("a") as notes:
            notes.write(f"{claim.shard_id} {claim.attempts} {os.getpid()} {time.time()}\n")
        until = time.monotonic() + (claim.work["seconds"] if claim.attempts == 1 else 0)
        while time.monotonic() < until:
            assignment.lease.check()
            time.sleep(0.05)


class SpinEngine:
    """See `benchcoe_jobs.engines.base.Engine`: every answer takes the same work of one core, and is (A)."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        pass

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        start = time.monotonic()
        for request in requests:
            hashlib.pbkdf2_hmac("sha256", request.question.encode(), b"bench", ROUNDS_PER_ANSWER)
        latency_s = time.monotonic() - start
        answer = Completion(text="The answer is (A).", finish_reason="stop", latency_s=latency_s)
        return [answer] * len(requests)

    def version(self) -> dict[str, str]:
        return {"engine": "spin"}

    def close(self) -> None:
        pass
