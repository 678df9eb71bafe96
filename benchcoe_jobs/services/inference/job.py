"""The job `profile`: ask an expert all queries of some benchmarks that it has not answered yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.job_kind import Assignment, Needs
from benchcoe_jobs.routers.traits import asks_in_stages
from benchcoe_jobs.services.inference.expert_settings import settings_of
from benchcoe_jobs.services.inference.plan import profile_quote, prompt_plans, without_imported
from benchcoe_jobs.services.inference.run import run_shard, shard_group_for
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup, ShardGroupRow
from benchcoe_jobs.store.results import catalog, experts, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.routing import routers


def profile_request(
    expert: str,
    benchmarks: Sequence[str] = (),
    *,
    split: str | None = None,
    limit: int | None = None,
    retry_errors: bool = False,
    max_cost: float | None = None,
) -> dict[str, Any]:
    """The request of a job `profile`; without `benchmarks`, of every stored benchmark that is registered here."""
    return {
        "expert": expert,
        "benchmarks": list(benchmarks),
        "split": split,
        "limit": limit,
        "retry_errors": retry_errors,
        **({} if max_cost is None else {"max_cost": max_cost}),
    }


class ProfileJob:
    """See `job_queue.job_kind.JobKind`."""

    n_stages = 1

    def needs(self, request: Mapping[str, Any]) -> Needs:
        """The expert, and the benchmarks; a request without some is about all of them."""
        return Needs(frozenset({request["expert"]}), frozenset(request["benchmarks"]) or None)

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """One shard group per benchmark, for the queries on which no score of the expert was imported.

        Raises UsageError if there is no benchmark, or if the expert has no engine.
        """
        request = job.request
        expert_id, expert = experts.read_expert(connection, request["expert"])
        settings_of(expert)
        plans = prompt_plans(connection, request["benchmarks"], split=request["split"], limit=request["limit"])
        if not plans:
            raise UsageError(
                "no benchmark with queries is stored: add one with `benchcoe-jobs add-benchmark NAME FOLDER`"
            )
        plans = without_imported(connection, expert_id, plans)
        quoted = profile_quote(connection, expert_id, expert, plans)
        found: dict[str, Any] = {"quote": quoted.as_json()}  # not a part of the job's fingerprint
        if request.get("max_cost") is not None:
            _require_price(expert)
            found["after_response"] = responses.newest_id(connection)
        jobs.amend_request(connection, job.id, found)
        return [shard_group_for(connection, expert_id, expert, plan) for plan in plans]

    def run(self, assignment: Assignment) -> None:
        """Ask the queries of a shard."""
        run_shard(assignment)

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any]:
        """The counts of each benchmark's queries (reused, answered, errors), and the number of loads of the expert.

        `mean` is the mean of all scores of the expert's newest run, `truncated` the number of its answers that ended
        at their limit of tokens, `rules` counts the rules that extracted its answers, `seconds` is the sum over all
        workers. `quote` is what was expected before, None of a job that an earlier release submitted; `left` are the
        queries that were not asked because the job reached its `max_cost`.
        """
        expert_id, _ = experts.read_expert(connection, job.request["expert"])
        shard_groups = jobs.shard_groups(connection, [job.id])
        return {
            "expert": job.request["expert"],
            "loads": sum(shard_group.loads for shard_group in shard_groups),
            "quote": job.request.get("quote"),
            "left": 0 if job.request.get("max_cost") is None else _n_left(shard_groups),
            "benchmarks": [
                {
                    "benchmark": shard_group.benchmark,
                    "queries": shard_group.items,
                    "reused": shard_group.reused,
                    "answered": shard_group.answered,
                    "errors": shard_group.errors,
                    **newest_run_figures(connection, expert_id, shard_group.benchmark),
                    "seconds": round(shard_group.seconds, 3),
                }
                for shard_group in shard_groups
            ],
        }

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Trainings that give the expert a head in each query-level router of a pool that it belongs to.

        Subject-level routers need none: their labels are live. A cascade keeps its experts until it is trained again.
        """
        if not any(shard_group.answered for shard_group in jobs.shard_groups(connection, [job.id])):
            return []
        return [
            ("train-router", {"router": router.name, "extend": True})
            for router in routers.routers(connection)
            if router.level == Level.QUERY
            and not asks_in_stages(router.kind)
            and job.request["expert"] in experts.pool_members(connection, router.scope.pool.id)
        ]


def _n_left(shard_groups: Sequence[ShardGroupRow]) -> int:
    return sum(group.items - group.reused - group.answered - group.errors for group in shard_groups)


def _require_price(expert: ExpertRow) -> None:
    if expert.cost is None and all(getattr(expert, price) is None for price in experts.PRICES):
        raise UsageError(
            f"the cost of {expert.name} is not known: set it with `benchcoe-jobs add-expert` and --cost, or with "
            "--price-in and --price-out, or leave out --max-cost"
        )


def newest_run_figures(connection: Connection, expert_id: int, benchmark: str | None) -> dict[str, Any]:
    """What a report says of the newest run of an expert on a benchmark, see `ProfileJob.report`."""
    benchmark_id, _ = catalog.find_benchmark(connection, benchmark)
    newest = next(iter(responses.runs_of(connection, expert_id, benchmark_id)), None)
    if newest is None:
        return {"truncated": 0, "mean": None, "rules": {}}
    return {
        "truncated": responses.n_truncated(connection, newest[0]),
        "mean": responses.mean_score(connection, newest[0]),
        "rules": responses.rule_counts(connection, newest[0]),
    }
