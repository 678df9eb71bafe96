"""Scores with the responses that they stand on, and other scores in their place."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from benchcoe_jobs.domain import ScoredAnswer
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.tables import Extraction, Response, Run, Score


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A response, the score that stands on it, and how its answer was read."""

    expert_id: int
    query_id: int
    stratum_id: int
    text: str
    value: float
    answer: str | None
    rule: str


@dataclass(frozen=True, slots=True)
class Change:
    """Another scored_answer of a response of a run; `was` is the score before."""

    expert_id: int
    query_id: int
    stratum_id: int
    run_id: int
    was: float
    scored_answer: ScoredAnswer

    @property
    def moves(self) -> bool:
        """Whether the score itself is another one, not only the way to it."""
        return self.scored_answer.score != self.was


# A score that another run has replaced in the meantime is left alone.
_UPDATE = text("""
UPDATE score SET value = :value
WHERE expert_id = :expert AND query_id = :query AND run_id = :run
""")


def runs(connection: Connection, benchmark_id: int) -> Sequence[int]:
    """Ids of a benchmark's runs."""
    return connection.scalars(select(Run.id).where(Run.benchmark_id == benchmark_id).order_by(Run.id)).all()


def scored(connection: Connection, run_id: int, query_ids: Collection[int]) -> list[ScoredRow]:
    """Of some queries, what a scorer scored in a run and is still the expert's score."""
    rows = connection.execute(
        select(
            Score.expert_id,
            Score.query_id,
            Score.stratum_id,
            Response.text,
            Score.value,
            Extraction.answer,
            Extraction.rule,
        )
        .select_from(Response)
        .join(Run, Run.id == Response.run_id)
        .join(
            Score,
            (Score.expert_id == Run.expert_id)
            & (Score.query_id == Response.query_id)
            & (Score.run_id == Response.run_id),
        )
        .join(Extraction, (Extraction.expert_id == Score.expert_id) & (Extraction.query_id == Score.query_id))
        .where(Response.run_id == run_id, Response.query_id.in_(query_ids), Response.text.is_not(None))
    )
    return [
        ScoredRow(expert, query, stratum, said or "", value, answer, rule)
        for expert, query, stratum, said, value, answer, rule in rows
    ]


def apply(connection: Connection, changes: Sequence[Change]) -> int:
    """Store other judgements; returns how many scores are other ones. The caller refreshes the standings."""
    moving = [change for change in changes if change.moves]
    if moving:
        connection.execute(
            _UPDATE,
            [
                {"value": c.scored_answer.score, "expert": c.expert_id, "query": c.query_id, "run": c.run_id}
                for c in moving
            ],
        )
    bulk.insert(
        connection,
        Extraction,
        ["expert_id", "query_id", "answer", "rule"],
        ((c.expert_id, c.query_id, c.scored_answer.extracted, c.scored_answer.rule) for c in changes),
        replace=True,
    )
    return len(moving)
