"""The job `evaluate`: decide, ask the chosen experts the queries that they have not answered, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.job_kind import Assignment, Needs
from benchcoe_jobs.services.evaluation.chosen_only_report import report_chosen_only
from benchcoe_jobs.services.evaluation.decisions import SplitDecisions, decide, read_decisions
from benchcoe_jobs.services.evaluation.evaluate import compare_all
from benchcoe_jobs.services.inference.plan import prompt_plan
from benchcoe_jobs.services.inference.run import run_shard, shard_group_for
from benchcoe_jobs.services.routing.snapshot import snapshot_of
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Tally
from benchcoe_jobs.store.results import catalog, experts, prompt_inputs
from benchcoe_jobs.store.routing import evaluations

_DECIDE, _ASK, _REPORT = range(3)


class EvaluateJob:
    """See `job_queue.job_kind.JobKind`. A request is that of `decisions.evaluate_request`.

    The first stage adds to it the id of the evaluation whose decisions it stored, and the seconds that one decision
    took. If no expert must be asked, the first stage also makes the report, and the later ones have no shard.
    """

    n_stages = 3

    def needs(self, request: Mapping[str, Any]) -> Needs:
        """Every expert, because the router may choose it, the router, and the benchmark, which 0.1.0 left open."""
        benchmark = request["benchmark"]
        return Needs(None, None if benchmark is None else frozenset({benchmark}), frozenset({request["router"]}))

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """Raises UsageError if the request has no snapshot: a release before 0.2.0 submitted the job."""
        snapshot_of(connection, job.request, "evaluate")
        if job.report is not None:
            return []
        if job.stage == _ASK:
            return _shard_groups(connection, job.request["benchmark"], job.request["evaluation"])
        return [NewShardGroup(Queue.CPU, [({}, 1)])]

    def run(self, assignment: Assignment) -> None:
        """Decide, ask, or report."""
        stage = assignment.claim.stage
        if stage == _DECIDE:
            _decide(assignment)
        elif stage == _ASK:
            run_shard(assignment)
        else:
            decided = read_decisions(assignment.store, assignment.claim.request)
            _commit(assignment, {}, _report(assignment, decided))

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any] | None:
        """The evaluation's report: that of `Report`, or of `ChosenOnlyReport` if only chosen experts were asked."""
        return job.report

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """No job follows."""
        return []


def _decide(assignment: Assignment) -> None:
    decided = decide(assignment.store, assignment.home, assignment.claim.request)
    found = {"evaluation": decided.evaluation_id, "seconds": decided.seconds}
    with assignment.store.reading() as connection:
        asks = decided.followed is None and bool(_shard_groups(connection, decided.benchmark, decided.evaluation_id))
    _commit(assignment, found, None if asks else _report(assignment, decided))


def _commit(assignment: Assignment, found: Mapping[str, Any], report: Mapping[str, Any] | None) -> None:
    """End a stage: add to the request what it found, and store the report if it made one."""
    job_id = assignment.claim.job_id

    def write(connection: Connection) -> Tally:
        jobs.amend_request(connection, job_id, found)
        if report is not None:
            jobs.set_report(connection, job_id, report)
        return Tally(answered=1)

    assignment.lease.commit(write)


def _shard_groups(connection: Connection, benchmark: str, evaluation_id: int) -> list[NewShardGroup]:
    """The decided queries without a score, for the experts that have an engine; each expert is loaded once."""
    if benchmark not in registry.names("benchmarks"):
        return []
    benchmark_id, _ = catalog.find_benchmark(connection, benchmark)
    groups = []
    for expert_id, query_ids in evaluations.unscored_decisions(connection, evaluation_id).items():
        expert = experts.read_expert_by_id(connection, expert_id)
        if expert.can_answer:
            plan = prompt_plan(connection, benchmark_id, benchmark, prompt_inputs.by_id(connection, query_ids))
            groups.append(shard_group_for(connection, expert_id, expert, plan))
    return groups


def _report(assignment: Assignment, decided: SplitDecisions) -> dict[str, Any]:
    """Compare with every expert if most queries have a score of each; otherwise report on the chosen ones only."""
    names = decided.snapshot.expert_names
    with assignment.store.reading() as connection:
        scored = evaluations.fully_scored(connection, decided.benchmark_id, decided.split, names)
        groups = jobs.shard_groups(connection, [assignment.claim.job_id], stage=_ASK)
        can_answer = any(experts.read_expert_by_id(connection, expert_id).can_answer for expert_id in names)
    n_complete = sum(question.id in scored for question in decided.questions)
    if decided.followed is None and can_answer and 2 * n_complete < len(decided.questions):
        report = report_chosen_only(assignment.store, decided, groups).as_json()
        with assignment.store.writing() as connection:
            evaluations.store_report(connection, decided.evaluation_id, report)
        return report
    return compare_all(assignment.store, assignment.home, decided).as_json()
