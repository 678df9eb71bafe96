"""Runs, responses and scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.orm import aliased

from benchcoe_jobs.domain import LENGTH
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.store.tables import (
    Benchmark,
    Expert,
    Extraction,
    Query,
    QueryPicture,
    ReportedScore,
    Response,
    Run,
    Score,
)

_IDS_AT_ONCE = 10_000
"""Fewer than the parameters that a statement may have."""


class NewScore(NamedTuple):
    """A score to store, with its response. `rule` is None if the score was imported and not computed here.

    `claimed` is the answer that the imported file itself extracted. A named tuple, because there is one for every row
    of a file and a frozen dataclass takes twice as long to create.
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
        return any(part is not None for part in (self.text, self.prompt_tokens, self.completion_tokens, self.cost))


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """The error of a query that got no response. It has no score."""

    query_id: int
    error: str
    latency_s: float | None


def ensure_run(
    connection: Connection,
    expert_id: int,
    benchmark_id: int,
    provenance: Mapping[str, Any],
    import_id: int | None = None,
) -> int:
    """The id of the run with this provenance, which is created if it does not exist.

    The provenance holds everything that can change an answer.
    """
    names = (
        select(Expert.name, Benchmark.name).join(Benchmark, Benchmark.id == benchmark_id).where(Expert.id == expert_id)
    )
    content = json.dumps([*connection.execute(names).one(), provenance], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    by_fingerprint = select(Run.id).where(Run.fingerprint == fingerprint)
    found = connection.scalar(by_fingerprint)
    if found is not None:
        return found
    run = {"expert_id": expert_id, "benchmark_id": benchmark_id, "provenance": dict(provenance), "import_id": import_id}
    bulk.insert_new(connection, Run, fingerprint=fingerprint, **run)
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
    """Lock a run until the end of the transaction. SQLite has only one writer and needs no lock."""
    connection.execute(select(Run.id).where(Run.id == run_id).with_for_update())


def answered(connection: Connection, run_id: int, query_ids: Collection[int] | None = None) -> dict[int, bool]:
    """Query id -> True for a response, False for an error, of all queries of a run or of those in `query_ids`."""
    found = select(Response.query_id, Response.error.is_(None)).where(Response.run_id == run_id)
    if query_ids is not None:
        found = found.where(Response.query_id.in_(query_ids))
    return {query_id: bool(is_response) for query_id, is_response in connection.execute(found)}


def newest_id(connection: Connection) -> int:
    """The highest id of a response, 0 without any."""
    return connection.scalar(select(func.max(Response.id))) or 0


def texts(connection: Connection, run_id: int) -> dict[int, str]:
    """Query id -> text of every response of a run."""
    found = select(Response.query_id, Response.text).where(
        Response.run_id == run_id, Response.error.is_(None), Response.text.is_not(None)
    )
    return {query_id: text for query_id, text in connection.execute(found) if text is not None}


def answers_about_pictures(connection: Connection, expert_ids: Collection[int]) -> dict[int, bool]:
    """Expert id -> whether it answered any query with pictures. Experts that were asked none are left out."""
    with_pictures = select(QueryPicture.query_id)
    # First of all, because the responses on benchmarks without pictures need not be read.
    benchmarks = connection.scalars(select(Query.benchmark_id).where(Query.id.in_(with_pictures)).distinct()).all()
    if not benchmarks:
        return {}
    rows = connection.execute(
        select(Run.expert_id, func.count(Response.id) - func.count(Response.error))
        .join(Response, Response.run_id == Run.id)
        .where(Run.expert_id.in_(expert_ids), Run.benchmark_id.in_(benchmarks), Response.query_id.in_(with_pictures))
        .group_by(Run.expert_id)
    )
    return {expert_id: n_answered > 0 for expert_id, n_answered in rows}


def mean_score(connection: Connection, run_id: int) -> float | None:
    """Mean of the current scores of a run's responses; None if there are none."""
    expert_id = select(Run.expert_id).where(Run.id == run_id).scalar_subquery()
    return connection.scalar(select(func.avg(Score.value)).where(Score.expert_id == expert_id, Score.run_id == run_id))


def n_truncated(connection: Connection, run_id: int) -> int:
    """The number of a run's responses that ended at their limit of tokens."""
    found = select(func.count()).where(Response.run_id == run_id, Response.finish_reason == LENGTH)
    return connection.scalars(found).one()


def rule_counts(connection: Connection, run_id: int) -> dict[str, int]:
    """Rule -> number of the current scores of a run whose answer it extracted, the most frequent first."""
    rows = connection.execute(
        select(Extraction.rule, func.count().label("n"))
        .join(Score, (Score.expert_id == Extraction.expert_id) & (Score.query_id == Extraction.query_id))
        .where(Score.expert_id == select(Run.expert_id).where(Run.id == run_id).scalar_subquery())
        .where(Score.run_id == run_id)
        .group_by(Extraction.rule)
        .order_by(func.count().desc(), Extraction.rule)
    )
    return {row.rule: row.n for row in rows}


def mean_latency_s(connection: Connection, run_id: int) -> float | None:
    """Mean latency of a run's responses in seconds; None if there are none.

    The latency of a response is that of the micro-batch in which it was computed.
    """
    return connection.scalar(select(func.avg(Response.latency_s)).where(Response.run_id == run_id))


def write_errors(connection: Connection, run_id: int, errors: Sequence[ErrorRow]) -> None:
    """Store the errors of queries that got no response."""
    bulk.insert(
        connection,
        Response,
        ["run_id", "query_id", "latency_s", "finish_reason", "error"],
        ((run_id, row.query_id, row.latency_s, "error", storable(row.error)) for row in errors),
    )


def forget_errors(connection: Connection, run_id: int, query_ids: Collection[int]) -> None:
    """Delete the errors of some queries before they are run again. Responses are not deleted."""
    connection.execute(
        delete(Response).where(Response.run_id == run_id, Response.query_id.in_(query_ids), Response.error.is_not(None))
    )


def scored_by(connection: Connection, expert_id: int, benchmark_id: int) -> dict[int, int]:
    """Query id -> run id of every score of an expert on a benchmark."""
    rows = connection.execute(
        select(Score.query_id, Score.run_id)
        .join(Run, Run.id == Score.run_id)
        .where(Score.expert_id == expert_id, Run.benchmark_id == benchmark_id)
    )
    return {row.query_id: row.run_id for row in rows}


def values(connection: Connection, run_id: int) -> dict[int, float]:
    """Query id -> score of the expert of a run on the benchmark of the run, from any run."""
    run = aliased(Run)
    rows = connection.execute(
        select(Score.query_id, Score.value)
        .join(Run, Run.id == Score.run_id)
        .join(run, (run.expert_id == Score.expert_id) & (run.benchmark_id == Run.benchmark_id))
        .where(run.id == run_id)
    )
    return {row.query_id: row.value for row in rows}


def write_scores(connection: Connection, expert_id: int, run_id: int, scores: Sequence[NewScore]) -> None:
    """Store scores with their responses; a score of another run on the same query is replaced.

    The caller refreshes the aggregates before the commit.
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


def forget_extractions(connection: Connection, expert_id: int, query_ids: Sequence[int]) -> None:
    """Delete the extractions of an expert's scores that are about to be replaced."""
    for start in range(0, len(query_ids), _IDS_AT_ONCE):
        ids = query_ids[start : start + _IDS_AT_ONCE]
        connection.execute(delete(Extraction).where(Extraction.expert_id == expert_id, Extraction.query_id.in_(ids)))


def write_reported(
    connection: Connection, rows: Sequence[tuple[int, int, float, int | None]], record: ImportRecord
) -> None:
    """Store published scores of subjects: (expert id, subject id, value in [0, 1], number of queries or None)."""
    for expert_id in {row[0] for row in rows}:
        record.keep(ReportedScore, [row[1] for row in rows if row[0] == expert_id], expert_id=expert_id)
    bulk.insert(connection, ReportedScore, ["expert_id", "subject_id", "value", "n"], rows, replace=True)


def storable(text: str) -> str:
    """The text with NUL characters and lone surrogates replaced, which the databases do not accept."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
