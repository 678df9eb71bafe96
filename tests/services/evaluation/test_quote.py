"""The quote of an evaluation counts what the chosen experts have not answered."""

from __future__ import annotations

from pathlib import Path

import routing_world

from benchcoe_jobs.services.evaluation.decisions import evaluate_request
from benchcoe_jobs.services.evaluation.quote import quote_evaluation
from benchcoe_jobs.store.session import Store


def test_answered_queries_and_benchmarks_without_a_prompt_cost_nothing(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        request = evaluate_request(connection, "r", None, "train")
    assert quote_evaluation(store, tmp_path, request).parts == []
