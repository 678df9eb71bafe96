"""The scores of several experts as one matrix."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.store.results import score_table
from benchcoe_jobs.store.results.joins import QueryRef


@dataclass(frozen=True, slots=True)
class ScoreMatrix:
    """Scores (queries, experts), NaN if an expert has none; the queries in the order of their import."""

    experts: list[str]
    queries: list[QueryRef]
    values: Floats

    def complete(self) -> ScoreMatrix:
        """The matrix without the queries that an expert has no score on."""
        kept = np.flatnonzero(~np.isnan(self.values).any(axis=1))
        return ScoreMatrix(self.experts, [self.queries[row] for row in kept], self.values[kept])

    def without_scores(self) -> set[str]:
        """The names of the experts without any score."""
        return {name for name in self.experts if np.isnan(self.column(name)).all()}

    def without(self, experts: Collection[str]) -> ScoreMatrix:
        """The matrix without some experts."""
        kept = [column for column, name in enumerate(self.experts) if name not in experts]
        return ScoreMatrix([self.experts[column] for column in kept], self.queries, self.values[:, kept])

    def column(self, expert: str) -> Floats:
        """The scores of one expert (queries,)."""
        return self.values[:, self.experts.index(expert)]

    def subject_codes(self) -> NDArray[np.intp]:
        """The subject of each query as a number from 0 (queries,)."""
        return np.unique([query.subject for query in self.queries], return_inverse=True)[1]


def read_matrix(
    connection: Connection, benchmark_id: int, experts: Mapping[str, int], split: str | None = None
) -> ScoreMatrix:
    """The scores of some experts (name -> id) on a benchmark, or on one split of it."""
    queries = score_table.query_refs(connection, benchmark_id, split)
    expert_ids = list(experts.values())
    rows = score_table.scores(connection, benchmark_id, expert_ids, split)
    return ScoreMatrix(list(experts), queries, fill(rows, [query.id for query in queries], expert_ids))


def fill(rows: Iterable[tuple[int, int, float]], query_ids: Sequence[int], expert_ids: Sequence[int]) -> Floats:
    """Rows (query id, expert id, score) -> scores (queries, experts), NaN where there is no row.

    Rows of queries or experts that are not listed are ignored.
    """
    row_of = {query_id: row for row, query_id in enumerate(query_ids)}
    column_of = {expert_id: column for column, expert_id in enumerate(expert_ids)}
    scores = np.full((len(query_ids), len(expert_ids)), np.nan)
    for query_id, expert_id, score in rows:
        if query_id in row_of and expert_id in column_of:
            scores[row_of[query_id], column_of[expert_id]] = score
    return scores


def subject_oracle(scores: Floats, subject_codes: NDArray[np.intp]) -> Floats:
    """The score of each query (n,) if every subject goes to the expert that is best on it, in hindsight.

    `scores` (n, experts) are without NaN; `subject_codes` (n,) number the subjects from 0. Of equally good
    experts the first is taken.
    """
    totals = np.zeros((subject_codes.max() + 1, scores.shape[1]))
    np.add.at(totals, subject_codes, scores)
    chosen: Floats = scores[np.arange(len(scores)), totals.argmax(axis=1)[subject_codes]]
    return chosen
