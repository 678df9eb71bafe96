"""What an audit reads, and the two repairs: move scores to other queries, and move queries to another split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results import responses
from benchcoe_jobs.store.tables import Expert, Extraction, Query, QueryContent, Response, Run, Score, Stratum


def extracted_answers(connection: Connection, benchmark_id: int) -> Sequence[Any]:
    """(expert id, query id, score, extracted answer, answer claimed by the file, right answer) of every extraction."""
    return connection.execute(
        select(
            Extraction.expert_id,
            Extraction.query_id,
            Score.value,
            Extraction.answer,
            Extraction.claimed,
            QueryContent.answer.label("right"),
        )
        .join(Score, (Score.expert_id == Extraction.expert_id) & (Score.query_id == Extraction.query_id))
        .join(QueryContent, QueryContent.query_id == Extraction.query_id)
        .join(Query, Query.id == Extraction.query_id)
        .where(Query.benchmark_id == benchmark_id)
    ).all()


def has_extractions(connection: Connection, expert_id: int, benchmark_id: int) -> bool:
    """Whether any score of an expert was computed from a response here, and not imported."""
    found = (
        select(Extraction.query_id)
        .join(Query, Query.id == Extraction.query_id)
        .where(Extraction.expert_id == expert_id, Query.benchmark_id == benchmark_id)
    )
    return connection.execute(found.limit(1)).first() is not None


def move_scores(
    connection: Connection, expert_id: int, benchmark_id: int, moves: Mapping[int, tuple[int, int]], why: dict[str, Any]
) -> set[int]:
    """Move an expert's scores to other queries: `moves` maps query id -> (query id, stratum id).

    Responses are not changed. The moved scores belong to new runs, whose provenance is `why` and the fingerprint of
    the original run; token counts and costs are copied to them. Returns the ids of the strata concerned, for the
    caller to refresh the aggregates.
    """
    before = connection.execute(
        select(Score.query_id, Score.stratum_id, Score.value, Score.run_id, Run.fingerprint)
        .join(Run, Run.id == Score.run_id)
        .where(
            Score.expert_id == expert_id, Score.query_id.in_(select(Query.id).where(Query.benchmark_id == benchmark_id))
        )
    ).all()
    moved = [row for row in before if row.query_id in moves]
    runs = {
        run_id: responses.ensure_run(connection, expert_id, benchmark_id, {**why, "of_run": fingerprint})
        for run_id, fingerprint in {(row.run_id, row.fingerprint) for row in moved}
    }
    for old, new in runs.items():
        recorded = connection.execute(
            select(Response.query_id, Response.prompt_tokens, Response.completion_tokens, Response.cost).where(
                Response.run_id == old
            )
        )
        bulk.insert(
            connection,
            Response,
            ["run_id", "query_id", "prompt_tokens", "completion_tokens", "cost"],
            [(new, moves[row.query_id][0], *row[1:]) for row in recorded if row.query_id in moves],
        )
    connection.execute(
        delete(Score).where(
            Score.expert_id == expert_id,
            Score.stratum_id.in_({row.stratum_id for row in before}),
        )
    )
    kept = [
        (expert_id, row.query_id, row.stratum_id, row.value, row.run_id) for row in before if row.query_id not in moves
    ]
    bulk.insert(
        connection,
        Score,
        ["expert_id", "query_id", "stratum_id", "value", "run_id"],
        [*kept, *((expert_id, *moves[row.query_id], row.value, runs[row.run_id]) for row in moved)],
        replace=True,
    )
    return {row.stratum_id for row in before} | {stratum for _, stratum in moves.values()}


def move_queries(connection: Connection, to_split: Mapping[int, str]) -> set[tuple[int, int]]:
    """Move queries and their scores to other splits of their subjects: query id -> split.

    Returns the (expert id, stratum id) whose scores changed, for the caller to refresh the aggregates.
    """
    rows = connection.execute(
        select(Query.id, Query.stratum_id, Stratum.subject_id)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .where(Query.id.in_(to_split))
    ).all()
    strata = {
        (row.subject_id, row.split): row.id
        for row in connection.execute(select(Stratum.id, Stratum.subject_id, Stratum.split))
    }
    new = {row.id: strata[row.subject_id, to_split[row.id]] for row in rows}
    touched = {row.stratum_id for row in rows} | set(new.values())
    changed = _scored_in(connection, touched)
    all_experts = select(Expert.id)  # lets SQLite find the rows by the primary key
    for query_id, stratum_id in new.items():
        connection.execute(update(Query).where(Query.id == query_id).values(stratum_id=stratum_id))
        connection.execute(
            update(Score)
            .where(Score.expert_id.in_(all_experts), Score.query_id == query_id)
            .values(stratum_id=stratum_id)
        )
    for stratum_id in touched:
        n = connection.scalar(select(func.count()).select_from(Query).where(Query.stratum_id == stratum_id))
        connection.execute(update(Stratum).where(Stratum.id == stratum_id).values(n_queries=n))
    return changed | _scored_in(connection, touched)


def _scored_in(connection: Connection, strata: set[int]) -> set[tuple[int, int]]:
    rows = connection.execute(select(Score.expert_id, Score.stratum_id).where(Score.stratum_id.in_(strata)).distinct())
    return {(row.expert_id, row.stratum_id) for row in rows}
