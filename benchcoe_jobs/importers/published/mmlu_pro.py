"""The result files that MMLU-Pro publishes, one per model: github.com/TIGER-AI-Lab/MMLU-Pro, eval_results/.

JSON, plain or in a zip: a list of rows, or an object with rows or lists of rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError, quoted
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.source import Source
from benchcoe_jobs.wording import counted

BENCHMARK = "mmlu-pro"
LETTERS = "ABCDEFGHIJ"

_KINDS = {str: "string", list: "list", dict: "object", bool: "truth value", type(None): "null"}

_ROW = (b'"question_id"', b'"question"', b'"options"', b'"category"')
_OUTPUT = (b'"model_outputs"', b'"generated_text"')

_PUBLISHED = re.compile(r"model_outputs_(.+?)(?:_\d+shots?)?\.(?:json|zip|json\.gz)\Z")
"""The names of the published files."""


class MmluProImporter:
    """The format `mmlu-pro`."""

    def recognise(self, source: Source) -> str | None:
        """By the names in the first rows: the rows of most files are within one object that is too large to parse."""
        if source.suffix != ".json" or not all(name in source.head for name in _ROW):
            return None
        return "its rows have question_id and model_outputs" if any(name in source.head for name in _OUTPUT) else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The responses, as the function `read` yields them. A published file has the name of its model in its own."""
        options.require_only("mmlu-pro")
        named = _PUBLISHED.match(source.path.name)
        return read(source.path, options.benchmark, named[1] if named else None)


MMLU_PRO = MmluProImporter()


def read(path: Path, benchmark: str | None = None, expert: str | None = None) -> Iterator[Result | SkippedRow]:
    """The responses in file order, to be scored, and a SkippedRow for each record that cannot be used.

    Line numbers are numbers of records, from 1. Of several outputs the first is used, as for the published scores.
    `answer` is used, as in the official script, not `answer_index` (they differ for question 3983 of the newer
    files). Raises InputError if the file cannot be read, is not UTF-8 or not JSON, or has no row.
    """
    records = list(_records(read_document(path)))
    if not any(isinstance(record, dict) for record in records):
        raise InputError(f"{path}: it has no row")
    subjects = frozenset(registry.load("benchmarks", BENCHMARK).subjects)
    return _results(records, benchmark or BENCHMARK, expert, subjects)


def _records(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict):
        yield from document if isinstance(document, list) else [document]
        return
    for value in document.values():
        yield from value if isinstance(value, list) else [value]


def _results(
    records: list[Any], benchmark: str, expert: str | None, subjects: frozenset[str]
) -> Iterator[Result | SkippedRow]:
    duplicates = DuplicateGuard()
    for line, record in enumerate(records, start=1):
        try:
            if not isinstance(record, dict):
                raise RowError(f"a stray {_KINDS.get(type(record), 'number')}, not a row")
            query = _query(record, subjects)
            output = _output(record)
            duplicates.claim(line, f"question {query.key}", query.key)
            claimed = record.get("pred")
            yield Result(
                line=line,
                benchmark=benchmark,
                query=query,
                expert=expert,
                text=output,
                claimed=claimed if isinstance(claimed, str) else None,
            )
        except RowError as reason:
            yield SkippedRow(line, str(reason))


def _query(row: Row, subjects: frozenset[str]) -> Query:
    key = columns.required(row, "question_id")
    subject = columns.required(row, "category")
    if subject not in subjects:
        raise RowError(f"unknown category {quoted(subject)}")
    question = columns.text(row, "question")
    if question is None:
        raise RowError("question is empty" if "question" in row else "question is missing")
    if "options" not in row:
        raise RowError("options is missing")
    options = columns.texts("options", row["options"])
    answer = columns.required(row, "answer")
    if len(answer) != 1 or answer not in LETTERS[: len(options)]:
        raise RowError(f"answer {quoted(answer)} is not a letter of its {counted(len(options), 'option')}")
    return Query(
        key=key,
        subject=subject,
        text=question,
        choices=options,
        answer=answer,
        source=(columns.text(row, "src") or "").partition("-")[0] or None,  # ori_mmlu-law, theoremQA-Math, ...
    )


def _output(row: Row) -> str:
    column = "model_outputs" if "model_outputs" in row else "generated_text"
    if column not in row:
        raise RowError("neither model_outputs nor generated_text")
    output = row[column]
    if isinstance(output, list):
        output = next((item for item in output if isinstance(item, str)), output)
    if not isinstance(output, str):
        raise RowError(f"{column} is {'null' if output is None else 'not text'}")
    return output
