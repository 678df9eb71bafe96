"""The job `evaluate`: decide, ask the chosen experts what they have not answered yet, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.services.evaluation.chosen_only_report import report_chosen_only
from benchcoe_jobs.services.evaluation.evaluate import SplitDecisions, compare_all, decide
from benchcoe_jobs.services.inference.plan import prompt_plan
from benchcoe_jobs.services.inference.run import run_shard, shard_group_for
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Tally
from benchcoe_jobs.store.results import catalog, experts, prompt_inputs
from benchcoe_jobs.store.routing import evaluations, routers

_DECIDE, _ASK, _REPORT = range(3)


def evaluate_request(
    router: str | None,
    benchmark: str | None,
    split: str,
    *,
    falls_back: bool = True,
    max_cost: float | None = None,
    quality_weight: float = 1.0,
    second_price: float = 0.0,
) -> dict[str, Any]:
    """What a job `evaluate` is asked."""
    return {
        "router": router,
        "benchmark": benchmark,
        "split": split,
        "falls_back": falls_back,
        "max_cost": max_cost,
        "quality_weight": quality_weight,
        "second_price": second_price,
    }


class EvaluateJob:
    """See `job_queue.job_kind.JobKind`."""

    n_stages = 3

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """Raises UsageError for names that there are not."""
        request = job.request
        router = routers.find_router(connection, request["router"])
        benchmark_id, benchmark = catalog.find_benchmark(connection, request["benchmark"] or router.scope.benchmark)
        open_evaluation = (job.report or {}).get("evaluation")
        if job.stage == _ASK and open_evaluation:
            return _shard_groups(connection, benchmark_id, benchmark, open_evaluation)
        if job.stage != _DECIDE and not open_evaluation and not jobs.shard_groups(connection, [job.id], stage=_ASK):
            return []  # nobody had to be asked: the report was made with the decisions
        return [NewShardGroup(Queue.CPU, [({}, 1)])]

    def run(self, assignment: Assignment) -> None:
        """Decide, ask, or report."""
        claim = assignment.claim
        if claim.stage == _ASK:
            run_shard(assignment)
            return
        decided = _decide(assignment)
        found: Mapping[str, Any] = {"evaluation": decided.evaluation_id, "seconds": decided.seconds}
        if claim.stage == _REPORT:
            found = _report(assignment, replace(decided, seconds=_first_seconds(assignment, decided.seconds)))
        elif not _anything_to_ask(assignment, decided):
            found = _report(assignment, decided)

        def write(connection: Connection) -> Tally:
            jobs.set_report(connection, claim.job_id, found)
            return Tally(answered=1)

        assignment.lease.commit(write)

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any] | None:
        """The evaluation's report: a `Report`, or where only the chosen experts were asked an `ChosenOnlyReport`."""
        return job.report

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Nothing follows."""
        return []


def _decide(assignment: Assignment) -> SplitDecisions:
    """The same decisions each time: they follow from the router, and from labels that asking does not change."""
    request = assignment.claim.request
    return decide(
        assignment.store,
        assignment.home,
        request["router"],
        benchmark=request["benchmark"],
        split=request["split"],
        falls_back=request["falls_back"],
        budget=Budget(request["max_cost"], request["quality_weight"]),
    )


def _first_seconds(assignment: Assignment, again: float) -> float:
    """What deciding took the first time: since then the embeddings of the questions are in the store."""
    with assignment.store.reading() as connection:
        found = jobs.read_job(connection, assignment.claim.job_id).report or {}
    return float(found.get("seconds", again))


def _anything_to_ask(assignment: Assignment, decided: SplitDecisions) -> bool:
    with assignment.store.reading() as connection:
        return bool(_shard_groups(connection, decided.benchmark_id, decided.benchmark, decided.evaluation_id))


def _shard_groups(connection: Connection, benchmark_id: int, benchmark: str, evaluation_id: int) -> list[NewShardGroup]:
    """What the chosen experts have no score on, of those that can be asked; each expert is loaded once."""
    if benchmark not in registry.names("benchmarks"):
        return []
    shard_groups = []
    for expert_id, query_ids in evaluations.undecided(connection, evaluation_id).items():
        expert = experts.read_expert_by_id(connection, expert_id)
        if expert.can_answer:
            plan = prompt_plan(connection, benchmark_id, benchmark, prompt_inputs.by_id(connection, query_ids))
            shard_groups.append(shard_group_for(connection, expert_id, expert, plan))
    return shard_groups


def _report(assignment: Assignment, decided: SplitDecisions) -> dict[str, Any]:
    """Against every expert where most queries have a score of each, else of the chosen ones alone."""
    with assignment.store.reading() as connection:
        scored = evaluations.fully_scored(connection, decided.benchmark_id, decided.split, decided.names)
        asked = jobs.shard_groups(connection, [assignment.claim.job_id], stage=_ASK)
        can_answer = any(experts.read_expert_by_id(connection, expert_id).can_answer for expert_id in decided.names)
    n_complete = sum(question.id in scored for question in decided.questions)
    if can_answer and 2 * n_complete < len(decided.questions):
        return report_chosen_only(assignment.store, decided, asked).as_json()
    return compare_all(assignment.store, decided, assignment.claim.request["second_price"]).as_json()
