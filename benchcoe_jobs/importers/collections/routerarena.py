"""The cached results of RouterArena, one JSON Lines file per model: github.com/RouteWorks/RouterArena, cached_results/.

`global_index` is the key; without its number it is the subject, which is the data set of the question. The score is
that of the file's metric, so it may be a fraction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchcoe_jobs.domain import Result
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.cells import member, plain
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.reading.rows import converted, every_row
from benchcoe_jobs.importers.source import Source

BENCHMARK = "routerarena"

_NUMBER = re.compile(r"_\d+$")
_COLUMNS = {"global_index", "generated_answer", "evaluation_result"}


class RouterArenaImporter:
    """The format `routerarena`."""

    def recognise(self, source: Source) -> str | None:
        """By the keys of the first object."""
        known = source.suffix in (".jsonl", ".ndjson") and set(source.columns) >= _COLUMNS
        return "its objects have global_index and evaluation_result" if known else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """One result per object. The objects that were not evaluated are skipped."""
        options.require_only("routerarena", "subject_from")
        duplicates = DuplicateGuard()

        def result(line: int, row: Row) -> Result:
            evaluation = member(row, "evaluation_result")
            if evaluation.get("score") is None:
                error = f": {columns.quoted(row['error'])}" if row.get("error") else ""
                raise RowError(f"it was not evaluated{error}")
            key = columns.required(row, "global_index")
            expert = columns.name(row, "llm_selected")
            duplicates.claim(line, f"query {key!r}", expert, key)
            usage = member(row, "token_usage")
            found = {
                "key": key,
                "subject": cells.subject(row, options.subject_from, _NUMBER.sub("", key)),
                "text": row.get("question"),
                "answer": plain(evaluation.get("ground_truth")),
                "score": evaluation["score"],
                "response": row.get("generated_answer"),
                "prompt_tokens": usage.get("input_tokens"),
                "completion_tokens": usage.get("output_tokens"),
                "cost": evaluation.get("inference_cost"),
            }
            return cells.result(line, found, options.benchmark or BENCHMARK, expert=expert)

        return converted(source.path, every_row(source.path), result)


ROUTERARENA = RouterArenaImporter()
