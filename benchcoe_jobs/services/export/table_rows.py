"""The rows of exported tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.services.export.selection import Selection
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.results import scored_rows
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.wording import counted

Row = Mapping[str, Any]

_PLACE: dict[str, type] = {"benchmark": str, "key": str, "subject": str, "split": str}
_CONTENT: dict[str, type] = {"text": str, "choices": list, "answer": str}
_SCORES = {
    **_PLACE,
    **_CONTENT,
    "expert": str,
    "score": float,
    "response": str,
    "prompt_tokens": int,
    "completion_tokens": int,
    "cost": float,
}


@dataclass(frozen=True, slots=True)
class Contents:
    """A table: its columns with the types of their values, its rows, and what to say if it has none."""

    title: str
    columns: Mapping[str, type]
    rows: Iterable[Row]
    none: str
    notes: list[str]


def _scores(connection: Connection, selection: Selection) -> Contents:
    scope, ids = selection.scope, list(selection.members.values())
    notes = []
    if n := scored_rows.n_without_scores(connection, scope.benchmark_id, ids, selection.split):
        without = counted(n, "query", "queries")
        notes.append(f"{without} without a score are left out: `export table --what queries` writes all queries")
    return Contents(
        f"scores of {_on(selection)}",
        _SCORES,
        _score_rows(connection, selection),
        f"no expert of pool {scope.pool.name!r} has a score on {_where(selection)}",
        notes + _image_notes(connection, selection),
    )


def _score_rows(connection: Connection, selection: Selection) -> Iterator[Row]:
    """One row per score, expert after expert. The content of a query is in its first row."""
    scope, written = selection.scope, set[int]()
    for expert, expert_id in selection.members.items():
        for part in scored_rows.scored_rows(connection, scope.benchmark_id, expert_id, selection.split):
            new = scored_rows.contents(connection, {row.query_id for row in part} - written)
            written |= new.keys()
            for row in part:
                yield {
                    "benchmark": scope.benchmark,
                    "key": row.key,
                    "subject": row.subject,
                    "split": row.split,
                    **(_content(new[row.query_id]) if row.query_id in new else {}),
                    "expert": expert,
                    "score": row.score,
                    "response": row.response,
                    "prompt_tokens": row.prompt_tokens,
                    "completion_tokens": row.completion_tokens,
                    "cost": row.cost,
                }


def _content(query: Any) -> Row:
    return {"text": query.text or None, "choices": list(query.choices), "answer": query.answer}


def _queries(connection: Connection, selection: Selection) -> Contents:
    scope = selection.scope
    refs = scored_rows.query_ids(connection, scope.benchmark_id, selection.split)

    def rows() -> Iterator[Row]:
        for start in range(0, len(refs), scored_rows.ROWS_AT_ONCE):
            ids = refs[start : start + scored_rows.ROWS_AT_ONCE]
            found = scored_rows.contents(connection, ids)
            for query in (found[id_] for id_ in ids):
                place = {"benchmark": scope.benchmark, "key": query.key, "subject": query.subject, "split": query.split}
                yield place | dict(_content(query))

    return Contents(
        f"queries of {_where(selection)}",
        _PLACE | _CONTENT,
        rows(),
        f"{_where(selection)} has no queries",
        _image_notes(connection, selection),
    )


def _subject_labels(connection: Connection, selection: Selection) -> Contents:
    scope = selection.scope
    labels = live_labels.subject_labels(connection, scope, selection.policy)
    rows = (
        {
            "benchmark": scope.benchmark,
            "subject": label.subject,
            "split": scope.split,
            "expert": label.expert,
            "score": label.mean,
            "n": label.n,
            "margin": label.margin,
            "tied": label.tied,
            "rank": label.rank,
            "source": label.source,
            "policy": selection.policy.value,
        }
        for label in labels
    )
    return Contents(
        f"subject labels of {_in_pool(selection)}",
        {"benchmark": str, "subject": str, "split": str, "expert": str, "score": float, "n": int}
        | {"margin": float, "tied": int, "rank": int, "source": str, "policy": str},
        rows,
        _no_labels(selection),
        [],
    )


def _query_labels(connection: Connection, selection: Selection) -> Contents:
    scope = selection.scope
    rows = (
        {
            "benchmark": scope.benchmark,
            "key": label.key,
            "subject": label.subject,
            "split": scope.split,
            "expert": label.expert,
            "score": label.score,
            "margin": label.margin,
            "tied": label.tied,
        }
        for label in live_labels.query_labels(connection, scope)
    )
    return Contents(
        f"query labels of {_in_pool(selection)}",
        _PLACE | {"expert": str, "score": float, "margin": float, "tied": int},
        rows,
        _no_labels(selection),
        [],
    )


def _decisions(connection: Connection, selection: Selection) -> Contents:
    router, scope = selection.router, selection.scope
    split = selection.split or "test"
    where = f"{scope.benchmark}, split {split}"
    rows: list[Row] = []
    if router is not None:
        rows = [
            {
                "benchmark": scope.benchmark,
                "key": row.key,
                "subject": row.subject,
                "split": split,
                "expert": row.expert,
                "score": row.score,
                "predicted_subject": row.predicted,
                "fell_back": row.fell_back,
                "query_hash": row.query_hash,
            }
            for row in evaluations.newest_decisions(connection, router.id, scope.benchmark_id, split)
        ]
    return Contents(
        f"decisions on {where}",
        _PLACE | {"expert": str, "score": float, "predicted_subject": str, "fell_back": bool, "query_hash": str},
        rows,
        "decisions are those of a router: name one with --router"
        if router is None
        else f"router {router.name!r} has no stored decision on {where}: "
        f"make them with `benchcoe-jobs evaluate {router.name} --benchmark {scope.benchmark} --split {split}`",
        [],
    )


CONTENTS: Mapping[str, Callable[[Connection, Selection], Contents]] = {
    "scores": _scores,
    "queries": _queries,
    "subject-labels": _subject_labels,
    "query-labels": _query_labels,
    "decisions": _decisions,
}
"""What a table may hold."""


def _image_notes(connection: Connection, selection: Selection) -> list[str]:
    n = scored_rows.n_with_images(connection, selection.scope.benchmark_id)
    return [f"{counted(n, 'query', 'queries')} with images, which a table does not hold"] if n else []


def _no_labels(selection: Selection) -> str:
    return f"no expert of {_in_pool(selection)} has enough scores for a label: see `benchcoe-jobs build-labels`"


def _where(selection: Selection) -> str:
    return selection.scope.benchmark + (f", split {selection.split}" if selection.split else "")


def _on(selection: Selection) -> str:
    return f"{counted(len(selection.members), 'expert')} on {_where(selection)}"


def _in_pool(selection: Selection) -> str:
    scope = selection.scope
    return f"pool {scope.pool.name} on {scope.benchmark}, split {scope.split}"
