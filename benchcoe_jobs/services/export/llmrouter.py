"""The data files of LLMRouter (https://github.com/ulab-uiuc/LLMRouter): its queries, routing data and models.

Split `train` becomes its training data, `test` its test data; `validation` is left out, because it has no place there.
`embedding_id` numbers the queries in the order of the files. The embeddings are made by LLMRouter's own encoder, which
also reads new questions (see docs/exports.md).
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.json_text import json_document, json_line
from benchcoe_jobs.services.export.scored import scored_queries
from benchcoe_jobs.services.export.selection import Selection, select
from benchcoe_jobs.services.export.yaml_text import yaml_text
from benchcoe_jobs.store.results import experts, scored_rows
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_PARTS = (Split.TRAIN, Split.TEST)


class _LlmRouter:
    options: frozenset[str] = frozenset()

    def is_folder(self, request: ExportRequest) -> bool:
        """See `Exporter.is_folder`."""
        return True

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`."""
        if request.split is not None:
            raise UsageError("format llmrouter has files of train and of test: leave out --split")
        figures: dict[str, int] = {}
        with store.reading() as connection:
            selection = select(connection, request)
            numbers: dict[int, int] = {}
            for split in _PARTS:
                figures[f"queries_{split}"] = _write_queries(connection, selection, split, numbers, output)
                figures[f"scores_{split}"] = _write_scores(connection, selection, split, numbers, output)
            models = {name: _model(connection, name) for name in selection.members}
        if not figures["scores_train"]:
            raise UsageError(f"no query of {selection.scope.benchmark}, split train, has a text and a score")
        with output.create("llm_data.json") as file:
            file.write(json_document(models))
        with output.create("data_path.yaml") as file:
            heading = "The data_path of a configuration of LLMRouter: make its paths absolute"
            file.write(yaml_text({"data_path": _paths()}, heading))
        queries = counted(figures["queries_train"] + figures["queries_test"], "query", "queries")
        scores = counted(figures["scores_train"] + figures["scores_test"], "score")
        return Exported(f"{scores} of {counted(len(models), 'expert')} on {queries}", figures)


LLMROUTER = _LlmRouter()


def _paths() -> dict[str, str]:
    of_parts = {
        f"{what}_data_{split}": f"{what}_data_{split}.jsonl" for what in ("query", "routing") for split in _PARTS
    }
    return {**of_parts, "query_embedding_data": "query_embeddings.pt", "llm_data": "llm_data.json"}


def _write_queries(
    connection: Connection, selection: Selection, split: Split, numbers: dict[int, int], output: Output
) -> int:
    """Write the queries of a split that have a text, and number them. Returns how many."""
    ids = scored_rows.query_ids(connection, selection.scope.benchmark_id, split.value)
    before = len(numbers)
    with output.create(f"query_data_{split}.jsonl") as file:
        for start in range(0, len(ids), scored_rows.ROWS_AT_ONCE):
            part = ids[start : start + scored_rows.ROWS_AT_ONCE]
            found = scored_rows.contents(connection, part)
            for id_ in part:
                if found[id_].text:
                    numbers[id_] = len(numbers)
                    file.write(json_line({**_query(found[id_]), "task_id": found[id_].key}))
    return len(numbers) - before


def _write_scores(
    connection: Connection, selection: Selection, split: Split, numbers: dict[int, int], output: Output
) -> int:
    n = 0
    with output.create(f"routing_data_{split}.jsonl") as file:
        for expert, expert_id in selection.members.items():
            for row, query in scored_queries(connection, selection.scope.benchmark_id, expert_id, split.value):
                if row.query_id not in numbers:
                    continue
                line = {
                    **_query(query),
                    "model_name": expert,
                    "response": row.response or "",
                    "token_num": (row.prompt_tokens or 0) + (row.completion_tokens or 0),
                    "input_tokens": row.prompt_tokens or 0,
                    "output_tokens": row.completion_tokens or 0,
                    "response_time": row.latency_s or 0.0,
                    "performance": row.score,
                    "embedding_id": numbers[row.query_id],
                    "user_id": None,
                    "fig_id": None,
                }
                file.write(json_line(line))
                n += 1
    return n


def _query(query: Query) -> dict[str, Any]:
    return {
        "task_name": query.subject,
        "query": query.text,
        "ground_truth": query.answer or "",
        "metric": "em_mc" if query.choices else "em",
        "choices": _choices(query.choices),
    }


def _choices(choices: Iterable[str]) -> str | None:
    """The choices as LLMRouter's own files have them: a dict in the notation of Python."""
    listed = list(choices)
    labels = [string.ascii_uppercase[i] if i < 26 else str(i + 1) for i in range(len(listed))]
    return str({"text": listed, "labels": labels}) if listed else None


def _model(connection: Connection, name: str) -> dict[str, Any]:
    """An expert as an entry of llm_data. Its size is unknown; `feature` is the text that LLMRouter embeds."""
    expert = experts.read_expert(connection, name)[1]
    return {
        "size": "unknown",
        "feature": f"{name}, the model {expert.model or name}",
        "input_price": expert.price_in or 0.0,
        "output_price": expert.price_out or 0.0,
        "model": expert.model or name,
        "service": expert.engine,
        "api_endpoint": expert.settings.get("base_url", ""),
    }
