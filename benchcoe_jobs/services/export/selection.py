"""What is exported: a pool's experts on a benchmark, or what a router was trained on."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from benchcoe_jobs.domain import ALL_POOL, Policy, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.export.base import ExportRequest
from benchcoe_jobs.services.labelling.scope import find_scope
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.routing.routers import TrainedRouter


@dataclass(frozen=True, slots=True)
class Selection:
    """The scope of an export. `split` is the one that the command names, else None; `members` maps name to id.

    The labels of an export are those of `scope`: of its split `train` unless the command or the router names another.
    """

    scope: Scope
    split: str | None
    policy: Policy
    members: dict[str, int]
    router: TrainedRouter | None


def select(connection: Connection, request: ExportRequest) -> Selection:
    """The selection of a request. Raises UsageError for an unknown name, or for options that exclude each other."""
    if request.router is None:
        scope = find_scope(connection, request.pool or ALL_POOL, request.benchmark, request.split or Split.TRAIN.value)
        policy, router = request.policy or Policy.BEST, None
    else:
        for given, name in ((request.pool, "--pool"), (request.policy, "--policy")):
            if given is not None:
                raise UsageError(f"a router has its own pool and policy: leave out {name} or --router")
        router = routers.find_router(connection, request.router)
        own = router.scope
        scope = find_scope(connection, own.pool.name, request.benchmark or own.benchmark, request.split or own.split)
        policy = router.policy
    members = experts.pool_members(connection, scope.pool.id)
    if not members:
        raise UsageError(f"pool {scope.pool.name!r} has no expert: `benchcoe-jobs pools` lists pools")
    return Selection(scope, request.split, policy, members, router)
