"""What an audit reads, and the two repairs: move scores to other queries, and move queries to another split.

The moves of a repair are stored: of `order` the pairs (query that had the score, query that has it now), of
`duplicates` the triples (query, stratum that it was in, stratum that it is in now).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results import responses
from benchcoe_jobs.store.tables import Expert, Extraction, Query, QueryContent, Repair, Response, Run, Score, Stratum

Moves = Sequence[Sequence[int]]

_IDS_AT_ONCE = 10_000
"""Fewer than the parameters that a statement may have."""


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


# --- the record of repairs -------------------------------------------------------------------


def record(connection: Connection, kind: str, benchmark_id: int, expert_id: int | None, moves: Moves) -> None:
    """Store what a repair moved."""
    connection.execute(
        insert(Repair).values(
            kind=kind, benchmark_id=benchmark_id, expert_id=expert_id, moves=[list(move) for move in moves]
        )
    )


def last_repair(
    connection: Connection, kind: str, benchmark_id: int, expert_id: int | None
) -> tuple[int, list[list[int]]] | None:
    """(id, moves) of the latest repair that is not undone; None if there is none."""
    found = connection.execute(
        select(Repair.id, Repair.moves)
        .where(
            Repair.kind == kind,
            Repair.benchmark_id == benchmark_id,
            Repair.expert_id.is_(None) if expert_id is None else Repair.expert_id == expert_id,
            Repair.undone_at.is_(None),
        )
        .order_by(Repair.id.desc())
        .limit(1)
    ).first()
    return None if found is None else (found.id, found.moves)


def mark_undone(connection: Connection, repair_id: int) -> None:
    """Store that a repair was undone."""
    connection.execute(update(Repair).where(Repair.id == repair_id).values(undone_at=datetime.now(UTC)))


# --- scores ----------------------------------------------------------------------------------


def move_scores(
    connection: Connection, expert_id: int, benchmark_id: int, moves: Mapping[int, int], why: dict[str, Any]
) -> set[int]:
    """Move an expert's scores to other queries: `moves` maps query id -> query id.

    Responses are not changed. The moved scores belong to new runs, whose provenance is `why` and the fingerprint of
    the original run; token counts and costs are copied to them. Returns the ids of the strata concerned, for the
    caller to refresh the aggregates.
    """
    before = _scores(connection, expert_id, benchmark_id)
    runs = {
        run_id: responses.ensure_run(connection, expert_id, benchmark_id, {**why, "of_run": fingerprint})
        for run_id, fingerprint in {(row.run_id, row.fingerprint) for row in before if row.query_id in moves}
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
            [(new, moves[row.query_id], *row[1:]) for row in recorded if row.query_id in moves],
        )
    return _place(connection, expert_id, benchmark_id, before, moves, runs)


def move_scores_back(
    connection: Connection, expert_id: int, benchmark_id: int, moves: Mapping[int, int]
) -> set[int] | None:
    """Undo `move_scores`: `moves` maps the query that has a score -> the query that it came from.

    The scores belong to their original runs again. Nothing is changed, and None returned, if one of the queries has
    a score that the repair did not move there. Otherwise the strata concerned, as by `move_scores`.
    """
    before = _scores(connection, expert_id, benchmark_id)
    original = {run.id: run.original_id for run in repaired_runs(connection, expert_id, benchmark_id)}
    run_of = {row.query_id: row.run_id for row in before}
    stays = run_of.keys() - moves.keys()
    if any(run_of.get(query_id) not in original for query_id in moves) or stays & set(moves.values()):
        return None
    return _place(connection, expert_id, benchmark_id, before, moves, original)


@dataclass(frozen=True, slots=True)
class RepairedRun:
    """A run of moved scores: its id, that of the run that the scores came from, and the order that was undone."""

    id: int
    original_id: int
    order: dict[str, Any]


def repaired_runs(connection: Connection, expert_id: int, benchmark_id: int) -> list[RepairedRun]:
    """The runs of an expert's repairs, newest first."""
    original = {
        fingerprint: run_id
        for run_id, fingerprint in connection.execute(select(Run.id, Run.fingerprint).where(Run.expert_id == expert_id))
    }
    return [
        RepairedRun(run_id, original[provenance["of_run"]], provenance["repaired_order"])
        for run_id, provenance in responses.runs_of(connection, expert_id, benchmark_id)
        if "repaired_order" in provenance
    ]


def run_of_scores(connection: Connection, expert_id: int, benchmark_id: int) -> dict[int, int]:
    """Query id -> run id of every score of an expert on a benchmark."""
    return {row.query_id: row.run_id for row in _scores(connection, expert_id, benchmark_id)}


def _scores(connection: Connection, expert_id: int, benchmark_id: int) -> Sequence[Any]:
    queries = select(Query.id).where(Query.benchmark_id == benchmark_id)
    return connection.execute(
        select(Score.query_id, Score.stratum_id, Score.value, Score.run_id, Run.fingerprint)
        .join(Run, Run.id == Score.run_id)
        .where(Score.expert_id == expert_id, Score.query_id.in_(queries))
    ).all()


def _place(
    connection: Connection,
    expert_id: int,
    benchmark_id: int,
    before: Sequence[Any],
    moves: Mapping[int, int],
    runs: Mapping[int, int],
) -> set[int]:
    """Write the scores of an expert at the queries of `moves`, as scores of `runs` (old run id -> new run id)."""
    strata = stratum_of_queries(connection, benchmark_id)
    touched = {row.stratum_id for row in before} | {strata[query_id] for query_id in moves.values()}
    connection.execute(delete(Score).where(Score.expert_id == expert_id, Score.stratum_id.in_(touched)))
    bulk.insert(
        connection,
        Score,
        ["expert_id", "query_id", "stratum_id", "value", "run_id"],
        [
            (expert_id, moves[row.query_id], strata[moves[row.query_id]], row.value, runs[row.run_id])
            if row.query_id in moves
            else (expert_id, row.query_id, row.stratum_id, row.value, row.run_id)
            for row in before
        ],
        replace=True,
    )
    return touched


# --- queries ---------------------------------------------------------------------------------


def split_moves(connection: Connection, benchmark_id: int, to_split: Mapping[int, str]) -> list[tuple[int, int, int]]:
    """(query id, its stratum, the stratum of its subject in the new split) for each query id of `to_split`."""
    of_subject = {
        (row.subject_id, row.split): row.id
        for row in connection.execute(select(Stratum.id, Stratum.subject_id, Stratum.split))
    }
    subject_of = {stratum_id: subject_id for (subject_id, _), stratum_id in of_subject.items()}
    strata = stratum_of_queries(connection, benchmark_id)
    return [(id_, strata[id_], of_subject[subject_of[strata[id_]], split]) for id_, split in to_split.items()]


def move_queries(connection: Connection, to_stratum: Mapping[int, int]) -> set[tuple[int, int]]:
    """Move queries and their scores to other strata of their benchmark: query id -> stratum id.

    Returns the (expert id, stratum id) whose scores changed, for the caller to refresh the aggregates.
    """
    of_stratum: dict[int, list[int]] = {}
    for query_id, stratum_id in sorted(to_stratum.items()):
        of_stratum.setdefault(stratum_id, []).append(query_id)
    parts = [
        (stratum_id, ids[start : start + _IDS_AT_ONCE])
        for stratum_id, ids in of_stratum.items()
        for start in range(0, len(ids), _IDS_AT_ONCE)
    ]
    touched = set(of_stratum)
    for _, part in parts:
        touched |= set(connection.scalars(select(Query.stratum_id).where(Query.id.in_(part)).distinct()))
    changed = _scored_in(connection, touched)
    all_experts = select(Expert.id)  # lets SQLite find the rows by the primary key
    for stratum_id, part in parts:
        connection.execute(update(Query).where(Query.id.in_(part)).values(stratum_id=stratum_id))
        connection.execute(
            update(Score)
            .where(Score.expert_id.in_(all_experts), Score.query_id.in_(part))
            .values(stratum_id=stratum_id)
        )
    for stratum_id in touched:
        n = connection.scalar(select(func.count()).select_from(Query).where(Query.stratum_id == stratum_id))
        connection.execute(update(Stratum).where(Stratum.id == stratum_id).values(n_queries=n))
    return changed | _scored_in(connection, touched)


def stratum_of_queries(connection: Connection, benchmark_id: int) -> dict[int, int]:
    """Query id -> stratum id of the queries of a benchmark."""
    rows = connection.execute(select(Query.id, Query.stratum_id).where(Query.benchmark_id == benchmark_id))
    return {row.id: row.stratum_id for row in rows}


def _scored_in(connection: Connection, strata: set[int]) -> set[tuple[int, int]]:
    rows = connection.execute(select(Score.expert_id, Score.stratum_id).where(Score.stratum_id.in_(strata)).distinct())
    return {(row.expert_id, row.stratum_id) for row in rows}
