"""The job `profile-until-settled`: ask an expert in rounds, until it is settled on each subject who wins it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.inference.expert_settings import settings_of
from benchcoe_jobs.services.inference.job import ProfileJob, newest_run_figures, profile_request
from benchcoe_jobs.services.inference.plan import PromptPlan, newest_run, prompt_plans, without_imported
from benchcoe_jobs.services.inference.run import shard_group_for
from benchcoe_jobs.services.settling.rounds import Rival, Rule
from benchcoe_jobs.services.settling.sequential_test import Bounds
from benchcoe_jobs.services.settling.strata import ScoresSoFar
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup
from benchcoe_jobs.store.results import aggregates, experts, responses, score_table, settling

SPLIT = Split.TRAIN
"""The split that is asked in rounds. The others are for scores of routers, so they are asked in full or not at all."""

KIND = "profile-until-settled"


def settling_request(
    expert: str,
    benchmarks: Sequence[str] = (),
    *,
    rule: Rule,
    retry_errors: bool = False,
) -> dict[str, Any]:
    """The request of a job; without `benchmarks`, about every stored benchmark that is registered here."""
    request = profile_request(expert, benchmarks, split=SPLIT, retry_errors=retry_errors)
    return request | {"confidence": rule.confidence, "worthwhile": rule.worthwhile}


class SettlingJob(ProfileJob):
    """See `job_queue.job_kind.JobKind`. A stage is a round; the last one asks everything that is left."""

    n_stages = 60

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """Store the estimates of strata that are settled, and draw the next questions of the others.

        Raises UsageError if there is no benchmark, if the expert has no engine, or if no other expert has scores.
        """
        if job.stage and not jobs.shard_groups(connection, [job.id], stage=job.stage - 1):
            return []
        expert_id, expert = experts.read_expert(connection, job.request["expert"])
        settings_of(expert)
        plans = prompt_plans(connection, job.request["benchmarks"], split=SPLIT)
        if not plans:
            raise UsageError(
                "no benchmark with queries is stored: add one with `benchcoe-jobs add-benchmark NAME FOLDER`"
            )
        if not job.stage:
            _require_rivals(connection, expert_id, job.request["expert"], plans)
        drawn: dict[int, dict[str, Any]] = {}
        to_ask = []
        for plan, without in zip(plans, without_imported(connection, expert_id, plans), strict=True):
            found = _next_rounds(connection, job, expert_id, plan)
            drawn |= found
            wanted = {query for content in found.values() for query in content["queries"]}
            to_ask.append(replace(plan, queries=[query for query in without.queries if query.id in wanted]))
        settling.store_rounds(connection, job.id, job.stage, drawn)
        return [shard_group_for(connection, expert_id, expert, plan) for plan in to_ask if plan.queries]

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any]:
        """The report of `profile` with one row for each benchmark, over all rounds, and with the subjects of train.

        `queries` counts those of train. A subject has the number of queries with a score (`n`) among all (`n_queries`),
        the mean of the expert with its bounds (`low`, `high`), whether profiling stopped early there (`settled`), and
        the present label in the pool `all`.
        """
        expert_id, _ = experts.read_expert(connection, job.request["expert"])
        groups = jobs.shard_groups(connection, [job.id])
        rows = []
        for plan in prompt_plans(connection, job.request["benchmarks"], split=SPLIT):
            name = plan.benchmark.name
            of_plan = [group for group in groups if group.benchmark == name]
            subjects = settling.subject_states(connection, expert_id, plan.benchmark_id, SPLIT)
            counts = {of: sum(getattr(group, of) for group in of_plan) for of in ("reused", "answered", "errors")}
            rows.append(
                {
                    "benchmark": name,
                    "queries": len(plan.queries),
                    **counts,
                    **newest_run_figures(connection, expert_id, name),
                    "seconds": round(sum(group.seconds for group in of_plan), 3),
                    "subjects": [subject._asdict() for subject in subjects],
                }
            )
        loads = sum(group.loads for group in groups)
        return {"expert": job.request["expert"], "split": SPLIT, "loads": loads, "benchmarks": rows}


def _require_rivals(connection: Connection, expert_id: int, expert: str, plans: Sequence[PromptPlan]) -> None:
    strata = {query.stratum_id for plan in plans for query in plan.queries}
    if not settling.rivals(connection, expert_id, strata):
        raise UsageError(
            f"no other expert has scores with which those of {expert} could be compared: `benchcoe-jobs profile` "
            "without --until-settled asks every query"
        )


def _next_rounds(connection: Connection, job: JobRow, expert_id: int, plan: PromptPlan) -> dict[int, dict[str, Any]]:
    """Stratum id -> the content of its next round, of strata that are not settled. Stores the estimates of others."""
    rule = Rule(job.request["confidence"], job.request["worthwhile"])
    before = settling.rounds(connection, job.id, job.stage)
    so_far = _scores_so_far(connection, job, expert_id, plan, before)
    rivals: dict[int, list[Rival]] = {}
    for row in settling.rivals(connection, expert_id, list(so_far.rows)):
        rivals.setdefault(row.stratum_id, []).append(Rival(row.low, row.high))
    held = {
        stratum: Bounds(row.low, row.high)
        for stratum, row in settling.estimates(connection, expert_id, list(so_far.rows)).items()
        if row.confidence >= rule.confidence
    }
    drawn, changed = {}, set()
    for stratum in so_far.rows:
        against = rivals.get(stratum, [])
        if not len(so_far.rest(stratum)) or (stratum in held and rule.holds(held[stratum], against)):
            continue
        estimate = so_far.estimate(stratum, before.get(stratum, []), against, rule) if against else None
        if estimate is not None and estimate.n:
            values = asdict(estimate) | {"confidence": rule.confidence}
            settling.store_estimate(connection, expert_id, stratum, **values)
            changed.add((expert_id, stratum))
            continue
        rng = np.random.default_rng([job.id, job.stage, stratum])
        is_last = job.stage + 1 == SettlingJob.n_stages
        drawn[stratum] = so_far.draw(stratum, rng, everything=is_last or not against)
    aggregates.refresh_strata(connection, changed)
    return drawn


def _scores_so_far(
    connection: Connection,
    job: JobRow,
    expert_id: int,
    plan: PromptPlan,
    before: Mapping[int, Sequence[Mapping[str, Any]]],
) -> ScoresSoFar:
    """The scores on all questions of the split that can be asked, or that the expert has a score on."""
    promptable = {query.id for query in plan.queries}
    scored = {query for query, _, _ in score_table.scores(connection, plan.benchmark_id, [expert_id], SPLIT)}
    everything = score_table.query_refs(connection, plan.benchmark_id, SPLIT)
    queries = [query for query in everything if query.id in promptable or query.id in scored]
    run_id = newest_run(connection, expert_id, plan)
    outcomes = {} if run_id is None else responses.answered(connection, run_id)
    errors = {query for query, has_text in outcomes.items() if not has_text}
    if job.request["retry_errors"]:  # asked again, but only once
        errors &= {query for contents in before.values() for content in contents for query in content["queries"]}
    return ScoresSoFar.read(connection, plan.benchmark_id, expert_id, queries, errors)
