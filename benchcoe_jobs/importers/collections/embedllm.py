"""The correctness data of EmbedLLM, one row for each question and model: github.com/richardzhuang0412/EmbedLLM."""

from __future__ import annotations

from collections.abc import Iterator

from benchcoe_jobs.domain import Result
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row
from benchcoe_jobs.importers.reading.rows import converted, every_row
from benchcoe_jobs.importers.source import Source

BENCHMARK = "embedllm"

_COLUMNS = {"prompt_id", "prompt", "model_name", "label"}


class EmbedLlmImporter:
    """The format `embedllm`."""

    def recognise(self, source: Source) -> str | None:
        """By the columns."""
        return "it has the columns prompt_id, model_name and label" if set(source.columns) >= _COLUMNS else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """One result per row: `prompt_id` is the key, `category` the subject, `label` the score."""
        options.require_only("embedllm", "scale", "subject_from")
        duplicates = DuplicateGuard()

        def result(line: int, row: Row) -> Result:
            key = columns.required(row, "prompt_id")
            expert = columns.required(row, "model_name")
            duplicates.claim(line, f"query {key!r} of model {expert!r}", expert, key)
            found = {
                "key": key,
                "subject": cells.subject(row, options.subject_from, row.get("category")),
                "text": row.get("prompt"),
                "score": row.get("label"),
            }
            return cells.result(line, found, options.benchmark or BENCHMARK, expert=expert, scale=options.scale)

        return converted(source.path, every_row(source.path), result)


EMBEDLLM = EmbedLlmImporter()
