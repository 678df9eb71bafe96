"""Runs, responses and scores: what an expert said and how good it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.tables import Benchmark, Expert, Extraction, ReportedScore, Response, Run, Score


@dataclass(frozen=True, slots=True)
class NewScore:
    """A judged response that is to be stored. `stage` is None where the file gave the score itself."""

    query_id: int
    stratum_id: int
    value: float
    extracted: str | None = None
    stage: str | None = None
    text: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None

    @property
    def has_response(self) -> bool:
        said = (self.text, self.prompt_tokens, self.completion_tokens, self.cost)
        return any(part is not None for part in said)


def ensure_run(connection: Connection, expert_id: int, benchmark_id: int, provenance: Mapping[str, Any]) -> int:
    """The id of the run with this provenance: everything that can change an answer."""
    names = (
        select(Expert.name, Benchmark.name).join(Benchmark, Benchmark.id == benchmark_id).where(Expert.id == expert_id)
    )
    content = json.dumps([*connection.execute(names).one(), provenance], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    by_fingerprint = select(Run.id).where(Run.fingerprint == fingerprint)
    found = connection.scalar(by_fingerprint)
    if found is None:
        connection.execute(
            insert(Run).values(
                fingerprint=fingerprint,
                expert_id=expert_id,
                benchmark_id=benchmark_id,
                provenance=dict(provenance),
            )
        )
        return connection.scalars(by_fingerprint).one()
    return found


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
        ["run_id", "query_id", "text", "prompt_tokens", "completion_tokens", "cost"],
        (
            (run_id, s.query_id, _storable(s.text), s.prompt_tokens, s.completion_tokens, s.cost)
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
        ["expert_id", "query_id", "answer", "stage"],
        ((expert_id, s.query_id, s.extracted, s.stage) for s in scores if s.stage is not None),
        replace=True,
    )


def write_reported(connection: Connection, rows: Iterable[tuple[int, int, float, int | None]]) -> None:
    """Store published per-subject scores, (expert id, subject id, value in [0, 1], n or None)."""
    bulk.insert(connection, ReportedScore, ["expert_id", "subject_id", "value", "n"], rows, replace=True)


def _storable(text: str | None) -> str | None:
    """Text without what neither database takes: NUL characters and lone surrogates."""
    if text is None:
        return None
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
