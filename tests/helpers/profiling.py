"""Profiling of an expert in the foreground, and the responses that it stored."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import select

from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.services.inference import plan
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Query, Response, Run, Score


def add_expert(store: Store, row: ExpertRow) -> int:
    """Register an expert unless it exists; its id."""
    with store.writing() as connection:
        experts.add_expert(connection, row)
        return experts.find_expert(connection, row.name)


def submit_profile(store: Store, row: ExpertRow, **options: bool) -> int:
    """Submit the profiling of an expert; the id of the job."""
    add_expert(store, row)
    with store.writing() as connection:
        return submit(connection, "profile", profile_request(row.name, **options))[0]


def run_profile(store: Store, row: ExpertRow, progress: list[int] | None = None, **options: bool) -> dict[str, Any]:
    """Profile an expert in the foreground; the counts over all benchmarks, the number of loads, and the report.

    The steps of the progress are appended to `progress`.
    """
    job_id = submit_profile(store, row, **options)
    job = InlineDispatcher(store, Settings()).follow(job_id, (progress if progress is not None else []).append)
    assert job.report is not None, job.error
    totals = {name: sum(of[name] for of in job.report["benchmarks"]) for name in ("reused", "answered", "errors")}
    return totals | {"loads": job.report["loads"], "benchmarks": job.report["benchmarks"]}


def prompt_plans(store: Store, **options: Any) -> list[plan.PromptPlan]:
    """See `plan.prompt_plans`."""
    with store.reading() as connection:
        return plan.prompt_plans(connection, **options)


def stored_responses(store: Store, expert: str) -> Counter[tuple[str, str | None, str | None, float | None]]:
    """(query, text, error, score) of every response of an expert."""
    with store.reading() as connection:
        rows = connection.execute(
            select(Query.key, Response.text, Response.error, Score.value)
            .join(Response, Response.query_id == Query.id)
            .join(Run, Run.id == Response.run_id)
            .outerjoin(Score, (Score.query_id == Query.id) & (Score.expert_id == Run.expert_id))
            .where(Run.expert_id == experts.find_expert(connection, expert))
        )
        return Counter(tuple(row) for row in rows)
