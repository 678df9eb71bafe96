"""What an audit can mend by itself, each in one transaction. Responses are never touched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import straddling
from benchcoe_jobs.services.audit.row_order import true_rows, unrelated_experts
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.store.results import aggregates, catalog, experts, repairs, score_table
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was mended: how many scores or queries changed place, and for an order, which one was undone."""

    kind: str
    benchmark: str
    expert: str | None
    moved: int
    order: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """The repair as one JSON object."""
        return asdict(self)


def repair_order(store: Store, benchmark: str | None, expert: str) -> Repaired:
    """Give an expert's scores to the questions that they belong to, and bring the labels up to date.

    Only scores that came ready-made move: one that was scored here was scored against another question's
    answer. Raises UsageError where no order is found that brings back what the others have.
    """
    with store.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, benchmark)
        expert_id = experts.find_expert(connection, expert)
        if repairs.has_extractions(connection, expert_id, benchmark_id):
            raise UsageError(
                f"the scores of {expert} on {name} stand on responses that were scored here: "
                "import a corrected file with --replace"
            )
        matrix = read_matrix(connection, benchmark_id, experts.expert_ids(connection))
        found = next((one for one in unrelated_experts(matrix) if one.expert == expert), None)
        if found is None or found.order is None:
            why = "its scores go with the others' as they are" if found is None else "no order brings its scores back"
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
    """Put every copy of a question into the first of train, validation and test that holds one.

    So nothing that is tested has been learned. Raises UsageError where nothing stands in several splits.
    """
    order = list(Split)
    with store.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, benchmark)
        to_split: dict[int, str] = {}
        for group in straddling(score_table.queries(connection, benchmark_id)):
            first = min((query.split for _, query in group if query.split), key=order.index)
            to_split |= {id_: first.value for id_, query in group if query.split is not first}
        if not to_split:
            raise UsageError(f"nothing to repair: no question of {name} stands in more than one split")
        changed = repairs.move_queries(connection, to_split)
        aggregates.refresh(connection, [benchmark_id], changed)
    return Repaired("duplicates", name, None, len(to_split), None)
