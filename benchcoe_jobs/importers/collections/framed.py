"""Tables that are a JSON object of `columns` and `data`, as MLflow and Weights & Biases write them.

What a column holds is told by its name, of which each kind of cell has several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.cells import plain
from benchcoe_jobs.importers.opening import opening
from benchcoe_jobs.importers.reading.columns import Row, quoted
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.source import Source

NAMES = {
    "key": ("id", "key", "question_id", "sample_id", "example_id", "request_id"),
    "text": ("prompt", "question", "input", "inputs", "text", "query", "request"),
    "subject": ("subject", "category", "topic", "task"),
    "answer": ("target", "targets", "ground_truth", "gold", "reference", "expected", "label", "expected_response"),
    "response": ("prediction", "predictions", "output", "outputs", "response", "completion", "generation"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens", "token_count"),
    "expert": ("model", "model_name", "expert", "model_id"),
    "cost": ("cost",),
}
"""The cells of a result, and the names of columns that have them, the usual ones first."""

_MAX_LISTED = 20


def column_names(source: Source) -> list[str]:
    """The columns of a table; empty if the file is not one, or if they stand after more data than the head has."""
    found = opening(source)
    names = found.get("columns")
    if source.suffix != ".json" or "data" not in found or not isinstance(names, list):
        return []
    return names if all(isinstance(name, str) for name in names) else []


def read_framed(path: Path) -> tuple[list[str], list[tuple[int, Row]]]:
    """The columns, and the rows with their numbers from 1. Raises InputError."""
    document = read_document(path)
    columns, data = (document.get(name) if isinstance(document, dict) else None for name in ("columns", "data"))
    if not isinstance(columns, list) or not isinstance(data, list):
        raise InputError(f"{path}: it has no lists of columns and data")
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise InputError(f"{path}: the names of its columns are not texts, or one occurs twice")
    rows: list[tuple[int, Row]] = []
    for line, cells in enumerate(data, 1):
        if not isinstance(cells, list) or len(cells) != len(columns):
            raise InputError(f"{path}: row {line} does not have a value for each of the {len(columns)} columns")
        rows.append((line, dict(zip(columns, cells, strict=True))))
    if not rows:
        raise InputError(f"{path}: it has no row")
    return columns, rows


def named_cells(row: Row, subject_from: str | None) -> dict[str, Any]:
    """The cells of a result in a row, by the names in NAMES; texts of numbers, lists and objects."""
    found: dict[str, Any] = {}
    for cell, names in NAMES.items():
        if cell == "subject" and subject_from is not None:
            names = (subject_from,)
        value = next((row[name] for name in names if row.get(name) is not None), None)
        found[cell] = value if cell in ("prompt_tokens", "completion_tokens", "cost") else plain(value)
    return found


def require_column(path: Path, given: str | None, option: str, names: Iterable[str]) -> None:
    """Raises InputError if the table lacks the column that an option names."""
    if given is not None and given not in names:
        raise InputError(f"{path}: no column {quoted(given)}, which {option} names; its columns are {listed(names)}")


def score_column(path: Path, given: str | None, candidates: Sequence[str], names: Iterable[str]) -> str:
    """The column with the scores: the given one, or else the only candidate.

    Raises InputError if there is no candidate, and UsageError if there are several.
    """
    if given is not None:
        return given
    if not candidates:
        raise InputError(f"{path}: no column is known to have scores: --metric NAME names it; it has {listed(names)}")
    if len(candidates) > 1:
        raise UsageError(f"{path}: {listed(candidates)} could all be the scores: --metric NAME chooses one")
    return candidates[0]


def listed(names: Iterable[str]) -> str:
    """Names in a message, at most 20 of them."""
    shown = [quoted(name) for name in names]
    return ", ".join(shown[:_MAX_LISTED]) + (", ..." if len(shown) > _MAX_LISTED else "")
