"""Plug-ins that the bench scripts of the queue bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.jobs.kinds import Assignment
from benchcoe_jobs.store.jobs import JobRow, NewLot


class NoOp:
    """See `benchcoe_jobs.jobs.kinds.Kind`: as many shards as are asked for, and nothing in them."""

    n_stages = 1

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewLot]:
        return [NewLot(Queue.CPU, [({}, 1)] * job.request["shards"])]

    def run(self, assignment: Assignment) -> None:
        pass

    def report(self, connection: Connection, job: JobRow) -> None:
        return None

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return []
