"""The lines of submitted files: the request, the expert it was routed to, and the answer or error."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.job_queue.tables import BatchLine
from benchcoe_jobs.store.results.responses import storable
from benchcoe_jobs.store.tables import Expert, now


@dataclass(frozen=True, slots=True)
class Line:
    """A stored line. `text` or `error` is set once the expert has processed it."""

    line: int
    custom_id: str
    url: str
    body: dict[str, Any]
    expert: str | None
    why: str | None
    text: str | None
    error: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class LineResult:
    """The result of a line: a text or an error."""

    line: int
    text: str | None
    error: str | None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def add_lines(connection: Connection, job_id: int, lines: Iterable[tuple[int, str, str, dict[str, Any]]]) -> None:
    """Store the lines (number, custom_id, url, body) of a job's file."""
    rows = ((job_id, number, custom_id, url, json.dumps(body)) for number, custom_id, url, body in lines)
    bulk.insert(connection, BatchLine, ["job_id", "line", "custom_id", "url", "body"], rows)


def numbers(connection: Connection, job_id: int) -> list[int]:
    """The line numbers of a job's file, in order."""
    return list(connection.scalars(select(BatchLine.line).where(BatchLine.job_id == job_id).order_by(BatchLine.line)))


def lines(connection: Connection, job_id: int, which: Collection[int] | None = None) -> Iterator[Line]:
    """All lines of a job, or those numbered in `which`, in the order of the file."""
    query = (
        select(
            BatchLine.line,
            BatchLine.custom_id,
            BatchLine.url,
            BatchLine.body,
            Expert.name,
            BatchLine.why,
            BatchLine.text,
            BatchLine.error,
            BatchLine.finish_reason,
            BatchLine.prompt_tokens,
            BatchLine.completion_tokens,
            BatchLine.answered_at,
        )
        .outerjoin(Expert, Expert.id == BatchLine.expert_id)
        .where(BatchLine.job_id == job_id)
        .order_by(BatchLine.line)
    )
    if which is not None:
        query = query.where(BatchLine.line.in_(which))
    for row in connection.execute(query.execution_options(yield_per=500)):
        yield Line(*row)


def set_experts(connection: Connection, job_id: int, chosen: Sequence[tuple[int, int, str]]) -> None:
    """Store the chosen expert of lines, (line number, expert id, reason)."""
    _update(
        connection,
        ["expert_id", "why"],
        [{"job": job_id, "number": number, "expert_id": expert, "why": why} for number, expert, why in chosen],
    )


def by_expert(connection: Connection, job_id: int) -> dict[int, list[int]]:
    """Expert id -> the numbers of the lines routed to it."""
    found: dict[int, list[int]] = {}
    for expert_id, number in connection.execute(
        select(BatchLine.expert_id, BatchLine.line)
        .where(BatchLine.job_id == job_id, BatchLine.expert_id.is_not(None))
        .order_by(BatchLine.line)
    ):
        found.setdefault(int(expert_id or 0), []).append(number)
    return found


def store_results(connection: Connection, job_id: int, results: Sequence[LineResult]) -> None:
    """Store the results of lines."""
    columns = ["text", "error", "finish_reason", "prompt_tokens", "completion_tokens", "answered_at"]
    _update(
        connection,
        columns,
        [
            {
                "job": job_id,
                "number": one.line,
                "text": None if one.text is None else storable(one.text),
                "error": None if one.error is None else storable(one.error),
                "finish_reason": one.finish_reason,
                "prompt_tokens": one.prompt_tokens,
                "completion_tokens": one.completion_tokens,
                "answered_at": now(),
            }
            for one in results
        ],
    )


def counts(connection: Connection, job_id: int) -> dict[str, dict[str, int]]:
    """Expert -> counts of its lines, of answers and of errors, and the token counts of the answers."""
    rows = connection.execute(
        select(
            Expert.name,
            func.count(),
            func.count(BatchLine.text),
            func.count(BatchLine.error),
            func.coalesce(func.sum(BatchLine.prompt_tokens), 0),
            func.coalesce(func.sum(BatchLine.completion_tokens), 0),
        )
        .join(Expert, Expert.id == BatchLine.expert_id)
        .where(BatchLine.job_id == job_id)
        .group_by(Expert.name)
        .order_by(Expert.name)
    )
    names = ("lines", "answered", "errors", "prompt_tokens", "completion_tokens")
    return {expert: {name: int(n or 0) for name, n in zip(names, values, strict=True)} for expert, *values in rows}


def _update(connection: Connection, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(
            update(BatchLine)
            .where(BatchLine.job_id == bindparam("job"), BatchLine.line == bindparam("number"))
            .values({name: bindparam(name) for name in columns}),
            rows,
        )
