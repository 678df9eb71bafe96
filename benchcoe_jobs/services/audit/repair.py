"""Repairs of what an audit finds. Each is one transaction, and responses are never changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import duplicates_across_splits
from benchcoe_jobs.services.audit.row_order import true_rows, unrelated_experts
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.store.results import aggregates, catalog, experts, repairs, score_table
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Repaired:
    """A repair: how many scores or queries moved, and the order that was undone if it was one of rows."""

    kind: str
    benchmark: str
    expert: str | None
    moved: int
    order: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """The repair as one JSON object."""
        return asdict(self)


def repair_order(store: Store, benchmark: str | None, expert: str) -> Repaired:
    """Move an expert's scores to the questions that they belong to, and update the labels.

    Only scores that were imported as scores can move: a response that was scored here was scored with the answer of
    another question. Raises UsageError if the expert has such scores, or if no order restores the correlation.
    """
    with store.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, benchmark)
        expert_id = experts.find_expert(connection, expert)
        if repairs.has_extractions(connection, expert_id, benchmark_id):
            raise UsageError(
                f"the scores of {expert} on {name} were computed from responses here and cannot be moved: "
                "import a corrected file with --replace"
            )
        matrix = read_matrix(connection, benchmark_id, experts.expert_ids(connection))
        found = next((unrelated for unrelated in unrelated_experts(matrix) if unrelated.expert == expert), None)
        if found is None or found.order is None:
            why = "its scores correlate with the others" if found is None else "no known order restores the correlation"
            raise UsageError(f"nothing to repair for {expert} on {name}: {why}")
        stored, true = true_rows(matrix.queries, ~np.isnan(matrix.column(expert)), found.order)
        queries = matrix.queries
        moves = {
            queries[old].id: (queries[new].id, queries[new].stratum_id)
            for old, new in zip(stored, true, strict=True)
            if old != new
        }
        order = asdict(found.order)
        touched = repairs.move_scores(connection, expert_id, benchmark_id, moves, {"repaired_order": order})
        aggregates.refresh(connection, [benchmark_id], {(expert_id, stratum) for stratum in touched})
    return Repaired("order", name, expert, len(moves), order)


def repair_duplicates(store: Store, benchmark: str | None) -> Repaired:
    """Move all copies of a question to the first of train, validation and test that holds one.

    No question is then tested that a router was trained on. Raises UsageError if no question is in several splits.
    """
    order = list(Split)
    with store.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, benchmark)
        to_split: dict[int, str] = {}
        for group in duplicates_across_splits(score_table.queries(connection, benchmark_id)):
            first = min((query.split for _, query in group if query.split), key=order.index)
            to_split |= {id_: first.value for id_, query in group if query.split is not first}
        if not to_split:
            raise UsageError(f"nothing to repair: no question of {name} is in more than one split")
        changed = repairs.move_queries(connection, to_split)
        aggregates.refresh(connection, [benchmark_id], changed)
    return Repaired("duplicates", name, None, len(to_split), None)
