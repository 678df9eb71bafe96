"""Scores of many experts on many queries, written and aggregated in columns, without a Python object for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats, Ints
from benchcoe_jobs.domain import MICRO
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results.binary_copy import Records, copy_records
from benchcoe_jobs.store.tables import Score

_COLUMNS = ("expert_id", "query_id", "stratum_id", "value", "run_id")
_EXPERTS_AT_ONCE = 100
_CELLS_AT_ONCE = 2**20
"""Scores that are staged in memory at once."""


@dataclass(frozen=True, slots=True)
class ScoreGrid:
    """Scores of `e` experts on `q` queries of one benchmark.

    `query_ids` and `stratum_ids` have the shape (q,), in ascending order of the queries; `expert_ids` and `run_ids`
    (e,), in ascending order of the experts. `values` is (q, e), in [0, 1]; NaN if an expert has no score on a query.
    """

    query_ids: Ints
    stratum_ids: Ints
    expert_ids: Ints
    run_ids: Ints
    values: Floats

    def of_experts(self, expert_ids: Sequence[int]) -> ScoreGrid:
        """The part of some of the experts."""
        kept = np.isin(self.expert_ids, expert_ids)
        return ScoreGrid(
            self.query_ids, self.stratum_ids, self.expert_ids[kept], self.run_ids[kept], self.values[:, kept]
        )

    def count(self, place: int) -> int:
        """The number of scores of the expert at a place."""
        return int(np.count_nonzero(~np.isnan(self.values[:, place])))

    def write(self, connection: Connection) -> None:
        """Store the scores; a score of another run on the same query is replaced.

        The caller refreshes the aggregates before the commit.
        """
        if connection.dialect.name == "sqlite":
            self._write_sqlite(connection)
        else:
            copy_records(connection, Score, _COLUMNS, self._records())

    def changed(self) -> set[tuple[int, int]]:
        """(expert id, stratum id) of the scores."""
        return {(expert, stratum) for expert, stratum, _, _ in self.sums()}

    def sums(self) -> list[tuple[int, int, int, int]]:
        """Rows of `score_sum`: expert id, stratum id, number of scores, and their sum in micro-units."""
        strata, places = np.unique(self.stratum_ids, return_inverse=True)
        rows = []
        for expert_id, column in zip(self.expert_ids.tolist(), self.values.T, strict=True):
            has_score = ~np.isnan(column)
            at = places[has_score]
            counts = np.bincount(at, minlength=len(strata))
            # Sums of whole numbers below 2**53 are exact, and half a unit is rounded up as SQL does.
            totals = np.bincount(at, np.floor(column[has_score] * MICRO + 0.5), len(strata)).astype(np.int64)
            rows += [
                (expert_id, stratum, n, total)
                for stratum, n, total in zip(strata.tolist(), counts.tolist(), totals.tolist(), strict=True)
                if n
            ]
        return rows

    def best(self, pool_id: int, stratum_id: int, ranked: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """Rows of `query_best` for a ranking that has no others: its experts, all in the grid, the best rank first."""
        in_stratum = self.stratum_ids == stratum_id
        columns = np.searchsorted(self.expert_ids, ranked)
        values = np.nan_to_num(self.values[np.ix_(in_stratum, columns)], nan=_NONE)
        winner = values.argmax(axis=1)  # the first of equal ones
        value = values.max(axis=1)
        tied = (values == value[:, None]).sum(axis=1)
        runner_up = np.partition(values, -2, axis=1)[:, -2] if len(ranked) > 1 else np.full(len(values), _NONE)
        rows = zip(
            self.query_ids[in_stratum].tolist(),
            self.expert_ids[columns[winner]].tolist(),
            value.tolist(),
            tied.tolist(),
            runner_up.tolist(),
            strict=True,
        )
        for query, expert, best, n, second in rows:
            if best != _NONE:
                yield pool_id, query, stratum_id, expert, best, n, None if second == _NONE else second

    def _write_sqlite(self, connection: Connection) -> None:
        """Stage the scores with a column for each expert, and insert them expert by expert, in the order of the key.

        The staged rows are an expert's share of the calls of the driver: inserts of single scores take twice as long.
        """
        with closing(connection.connection.cursor()) as cursor:
            for first in range(0, len(self.expert_ids), _EXPERTS_AT_ONCE):
                self._write_experts(cursor, slice(first, first + _EXPERTS_AT_ONCE))
            cursor.execute("DROP TABLE IF EXISTS staging")

    def _write_experts(self, cursor: Any, experts: slice) -> None:
        ids, runs = self.expert_ids[experts].tolist(), self.run_ids[experts].tolist()
        names = [f"value_{expert_id}" for expert_id in ids]
        declared = ", ".join(f"{name} REAL" for name in names)
        cursor.execute("DROP TABLE IF EXISTS staging")
        cursor.execute(f"CREATE TEMP TABLE staging (query_id INTEGER PRIMARY KEY, stratum_id INTEGER, {declared})")
        marks = ", ".join("?" * (2 + len(ids)))
        on_conflict = bulk.on_conflict(Score, _COLUMNS)
        step = max(1, _CELLS_AT_ONCE // len(ids))
        for start in range(0, len(self.query_ids), step):
            part = slice(start, start + step)
            columns = self.values[part, experts].T.tolist()
            rows = zip(self.query_ids[part].tolist(), self.stratum_ids[part].tolist(), *columns, strict=True)
            cursor.executemany(f"INSERT INTO staging VALUES ({marks})", rows)  # NaN is stored as NULL
            for expert_id, run_id, name in zip(ids, runs, names, strict=True):
                cursor.execute(
                    f"INSERT INTO score ({', '.join(_COLUMNS)}) SELECT ?, query_id, stratum_id, {name}, ? FROM staging "
                    f"WHERE {name} IS NOT NULL ORDER BY query_id {on_conflict}",
                    (expert_id, run_id),
                )
            cursor.execute("DELETE FROM staging")

    def _records(self) -> Records:
        """The rows of `score` as a structured array, in the order of their key."""
        experts, queries = np.nonzero(~np.isnan(self.values.T))
        records = np.empty(len(experts), [(name, "f8" if name == "value" else "i4") for name in _COLUMNS])
        records["expert_id"], records["run_id"] = self.expert_ids[experts], self.run_ids[experts]
        records["query_id"], records["stratum_id"] = self.query_ids[queries], self.stratum_ids[queries]
        records["value"] = self.values[queries, experts]
        return records


_NONE = -1.0
