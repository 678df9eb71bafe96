"""Runs, responses and scores: what an expert said and how good it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.tables import Benchmark, Expert, Extraction, ReportedScore, Response, Run, Score


class NewScore(NamedTuple):
    """A scored response that is to be stored. `rule` is None where the file gave the score itself.

    `claimed` is the answer that the file itself read out of the response. A tuple, as there is one for every
    row of a file: making a frozen dataclass takes twice as long.
    """

    query_id: int
    stratum_id: int
    value: float
    extracted: str | None = None
    rule: str | None = None
    text: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    latency_s: float | None = None
    finish_reason: str | None = None
    claimed: str | None = None

    @property
    def has_response(self) -> bool:
        said = (self.text, self.prompt_tokens, self.completion_tokens, self.cost)
        return any(part is not None for part in said)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """In the place of a response: why a query has none. Nothing is scored."""

    query_id: int
    error: str
    latency_s: float | None


def ensure_run(connection: Connection, expert_id: int, benchmark_id: int, provenance: Mapping[str, Any]) -> int:
    """The id of the run with this provenance: everything that can change an answer."""
    names = (
        select(Expert.name, Benchmark.name).join(Benchmark, Benchmark.id == benchmark_id).where(Expert.id == expert_id)
    )
    content = json.dumps([*connection.execute(names).one(), provenance], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    by_fingerprint = select(Run.id).where(Run.fingerprint == fingerprint)
    found = connection.scalar(by_fingerprint)
    if found is not None:
        return found
    run = {"expert_id": expert_id, "benchmark_id": benchmark_id, "provenance": dict(provenance)}
    try:
        with connection.begin_nested():
            connection.execute(insert(Run).values(fingerprint=fingerprint, **run))
    except IntegrityError:  # PostgreSQL has several writers: another one began the same run just now
        pass
    return connection.scalars(by_fingerprint).one()


def runs_of(connection: Connection, expert_id: int, benchmark_id: int) -> list[tuple[int, dict[str, Any]]]:
    """(id, provenance) of every run of an expert on a benchmark, newest first."""
    rows = connection.execute(
        select(Run.id, Run.provenance)
        .where(Run.expert_id == expert_id, Run.benchmark_id == benchmark_id)
        .order_by(Run.id.desc())
    )
    return [(row.id, row.provenance) for row in rows]


def hold_run(connection: Connection, run_id: int) -> None:
    """Keep other writers of a run waiting until the end of the transaction; SQLite has one writer anyway."""
    connection.execute(select(Run.id).where(Run.id == run_id).with_for_update())


def answered(connection: Connection, run_id: int, query_ids: Collection[int] | None = None) -> dict[int, bool]:
    """Query id -> whether it has a response (True) or an error row (False), of all or some queries asked in a run."""
    found = select(Response.query_id, Response.error.is_(None)).where(Response.run_id == run_id)
    if query_ids is not None:
        found = found.where(Response.query_id.in_(query_ids))
    return {query_id: bool(fine) for query_id, fine in connection.execute(found)}


def mean_score(connection: Connection, run_id: int) -> float | None:
    """Mean of the scores that stand on a run's responses, None without any."""
    expert_id = select(Run.expert_id).where(Run.id == run_id).scalar_subquery()
    return connection.scalar(select(func.avg(Score.value)).where(Score.expert_id == expert_id, Score.run_id == run_id))


def mean_latency_s(connection: Connection, run_id: int) -> float | None:
    """Mean of a run's latencies in seconds, each that of the batch around the response; None without any."""
    return connection.scalar(select(func.avg(Response.latency_s)).where(Response.run_id == run_id))


def write_errors(connection: Connection, run_id: int, errors: Sequence[ErrorRow]) -> None:
    """Store why queries have no response."""
    bulk.insert(
        connection,
        Response,
        ["run_id", "query_id", "latency_s", "finish_reason", "error"],
        ((run_id, row.query_id, row.latency_s, "error", storable(row.error)) for row in errors),
    )


def forget_errors(connection: Connection, run_id: int, query_ids: Collection[int]) -> None:
    """Make room for what queries with an error row got this time. Responses stay as they are."""
    connection.execute(
        delete(Response).where(Response.run_id == run_id, Response.query_id.in_(query_ids), Response.error.is_not(None))
    )


def scored_by(connection: Connection, expert_id: int, benchmark_id: int) -> dict[int, int]:
    """Query id -> run id of every score that an expert has on a benchmark."""
    rows = connection.execute(
        select(Score.query_id, Score.run_id)
        .join(Run, Run.id == Score.run_id)
        .where(Score.expert_id == expert_id, Run.benchmark_id == benchmark_id)
    )
    return {row.query_id: row.run_id for row in rows}


def write_scores(connection: Connection, expert_id: int, run_id: int, scores: Sequence[NewScore]) -> None:
    """Store scores with their responses; a score of another run on the same query is replaced.

    The caller refreshes the standings before the commit.
    """
    bulk.insert(
        connection,
        Response,
        [
            "run_id",
            "query_id",
            "text",
            "prompt_tokens",
            "completion_tokens",
            "cost",
            "latency_s",
            "finish_reason",
        ],
        (
            (
                run_id,
                s.query_id,
                None if s.text is None else storable(s.text),
                s.prompt_tokens,
                s.completion_tokens,
                s.cost,
                s.latency_s,
                s.finish_reason,
            )
            for s in scores
            if s.has_response
        ),
    )
    bulk.insert(
        connection,
        Score,
        ["expert_id", "query_id", "stratum_id", "value", "run_id"],
        ((expert_id, s.query_id, s.stratum_id, s.value, run_id) for s in scores),
        replace=True,
    )
    bulk.insert(
        connection,
        Extraction,
        ["expert_id", "query_id", "answer", "rule", "claimed"],
        (
            (expert_id, s.query_id, s.extracted, s.rule, None if s.claimed is None else storable(s.claimed))
            for s in scores
            if s.rule is not None
        ),
        replace=True,
    )


def write_reported(connection: Connection, rows: Iterable[tuple[int, int, float, int | None]]) -> None:
    """Store published per-subject scores, (expert id, subject id, value in [0, 1], n or None)."""
    bulk.insert(connection, ReportedScore, ["expert_id", "subject_id", "value", "n"], rows, replace=True)


def storable(text: str) -> str:
    """Text without what neither database takes: NUL characters and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
