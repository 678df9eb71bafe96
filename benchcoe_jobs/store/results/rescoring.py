"""Read scores with their responses, and replace scores after scoring the responses again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from benchcoe_jobs.domain import ScoredAnswer
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.tables import Expert, Extraction, Response, Run, Score


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A response, its score, and the extraction of its answer."""

    expert_id: int
    query_id: int
    stratum_id: int
    text: str
    value: float
    answer: str | None
    rule: str


@dataclass(frozen=True, slots=True)
class Change:
    """A new scored answer of a response; `was` is the stored score."""

    expert_id: int
    query_id: int
    stratum_id: int
    run_id: int
    was: float
    scored_answer: ScoredAnswer

    @property
    def changes_score(self) -> bool:
        """Whether the score differs, and not only the extraction."""
        return self.scored_answer.score != self.was


# A score that another run has replaced in the meantime is not changed.
_UPDATE = text("""
UPDATE score SET value = :value
WHERE expert_id = :expert AND query_id = :query AND run_id = :run
""")


def runs(connection: Connection, benchmark_id: int) -> Sequence[int]:
    """Ids of a benchmark's runs."""
    return connection.scalars(select(Run.id).where(Run.benchmark_id == benchmark_id).order_by(Run.id)).all()


def expert_runs(connection: Connection, benchmark_id: int) -> list[tuple[int, int, str]]:
    """(run id, expert id, expert name) of a benchmark's runs."""
    rows = connection.execute(
        select(Run.id, Run.expert_id, Expert.name)
        .join(Expert, Expert.id == Run.expert_id)
        .where(Run.benchmark_id == benchmark_id)
        .order_by(Run.id)
    )
    return [(run_id, expert_id, name) for run_id, expert_id, name in rows]


def score_counts(connection: Connection, query_ids: Collection[int]) -> dict[str, int]:
    """Expert name -> its number of scores on some queries. Experts without any are left out."""
    rows = connection.execute(
        select(Expert.name, func.count())
        .select_from(Score)
        .join(Expert, Expert.id == Score.expert_id)
        .where(Score.query_id.in_(query_ids))
        .group_by(Expert.name)
        .order_by(Expert.name)
    )
    return {row[0]: row[1] for row in rows}


def scored(connection: Connection, run_id: int, query_ids: Collection[int]) -> list[ScoredRow]:
    """The scores that a scorer computed from the responses of a run to some queries, if they are still current."""
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
        ScoredRow(expert, query, stratum, response or "", value, answer, rule)
        for expert, query, stratum, response, value, answer, rule in rows
    ]


def apply(connection: Connection, changes: Sequence[Change]) -> int:
    """Store new scored answers. Returns the number of changed scores. The caller refreshes the aggregates."""
    changed = [change for change in changes if change.changes_score]
    if changed:
        connection.execute(
            _UPDATE,
            [
                {"value": c.scored_answer.score, "expert": c.expert_id, "query": c.query_id, "run": c.run_id}
                for c in changed
            ],
        )
    bulk.insert(
        connection,
        Extraction,
        ["expert_id", "query_id", "answer", "rule"],
        ((c.expert_id, c.query_id, c.scored_answer.extracted, c.scored_answer.rule) for c in changes),
        replace=True,
    )
    return len(changed)
