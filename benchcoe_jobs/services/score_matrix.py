"""The scores of several experts as one matrix."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from benchcoe_jobs.store.results import score_table
from benchcoe_jobs.store.results.score_table import QueryRef


@dataclass(frozen=True, slots=True)
class ScoreMatrix:
    """Scores (queries, experts), NaN where there is none; the queries in the order in which they came."""

    experts: list[str]
    queries: list[QueryRef]
    values: NDArray[np.float64]

    def complete(self) -> ScoreMatrix:
        """Only the queries that every expert has a score on."""
        kept = np.flatnonzero(~np.isnan(self.values).any(axis=1))
        return ScoreMatrix(self.experts, [self.queries[row] for row in kept], self.values[kept])

    def silent(self) -> set[str]:
        """The experts without a score."""
        return {name for name in self.experts if np.isnan(self.column(name)).all()}

    def without(self, experts: Collection[str]) -> ScoreMatrix:
        """The scores of the others."""
        kept = [column for column, name in enumerate(self.experts) if name not in experts]
        return ScoreMatrix([self.experts[column] for column in kept], self.queries, self.values[:, kept])

    def column(self, expert: str) -> NDArray[np.float64]:
        """One expert's scores, (queries,)."""
        return self.values[:, self.experts.index(expert)]

    def subject_codes(self) -> NDArray[np.intp]:
        """A number for each query's subject, (queries,)."""
        return np.unique([query.subject for query in self.queries], return_inverse=True)[1]


def read_matrix(
    connection: Connection, benchmark_id: int, experts: Mapping[str, int], split: str | None = None
) -> ScoreMatrix:
    """The scores of some experts (name -> id) on a benchmark, or on one split of it."""
    queries = score_table.query_refs(connection, benchmark_id, split)
    row_of = {query.id: row for row, query in enumerate(queries)}
    column_of = {expert_id: column for column, expert_id in enumerate(experts.values())}
    values = np.full((len(queries), len(experts)), np.nan)
    for query_id, expert_id, score in score_table.scores(connection, benchmark_id, list(column_of), split):
        values[row_of[query_id], column_of[expert_id]] = score
    return ScoreMatrix(list(experts), queries, values)
