"""The scope of labels, which is a pool on one split of a benchmark, and its best single expert."""

from __future__ import annotations

import shlex

from sqlalchemy import Connection

from benchcoe_jobs.domain import ALL_POOL, Level, Policy
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import catalog, experts


def find_scope(connection: Connection, pool: str, benchmark: str | None, split: str) -> Scope:
    """The scope with these names. Raises UsageError for an unknown name."""
    return Scope(experts.find_pool(connection, pool), *catalog.find_benchmark(connection, benchmark), split)


def best_single(connection: Connection, scope: Scope, pool: str | None = None) -> str:
    """The expert to compare with and to fall back to; `pool` is what the message calls a pool without a name.

    Raises UsageError if no expert of the pool has enough scores.
    """
    found = live_labels.best_single(connection, scope)
    if found is None:
        raise UsageError(
            "no best single expert to compare with or to fall back to: no expert of "
            f"{pool or f'pool {scope.pool.name!r}'} has scores for {100 * scope.pool.min_coverage:g} % of "
            f"{scope.benchmark}, split {scope.split}"
        )
    return found


def how_to_leave(pool: str, expert: str) -> str:
    """The end of a message: how to take an expert out of a pool."""
    name = shlex.quote(expert)
    command = f"retire {name}" if pool == ALL_POOL else f"add-pool {shlex.quote(pool)} --remove {name}"
    return f"leave it out: benchcoe-jobs {command}"


def require_policy(level: Level, policy: Policy) -> None:
    """Raise UsageError for a policy at query level: the margin on one query cannot be significant."""
    if level is Level.QUERY and policy is not Policy.BEST:
        raise UsageError(f"policy {policy} is for subject labels: omit it, or use --level subject")
