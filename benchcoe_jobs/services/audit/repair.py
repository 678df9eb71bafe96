"""Repairs of what an audit finds, and their undoing. Each is one transaction, and responses are never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import stored_duplicates
from benchcoe_jobs.services.audit.log_order import Numbering, Order
from benchcoe_jobs.services.audit.order_checks import unrelated_of
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.store.results import aggregates, catalog, experts, repairs
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.results.repairs import RepairedRun
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Repaired:
    """A repair: how many scores or queries moved, and the order that was undone if it was one of rows.

    `undone` says that an earlier repair was undone instead.
    """

    kind: str
    benchmark: str
    expert: str | None
    moved: int
    order: dict[str, Any] | None
    undone: bool = False

    def as_json(self) -> dict[str, Any]:
        """The repair as one JSON object."""
        return asdict(self)


def repair_order(store: Store, benchmark: str | None, expert: str) -> Repaired:
    """Move an expert's scores to the questions that they belong to, and update the labels.

    Only scores that were imported as scores can move: a response that was scored here was scored with the answer of
    another question. Raises UsageError if the expert has such scores, if no order restores the correlation, and if it
    is not certain that the expert's order is the wrong one: see `row_order`.
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
        answers = repairs.extracted_answers(connection, benchmark_id)
        unrelated = unrelated_of(matrix, experts.expert_ids(connection), answers)
        found = next((suspect for suspect in unrelated if suspect.expert == expert), None)
        if found is None or found.order is None or not found.is_certain:
            why = "its scores correlate with the others" if found is None else found.doubt
            raise UsageError(f"nothing to repair for {expert} on {name}: {why}")
        queries = matrix.queries
        stored, true = Numbering.of(queries).true_rows(~np.isnan(matrix.column(expert)), found.order)
        moves = {queries[old].id: queries[new].id for old, new in zip(stored, true, strict=True) if old != new}
        order = asdict(found.order)
        touched = repairs.move_scores(connection, expert_id, benchmark_id, moves, {"repaired_order": order})
        repairs.record(connection, "order", benchmark_id, expert_id, list(moves.items()))
        aggregates.refresh(connection, [benchmark_id], {(expert_id, stratum) for stratum in touched})
    return Repaired("order", name, expert, len(moves), order)


def undo_order(store: Store, benchmark: str | None, expert: str) -> Repaired:
    """Move an expert's scores back to the questions that they had before its latest repair, and update the labels.

    Raises UsageError if there is no repair to undo, and if scores were imported since.
    """
    with store.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, benchmark)
        expert_id = experts.find_expert(connection, expert)
        last = repairs.last_repair(connection, "order", benchmark_id, expert_id)
        runs = repairs.run_of_scores(connection, expert_id, benchmark_id)
        repaired = [
            run for run in repairs.repaired_runs(connection, expert_id, benchmark_id) if run.id in runs.values()
        ]
        if last is None and not repaired:
            raise UsageError(f"nothing to undo: the scores of {expert} on {name} were not moved by a repair")
        if last is not None:
            back = {new: old for old, new in last[1]}
        else:
            matrix = read_matrix(connection, benchmark_id, {expert: expert_id})
            back = _unrecorded(matrix.queries, runs, repaired)
        touched = repairs.move_scores_back(connection, expert_id, benchmark_id, back) if back else None
        if touched is None:
            raise UsageError(
                f"the repair of {expert} on {name} cannot be undone, because scores were imported since: "
                "import its file again with --replace"
            )
        if last is not None:
            repairs.mark_undone(connection, last[0])
        aggregates.refresh(connection, [benchmark_id], {(expert_id, stratum) for stratum in touched})
    return Repaired("order", name, expert, len(back), None, undone=True)


def _unrecorded(
    queries: Sequence[QueryRef], run_of: Mapping[int, int], repaired: Sequence[RepairedRun]
) -> dict[int, int]:
    """The moves that undo a repair of a release that did not store them: (query with the score) -> (its origin).

    `run_of` maps query id -> run of its score; `repaired` are the runs of repairs, newest first. The moves follow from
    the order in the provenance of the newest. They are empty if the scores that the repair left in place are not those
    that the order leaves in place: scores or questions were added since.
    """
    order = repaired[0].order
    of_repair = {run.id for run in repaired if run.order == order}
    unmoved = {run.original_id for run in repaired if run.order == order}
    run_of_row = np.array([run_of.get(query.id, -1) for query in queries])
    moved, stayed = np.isin(run_of_row, list(of_repair)), np.isin(run_of_row, list(unmoved))
    counted = moved | stayed if order["over"] == "own" else np.ones_like(moved)
    stored, true = Numbering.of(queries).true_rows(counted, Order(**order))
    if ((stored != true) & stayed[stored]).any() or ((stored == true) & moved[true]).any():
        return {}
    return {queries[new].id: queries[old].id for old, new in zip(stored, true, strict=True) if moved[new]}


def repair_duplicates(store: Store, benchmark: str | None) -> Repaired:
    """Move all copies of a question to the first of train, validation and test that holds one.

    No question is then tested that a router was trained on. Raises UsageError if no question is in several splits.
    """
    order = list(Split)
    with store.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, benchmark)
        to_split: dict[int, str] = {}
        for group in stored_duplicates(connection, benchmark_id):
            first = min((query.split for _, query in group if query.split), key=order.index)
            to_split |= {id_: first.value for id_, query in group if query.split is not first}
        if not to_split:
            raise UsageError(f"nothing to repair: no question of {name} is in more than one split")
        moves = repairs.split_moves(connection, benchmark_id, to_split)
        changed = repairs.move_queries(connection, {query_id: new for query_id, _, new in moves})
        repairs.record(connection, "duplicates", benchmark_id, None, moves)
        aggregates.refresh(connection, [benchmark_id], changed)
    return Repaired("duplicates", name, None, len(to_split), None)


def undo_duplicates(store: Store, benchmark: str | None) -> Repaired:
    """Move the queries of the latest repair back to the splits that they were in.

    Raises UsageError if there is no repair to undo. Releases before 0.3.0 did not store what they moved.
    """
    with store.writing() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, benchmark)
        last = repairs.last_repair(connection, "duplicates", benchmark_id, None)
        if last is None:
            raise UsageError(f"nothing to undo: no stored repair has moved queries of {name} to another split")
        repair_id, moves = last
        strata = repairs.stratum_of_queries(connection, benchmark_id)
        back = {query_id: old for query_id, old, new in moves if strata.get(query_id) == new}
        changed = repairs.move_queries(connection, back)
        repairs.mark_undone(connection, repair_id)
        aggregates.refresh(connection, [benchmark_id], changed)
    return Repaired("duplicates", name, None, len(back), None, undone=True)
