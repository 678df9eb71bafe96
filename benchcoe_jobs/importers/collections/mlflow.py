"""The table of an evaluation by MLflow (mlflow.evaluate): eval_results_table.json.

The scores are in columns METRIC/v1/score. A metric that a language model gives, with a column METRIC/v1/justification,
has whole scores from 1 to 5: 1 becomes 0 and 5 becomes 1. Such a column with any other value is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import Note, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.collections import framed
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, quoted
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

BENCHMARK = "mlflow"

_FILE = "eval_results_table.json"
_SCORE = re.compile(r"(.+)/v\d+/score")
_GRADED = ("answer_similarity", "answer_correctness", "answer_relevance", "relevance", "faithfulness")
_NO_SCORES = ("toxicity", "flesch_kincaid_grade_level", "ari_grade_level", "latency", "token_count", "perplexity")
"""Metrics of MLflow that do not tell how good an answer is, or of which lower is better."""

_PLAIN = ("score", "exact_match", "correct", "is_correct")


class MlflowImporter:
    """The format `mlflow`."""

    def recognise(self, source: Source) -> str | None:
        """By the names of the columns, or of the file."""
        names = framed.column_names(source)
        return "it has the columns of a table of mlflow.evaluate" if names and is_mlflow(source, names) else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """One result per row, of the metric that --metric names, or of the only one.

        The subject is a column of that name, or of `--subject-from`; else the benchmark has one subject.
        """
        options.require_only("mlflow", "metric", "scale", "subject_from")
        path = source.path
        names, rows = framed.read_framed(path)
        framed.require_column(path, options.subject_from, "--subject-from", names)
        column = _column(path, options.metric, names)
        benchmark = options.benchmark or BENCHMARK
        graded = _is_graded(column, names)
        if graded and options.scale is None:
            rows = _regraded(path, column, rows)
            yield Note(f"{column}: scores from 1 to 5; 1 is taken as 0, and 5 as 1")
        duplicates = DuplicateGuard()

        def result(line: int, row: Row) -> Result:
            found = {**framed.named_cells(row, options.subject_from), "score": row[column]}
            found["subject"] = found["subject"] or benchmark
            expert = found["expert"]
            made = cells.result(line, found, benchmark, expert=expert, scale=options.scale)
            duplicates.claim(line, f"query {made.query.key!r}", expert, made.query.key)
            return made

        yield from converted(path, iter(rows), result)


def is_mlflow(source: Source, names: Sequence[str]) -> bool:
    """Whether a table with these columns was written by MLflow."""
    return source.name == _FILE or any(_SCORE.fullmatch(name) for name in names)


def _column(path: Path, metric: str | None, names: Sequence[str]) -> str:
    metrics = {found[1]: name for name in names if (found := _SCORE.fullmatch(name))}
    if metric is not None:
        column = metrics.get(metric, metric)
        framed.require_column(path, column, "--metric", names)
        return column
    usable = [name for metric, name in metrics.items() if metric not in _NO_SCORES]
    return framed.score_column(path, None, usable or [name for name in names if name in _PLAIN], names)


def _is_graded(column: str, names: Sequence[str]) -> bool:
    found = _SCORE.fullmatch(column)
    return found is not None and (found[1] in _GRADED or f"{column.removesuffix('score')}justification" in names)


def _regraded(path: Path, column: str, rows: Sequence[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """The rows with scores from 0 to 1. Raises InputError if a score is not 1, 2, 3, 4 or 5."""
    for line, row in rows:
        value: Any = row[column]
        if value is not None and (isinstance(value, bool) or value not in (1, 2, 3, 4, 5)):
            raise InputError(
                f"{path}: nothing was imported: row {line}: {quoted(column)} is {quoted(value)}, but the scores of "
                "such a metric are from 1 to 5: --scale fraction if they are between 0 and 1"
            )
    return [(line, row if row[column] is None else {**row, column: (row[column] - 1) / 4}) for line, row in rows]


MLFLOW = MlflowImporter()
