"""Small result tables, imported from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import Scale
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.services.ingest.result_import import ImportSummary, import_results
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

BENCHMARK = "toy"


def add_experts(store: Store, **costs: float | None) -> None:
    with store.writing() as connection:
        for name, cost in costs.items():
            experts.add_expert(connection, experts.ExpertRow(name, "recorded", cost=cost))


def bring(
    store: Store, folder: Path, expert: str, *rows: dict[str, Any], scale: Scale | None = None, **options: Any
) -> ImportSummary:
    """Import rows of a table on the benchmark `toy`."""
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return import_results(
        store, expert, path, form="table", options=ReadOptions(benchmark=BENCHMARK, scale=scale), **options
    )
