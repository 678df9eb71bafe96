"""Tables of Weights & Biases, as files (media/table/NAME.table.json) or artifacts.

Columns may have any name: see `framed.NAMES` for those that are known. The scores are those of the column that --metric
names, or of the only one that is called score, correct, is_correct, acc, accuracy, exact_match or hit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchcoe_jobs.domain import Result
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.collections import framed, mlflow
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

_SCORES = ("score", "correct", "is_correct", "acc", "accuracy", "exact_match", "hit")
_END = re.compile(r"(_\d+_[0-9a-f]{16,})?(\.table)?\.json$")


class WandbImporter:
    """The format `wandb`."""

    def recognise(self, source: Source) -> str | None:
        """By the lists of columns and data, unless the columns are those of MLflow."""
        names = framed.column_names(source)
        return "it is an object of columns and data" if names and not mlflow.is_mlflow(source, names) else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """One result per row. Without a column for it, the benchmark and the subject are the name of the file."""
        options.require_only("wandb", "metric", "scale", "subject_from")
        path = source.path
        names, rows = framed.read_framed(path)
        framed.require_column(path, options.metric, "--metric", names)
        framed.require_column(path, options.subject_from, "--subject-from", names)
        score = framed.score_column(path, options.metric, [name for name in names if name.lower() in _SCORES], names)
        table = _END.sub("", source.name) or "wandb"
        duplicates = DuplicateGuard()

        def result(line: int, row: Row) -> Result:
            found = {**framed.named_cells(row, options.subject_from), "score": row[score]}
            found["subject"] = found["subject"] or options.benchmark or table
            expert = found["expert"]
            made = cells.result(line, found, options.benchmark or table, expert=expert, scale=options.scale)
            duplicates.claim(line, f"query {made.query.key!r}", expert, made.query.key)
            return made

        return converted(path, iter(rows), result)


WANDB = WandbImporter()
