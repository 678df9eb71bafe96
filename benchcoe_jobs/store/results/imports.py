"""The record of imports: which rows an import added, and those that it changed as they were before it.

Rows of `benchmark`, `subject`, `query`, `expert` and `run` name the import that added them, and what belongs to them
goes with them. Every other row that an import writes is kept as it was before: `ImportRecord.keep`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from benchcoe_jobs.characters import visible
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results.import_tables import EarlierRow, Import
from benchcoe_jobs.store.tables import (
    Base,
    Benchmark,
    Expert,
    Extraction,
    Query,
    QueryContent,
    QueryPicture,
    QueryVariant,
    ReportedScore,
    Response,
    Run,
    Score,
    Subject,
)

KEPT: dict[str, type[Base]] = {
    table.__tablename__: table
    for table in (Extraction, QueryContent, QueryPicture, QueryVariant, ReportedScore, Response, Score, Subject)
}
"""The tables whose rows can be kept."""

BROUGHT: tuple[Any, ...] = (Run, Query, Subject, Benchmark, Expert)
"""The tables whose rows name the import that added them."""

_PREFIX = "import-"
_IDS_AT_ONCE = 10_000
"""Fewer than the parameters that a statement may have."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A stored import. `counts` has the numbers of its summary; `scored` in it maps an expert to its scores."""

    id: int
    command: str
    file: str
    sha256: str
    format: str | None
    benchmarks: list[str]
    counts: dict[str, Any]
    created_at: datetime

    @property
    def name(self) -> str:
        """The name by which commands know the import."""
        return f"{_PREFIX}{self.id}"


class ImportRecord:
    """An import under way. The code that writes its rows calls `keep`, or one of the methods after it, before it does.

    Only the first state of a row is kept. Everything is written in the transaction of the import.
    """

    def __init__(self, connection: Connection, import_id: int) -> None:
        self.id = import_id
        self._connection = connection
        self._own_runs: dict[int, bool] = {}

    @property
    def name(self) -> str:
        """The name by which commands know the import."""
        return f"{_PREFIX}{self.id}"

    def keep(self, table: type[Base], ids: Collection[int], **fixed: int) -> None:
        """Keep rows before they are changed, replaced, deleted or added. It also keeps that there is no such row.

        The key of a row is `fixed`, such as expert_id=7, and last one of `ids`.
        """
        names = key_columns(table)
        columns = table.__table__.columns
        rows: dict[int, str | None] = dict.fromkeys(ids)
        listed = sorted(rows)
        # A response is never changed, so there is nothing to restore, and it may be long.
        wanted = [columns[name] for name in names] if table is Response else list(columns)
        for start in range(0, len(listed), _IDS_AT_ONCE):
            found = select(*wanted).where(
                columns[names[-1]].in_(listed[start : start + _IDS_AT_ONCE]),
                *(columns[name] == value for name, value in fixed.items()),
            )
            for row in self._connection.execute(found).mappings():
                rows[row[names[-1]]] = json.dumps(dict(row))
        before = [fixed[name] for name in names[:-1]]
        bulk.insert(
            self._connection,
            EarlierRow,
            ["import_id", "table_name", "key", "content"],
            [
                (self.id, table.__tablename__, json.dumps([*before, id_]), content)
                for id_, content in rows.items()
                if content is None or table is not Response
            ],
        )

    def before_scores(
        self, expert_id: int, run_id: int, query_ids: Collection[int], replaced: Collection[int] = ()
    ) -> None:
        """Keep what is needed before scores of a run are written; `replaced` are the queries with a score already.

        Nothing is kept of new scores under a run that this import added.
        """
        changed = replaced if self.is_own(run_id) else query_ids
        if changed:
            self.keep(Score, changed, expert_id=expert_id)
            self.keep(Extraction, changed, expert_id=expert_id)
        self.before_rows_of_run(Response, run_id, query_ids)

    def before_rows_of_run(self, table: type[Base], run_id: int, query_ids: Collection[int]) -> None:
        """Keep rows of `response` or `query_variant` before others are added under a run."""
        if query_ids and not self.is_own(run_id):
            self.keep(table, query_ids, run_id=run_id)

    def before_content(self, query_ids: Collection[int], n_images: Mapping[int, int]) -> None:
        """Keep the contents of queries stored before this import; `n_images` are the pictures that they will have."""
        if query_ids:
            self.keep(QueryContent, query_ids)
        for query_id in query_ids:
            if n := n_images.get(query_id, 0):
                self.keep(QueryPicture, range(n), query_id=query_id)

    def is_own(self, run_id: int) -> bool:
        """Whether this import added a run. The same file, imported again, adds to the run of the first time."""
        if run_id not in self._own_runs:
            added_by = self._connection.scalar(select(Run.import_id).where(Run.id == run_id))
            self._own_runs[run_id] = added_by == self.id
        return self._own_runs[run_id]

    def brought_experts(self, names: Collection[str]) -> None:
        """Note that the import registered these experts."""
        self._connection.execute(update(Expert).where(Expert.name.in_(names)).values(import_id=self.id))

    def finish(self, benchmarks: Sequence[str], counts: Mapping[str, Any]) -> bool:
        """Store the counts of the import. Returns whether it changed anything: if not, there is no record of it."""
        if not counts.get("new_queries") and not self._changed_anything():
            self._connection.execute(delete(Import).where(Import.id == self.id))
            return False
        values = {"benchmarks": sorted(benchmarks), "counts": dict(counts)}
        self._connection.execute(update(Import).where(Import.id == self.id).values(**values))
        return True

    def _changed_anything(self) -> bool:
        kept = select(EarlierRow.key).where(EarlierRow.import_id == self.id)
        brought = (select(table.id).where(table.import_id == self.id) for table in BROUGHT if table is not Query)
        return any(self._connection.execute(found.limit(1)).first() is not None for found in (kept, *brought))


def begin(connection: Connection, command: str, file: str, sha256: str, form: str | None = None) -> ImportRecord:
    """Begin the record of an import. If nothing is written in the end, `ImportRecord.finish` deletes it."""
    values: dict[str, Any] = {
        "command": command,
        "file": visible(file),  # the name of a file may be invalid Unicode
        "sha256": sha256,
        "format": form,
        "benchmarks": [],
        "counts": {},
    }
    import_id = connection.execute(insert(Import).values(**values).returning(Import.id)).scalar_one()
    return ImportRecord(connection, import_id)


def imports(connection: Connection) -> list[ImportRow]:
    """Every import that changed the store, the oldest first."""
    return [ImportRow(*row) for row in connection.execute(select(*Import.__table__.columns).order_by(Import.id))]


def find_import(connection: Connection, name: str) -> ImportRow:
    """An import by its name or number. Raises UsageError, which names the latest ones."""
    found = imports(connection)
    for row in found:
        if name in (row.name, str(row.id)):
            return row
    latest = ", ".join(row.name for row in found[:-6:-1])
    known = f"the latest are {latest}" if found else "the store has none"
    raise UsageError(f"there is no import {name!r}; {known}: `benchcoe-jobs imports` lists all")


def key_columns(table: type[Base]) -> list[str]:
    """The columns by which a kept row is known: its primary key, or (run_id, query_id) of a response."""
    if table is Response:
        return ["run_id", "query_id"]
    return [column.name for column in table.__table__.primary_key]
