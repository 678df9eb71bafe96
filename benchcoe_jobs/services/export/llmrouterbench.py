"""The results of LLMRouterBench (https://github.com/ynulihao/LLMRouterBench): files by subject, split and expert.

A subject is a data set of theirs. Records are numbered from 1 in each file; `extra_fields` has the key of the query.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import Query, router_text
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.backends import slugs
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.json_text import json_document
from benchcoe_jobs.services.export.scored import scored_queries
from benchcoe_jobs.services.export.selection import select
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.results.scored_rows import ScoredRow
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_TIME = "00000000_000000"
"""In the place of the time of a run: the scores of a file may come from several."""


class _LlmRouterBench:
    options: frozenset[str] = frozenset()

    def is_folder(self, request: ExportRequest) -> bool:
        """See `Exporter.is_folder`."""
        return True

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`. The records of one expert are in memory at the same time."""
        n_files = n_records = 0
        with store.reading() as connection:
            selection = select(connection, request)
            scope = selection.scope
            names = slugs(selection.members)
            folders = slugs(catalog.subject_ids(connection, scope.benchmark_id))
            for expert, expert_id in selection.members.items():
                rows = sorted(
                    scored_queries(connection, scope.benchmark_id, expert_id, selection.split),
                    key=lambda pair: (pair[0].subject, pair[0].split, pair[0].query_id),
                )
                for (subject, split), group in groupby(rows, key=lambda pair: (pair[0].subject, pair[0].split)):
                    document = _document(expert, scope.benchmark, subject, split, list(group))
                    name, folder = names[expert], folders[subject]
                    path = f"bench/{folder}/{split}/{name}/{folder}-{split}-{name}-{_TIME}.json"
                    with output.create(path) as file:
                        file.write(json_document(document))
                    n_files, n_records = n_files + 1, n_records + document["counts"]
        if not n_files:
            raise UsageError(f"no expert of pool {scope.pool.name!r} has a score on {scope.benchmark}")
        return Exported(
            f"{counted(n_records, 'record')} in {counted(n_files, 'file')}", {"records": n_records, "files": n_files}
        )


LLMROUTERBENCH = _LlmRouterBench()


def _document(
    expert: str, benchmark: str, subject: str, split: str, rows: list[tuple[ScoredRow, Query]]
) -> dict[str, Any]:
    records = [_record(index, benchmark, row, query) for index, (row, query) in enumerate(rows, 1)]
    return {
        "performance": sum(row.score for row, _ in rows) / len(rows),
        "time_taken": sum(row.latency_s or 0.0 for row, _ in rows),
        "prompt_tokens": sum(record["prompt_tokens"] for record in records),
        "completion_tokens": sum(record["completion_tokens"] for record in records),
        "cost": sum(record["cost"] for record in records),
        "counts": len(records),
        "model_name": expert,
        "dataset_name": subject,
        "split": split,
        "demo": False,
        "extra_metrics": {},
        "data_fingerprint": "",
        "records": records,
    }


def _record(index: int, benchmark: str, row: ScoredRow, query: Query) -> dict[str, Any]:
    text = router_text(query.text, query.choices)
    return {
        "index": index,
        "origin_query": text,
        "prompt": text,
        "prediction": row.answer or "",
        "ground_truth": query.answer or "",
        "score": row.score,
        "prompt_tokens": row.prompt_tokens or 0,
        "completion_tokens": row.completion_tokens or 0,
        "cost": row.cost or 0.0,
        "raw_output": row.response or "",
        "extra_fields": {"benchmark": benchmark, "key": row.key},
    }
