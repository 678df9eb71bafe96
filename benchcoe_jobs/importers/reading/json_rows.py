"""Rows of a file that holds JSON objects: a list of them, or one on each line, whatever the file is called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading.archive import not_utf8, open_data
from benchcoe_jobs.importers.reading.columns import Row
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.reading.rows import MAX_LINE
from benchcoe_jobs.json_text import RepeatedNameError, parsed

_BLANK = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"


def json_rows(path: Path) -> Iterator[tuple[int, Row] | SkippedRow]:
    """The objects with their numbers from 1: of the line, or of the place in the list.

    A list is read as a whole, lines are not. Raises InputError if the file cannot be read, is not UTF-8, is a list that
    is not JSON, or has a line of more than MAX_LINE bytes.
    """
    with open_data(path) as (_, stream):
        start = stream.read(64).removeprefix(_MARK).lstrip(_BLANK)
    if start.startswith(b"["):
        for number, value in enumerate(read_document(path), 1):
            yield _row(number, value)
        return
    with open_data(path) as (_, stream):
        number = 0
        while raw := stream.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                raise InputError(f"{path}: line {number} is longer than {MAX_LINE:,} bytes")
            if raw.strip():
                yield _parsed(path, number, raw.removeprefix(_MARK))


def _parsed(path: Path, number: int, raw: bytes) -> tuple[int, Row] | SkippedRow:
    try:
        return _row(number, parsed(raw.decode()))
    except UnicodeDecodeError as error:
        raise not_utf8(path, raw[error.start], f"in line {number}") from error
    except json.JSONDecodeError as error:
        return SkippedRow(number, f"broken JSON at character {error.colno}: {error.msg}")
    except RepeatedNameError as reason:
        return SkippedRow(number, str(reason))
    except (ValueError, RecursionError):  # a number with thousands of digits, or deeply nested brackets
        return SkippedRow(number, "JSON that is too large or too deep")


def _row(number: int, value: Any) -> tuple[int, Row] | SkippedRow:
    return (number, value) if isinstance(value, dict) else SkippedRow(number, "not a JSON object")
