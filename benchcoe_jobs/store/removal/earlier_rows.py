"""Put rows back that an import changed, as they were before it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import JSON, Connection, delete, select, update

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results.file_origins import is_measured
from benchcoe_jobs.store.results.import_tables import EarlierRow
from benchcoe_jobs.store.results.imports import KEPT, key_columns
from benchcoe_jobs.store.tables import Base, Query, QueryContent, QueryPicture, Response, Run, Score, Subject

Key: TypeAlias = tuple[int, ...]
Rows: TypeAlias = dict[Key, dict[str, Any] | None]
"""The key of a row -> its columns before the import, None if there was no such row."""

IDS_AT_ONCE = 10_000
"""Fewer than the parameters that a statement may have."""


def kept_rows(connection: Connection, import_id: int) -> dict[str, Rows]:
    """Table -> the rows that an import changed, as they were before it."""
    found: dict[str, Rows] = defaultdict(dict)
    kept = select(EarlierRow.table_name, EarlierRow.key, EarlierRow.content).where(EarlierRow.import_id == import_id)
    for table, key, content in connection.execute(kept):
        found[table][tuple(json.loads(key))] = content
    return found


def restore(connection: Connection, import_id: int) -> tuple[set[tuple[int, int]], int]:
    """Put every row back that an import changed. Returns the (expert id, stratum id) with other scores now, and the
    number of scores that are back.

    A score stays as it is if the expert's engine was asked the query after the import. A score of an earlier answer,
    which the import scored again, is put back.
    """
    kept = kept_rows(connection, import_id)
    measured = {
        key
        for key, run_id in _measured(connection, kept["score"].keys() | kept["extraction"].keys()).items()
        if (kept["score"].get(key) or {}).get("run_id") != run_id
    }
    for name in ("score", "extraction"):
        kept[name] = {key: content for key, content in kept[name].items() if key not in measured}
    strata = strata_of(connection, {query_id for _, query_id in kept["score"]})
    for (_, query_id), content in kept["score"].items():
        if content is not None:
            content["stratum_id"] = strata.get(query_id)
    for name, rows in kept.items():
        _put_back(connection, KEPT[name], rows)
    changed = {(expert_id, strata[query_id]) for expert_id, query_id in kept["score"] if query_id in strata}
    return changed, sum(content is not None for content in kept["score"].values())


def strata_of(connection: Connection, query_ids: Collection[int]) -> dict[int, int]:
    """Query id -> stratum id of those queries that exist."""
    return {
        id_: stratum_id
        for ids in parts(query_ids)
        for id_, stratum_id in connection.execute(select(Query.id, Query.stratum_id).where(Query.id.in_(ids)))
    }


def parts(ids: Collection[int]) -> Iterable[list[int]]:
    """The ids in lists that are short enough for one statement."""
    listed = sorted(ids)
    return (listed[start : start + IDS_AT_ONCE] for start in range(0, len(listed), IDS_AT_ONCE))


def _measured(connection: Connection, keys: Collection[Key]) -> dict[Key, int]:
    """Those of some (expert id, query id) whose score is from an answer of the expert's engine -> the run of it."""
    runs = {id_ for id_, provenance in connection.execute(select(Run.id, Run.provenance)) if is_measured(provenance)}
    of_expert: dict[int, list[int]] = defaultdict(list)
    for expert_id, query_id in keys:
        of_expert[expert_id].append(query_id)
    return {
        (expert_id, query_id): run_id
        for expert_id, query_ids in of_expert.items()
        for ids in parts(query_ids)
        for query_id, run_id in connection.execute(
            select(Score.query_id, Score.run_id).where(Score.expert_id == expert_id, Score.query_id.in_(ids))
        )
        if run_id in runs
    }


def _put_back(connection: Connection, table: type[Base], rows: Mapping[Key, dict[str, Any] | None]) -> None:
    if table is Subject:  # other tables refer to a subject, and only its worked examples can have changed
        for (subject_id,), content in rows.items():
            shots = (content or {}).get("shots")
            connection.execute(update(Subject).where(Subject.id == subject_id).values(shots=shots))
        return
    columns = table.__table__.columns
    names = key_columns(table)
    of_first: dict[Key, list[int]] = defaultdict(list)
    for key in rows:
        of_first[key[:-1]].append(key[-1])
    for first, last in of_first.items():
        same = [columns[name] == value for name, value in zip(names, first, strict=False)]
        for ids in parts(last):
            connection.execute(delete(table).where(*same, columns[names[-1]].in_(ids)))
    contents = [content for content in rows.values() if content is not None]
    if table in (QueryContent, QueryPicture):
        existing = strata_of(connection, {content["query_id"] for content in contents})
        contents = [content for content in contents if content["query_id"] in existing]
    if table is not Response and contents:
        listed = [column.name for column in columns]
        is_json = {column.name for column in columns if isinstance(column.type, JSON)}
        bulk.insert(
            connection,
            table,
            listed,
            [[_written(content.get(name), name in is_json) for name in listed] for content in contents],
        )


def _written(value: Any, is_json: bool) -> Any:
    return json.dumps(value) if is_json and value is not None else value
