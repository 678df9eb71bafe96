"""The job `train-router`: one shard, on a worker that trains."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import Level, Policy, Queue
from benchcoe_jobs.job_queue.job_kind import Assignment, Needs
from benchcoe_jobs.routers.traits import asks_in_stages
from benchcoe_jobs.services.labelling.scope import find_scope, require_policy
from benchcoe_jobs.services.training.train import extend_router, require_router_name, train_router
from benchcoe_jobs.services.training.training_set import learnable_experts
from benchcoe_jobs.store.job_queue import jobs, leases
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Tally
from benchcoe_jobs.store.routing import routers

_CANCEL_CHECK_S = 5.0
"""Seconds after which a long training reads again whether its job was cancelled."""


class TrainJob:
    """See `JobKind`. A request is `{"router": name, "extend": true}`, or has the options of `train_router`."""

    n_stages = 1

    def needs(self, request: Mapping[str, Any]) -> Needs:
        """Every expert, the router, and the benchmark, which the request may leave open."""
        benchmark = request.get("benchmark")
        return Needs(None, None if benchmark is None else frozenset({benchmark}), frozenset({request["router"]}))

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """Raises UsageError for unknown names."""
        request = job.request
        if request.get("extend"):
            routers.find_router(connection, request["router"])
        else:
            require_router_name(request["router"])
            require_policy(Level(request["level"]), Policy(request["policy"]))
            find_scope(connection, request["pool"], request["benchmark"], request["split"])
        return [NewShardGroup(Queue.TRAIN, [({}, 1)])]

    def run(self, assignment: Assignment) -> None:
        """Train, after the resident expert was unloaded: the training needs its memory."""
        assignment.unload()
        store, home, claim, lease = assignment.store, assignment.home, assignment.claim, assignment.lease

        def guard(connection: Connection) -> None:
            leases.hold(connection, claim)
            leases.require_not_cancelled(connection, claim)

        started = checked = time.monotonic()

        def on_step() -> None:
            nonlocal checked
            lease.check()
            if time.monotonic() - checked >= _CANCEL_CHECK_S:
                with store.reading() as connection:
                    leases.require_not_cancelled(connection, claim)
                checked = time.monotonic()

        options = dict(claim.request)
        name = options.pop("router")
        options.pop("retry_errors", None)
        if options.pop("extend", False):
            trained = extend_router(store, home, name, guard=guard)
        else:
            options["level"], options["policy"] = Level(options["level"]), Policy(options["policy"])
            trained = train_router(store, home, name, guard=guard, on_step=on_step, **options)

        def write(connection: Connection) -> Tally:
            jobs.set_report(connection, claim.job_id, trained.as_json())
            return Tally(answered=1)

        lease.commit(write, seconds=time.monotonic() - started)

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any] | None:
        """The summary of the training, see `Trained.as_json`."""
        return job.report

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """An extension of the router, if an expert became eligible while this training ran.

        The end of that expert's profile found this job open, and submitted no other.
        """
        router = routers.find_router(connection, job.request["router"])
        if router.level != Level.QUERY or asks_in_stages(router.kind) or job.report is None:
            return []
        if set(learnable_experts(connection, router.scope)) <= set(job.report["outputs"]):
            return []
        return [("train-router", {"router": router.name, "extend": True})]
