"""What answers took: tokens, seconds and cost, as far as they are stored."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, select

from benchcoe_jobs.store.job_queue.tables import ShardGroup
from benchcoe_jobs.store.tables import Expert, Response, Run

_MOST = 5_000
"""Answers of an expert that are read, the newest."""


class Usage(NamedTuple):
    """What an answer took; None if it is unknown. The latency is that of its micro-batch, in seconds."""

    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float | None
    cost: float | None


def of_expert(connection: Connection, expert_id: int, benchmark_id: int | None) -> list[Usage]:
    """The newest answers of an expert, on one benchmark or on all. `cost` is only a recorded one."""
    rows = (
        select(Response.prompt_tokens, Response.completion_tokens, Response.latency_s, Response.cost)
        .join(Run, Run.id == Response.run_id)
        .where(Run.expert_id == expert_id, Response.error.is_(None))
        .order_by(Response.id.desc())
        .limit(_MOST)
    )
    if benchmark_id is not None:
        rows = rows.where(Run.benchmark_id == benchmark_id)
    return [Usage(*row) for row in connection.execute(rows)]


class AlikeUsage(NamedTuple):
    """The means of another expert's answers on a benchmark; None if unknown. `engine` is the expert's."""

    engine: str
    n: int
    prompt_tokens: float | None
    completion_tokens: float | None
    latency_s: float | None


def of_others(connection: Connection, expert_id: int, benchmark_id: int) -> list[AlikeUsage]:
    """The means of each other expert with answers on a benchmark."""
    rows = connection.execute(
        select(
            Expert.engine,
            func.count(),
            func.avg(Response.prompt_tokens),
            func.avg(Response.completion_tokens),
            func.avg(Response.latency_s),
        )
        .select_from(Response)
        .join(Run, Run.id == Response.run_id)
        .join(Expert, Expert.id == Run.expert_id)
        .where(Run.benchmark_id == benchmark_id, Run.expert_id != expert_id, Response.error.is_(None))
        .group_by(Expert.id)
    )
    return [AlikeUsage(row[0], row[1], *(None if mean is None else float(mean) for mean in row[2:])) for row in rows]


def seconds_per_answer(connection: Connection, expert_id: int, benchmark_id: int | None) -> float | None:
    """The time of workers for one answer of an expert, over all jobs; None if it was not asked by one."""
    found = select(func.sum(ShardGroup.seconds), func.sum(ShardGroup.answered)).where(
        ShardGroup.expert_id == expert_id, ShardGroup.answered > 0
    )
    if benchmark_id is not None:
        found = found.where(ShardGroup.benchmark_id == benchmark_id)
    seconds, answered = connection.execute(found).one()
    return None if not answered or not seconds else float(seconds) / int(answered)
