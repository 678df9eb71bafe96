"""The result files that MMLU-Pro publishes, one per model: github.com/TIGER-AI-Lab/MMLU-Pro, eval_results/.

JSON, plain or in a zip: a list of rows, or an object with rows or lists of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers import columns
from benchcoe_jobs.importers.archive import read_bytes
from benchcoe_jobs.importers.columns import DuplicateGuard, Row, RowError, quoted
from benchcoe_jobs.wording import counted

BENCHMARK = "mmlu-pro"
LETTERS = "ABCDEFGHIJ"

_KINDS = {str: "string", list: "list", dict: "object", bool: "truth value", type(None): "null"}


def read(path: Path, benchmark: str | None = None) -> Iterator[Result | SkippedRow]:
    """The responses in file order, to be scored, and a SkippedRow for each record that cannot be used.

    Line numbers are numbers of records, from 1. Of several outputs the first is used, as for the published scores.
    `answer` is used, as in the official script, not `answer_index` (they differ for question 3983 of the newer
    files). Raises InputError if the file cannot be read, is not UTF-8 or not JSON, or has no row.
    """
    records = list(_records(_document(path)))
    if not any(isinstance(record, dict) for record in records):
        raise InputError(f"{path}: it has no row")
    subjects = frozenset(registry.load("benchmarks", BENCHMARK).subjects)
    return _results(records, benchmark or BENCHMARK, subjects)


def _document(path: Path) -> Any:
    try:
        text = read_bytes(path)[1].decode()
    except UnicodeDecodeError as error:
        at = error.start
        raise InputError(f"{path}: not UTF-8: byte 0x{error.object[at]:02x} at offset {at}") from error
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON, at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, or deeply nested brackets
        raise InputError(f"{path}: JSON that is too large or too deep") from error


def _records(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict):
        yield from document if isinstance(document, list) else [document]
        return
    for value in document.values():
        yield from value if isinstance(value, list) else [value]


def _results(records: list[Any], benchmark: str, subjects: frozenset[str]) -> Iterator[Result | SkippedRow]:
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
