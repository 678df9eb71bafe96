"""What an evaluation will ask, and what that takes: decisions are made and stored, and no expert is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchcoe_jobs import registry
from benchcoe_jobs.services.evaluation.decisions import decide
from benchcoe_jobs.services.inference.shards import micro_batch_size
from benchcoe_jobs.services.quote.quote import Quote, quote_part
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import Store


def quote_evaluation(store: Store, home: Path, request: Mapping[str, Any]) -> Quote:
    """The quote of the decided queries that the chosen experts have not answered.

    `request` is that of `evaluate_request`. Raises UsageError as `decide` does.
    """
    decided = decide(store, home, request)
    benchmark = decided.benchmark_id, decided.benchmark
    parts = []
    with store.reading() as connection:
        unscored = evaluations.unscored_decisions(connection, decided.evaluation_id)
        for expert_id, queries in unscored.items():
            expert = experts.read_expert_by_id(connection, expert_id)
            if expert.can_answer and decided.benchmark in registry.names("benchmarks"):
                micro_batch = micro_batch_size(expert.engine)
                parts.append(quote_part(connection, expert_id, benchmark, len(queries), micro_batch))
    return Quote(parts)
