"""Rows of a CSV, JSONL or Parquet file, plain or in a zip."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers.archive import open_data
from benchcoe_jobs.importers.columns import Row, RowError

Made = TypeVar("Made")
Numbered = tuple[int, Row]
Check = Callable[[Sequence[str]], None]

MAX_FIELD = 2**24
"""Largest CSV field in characters: an unclosed quote must not read a large file into one field."""

PARQUET_BATCH = 4_096


def converted(
    rows: Iterable[Numbered | SkippedRow], convert: Callable[[int, Row], Made]
) -> Iterator[Made | SkippedRow]:
    """Apply `convert` to each row; a row for which it raises RowError becomes a SkippedRow."""
    for row in rows:
        if isinstance(row, SkippedRow):
            yield row
            continue
        try:
            yield convert(*row)
        except RowError as reason:
            yield SkippedRow(row[0], str(reason))


def read_rows(path: Path, known: Sequence[str], required: Sequence[tuple[str, ...]]) -> Iterator[Numbered | SkippedRow]:
    """The rows with their numbers from 1: of the physical line in CSV and JSONL, of the row in Parquet.

    `required` lists groups of columns; at least one of each group must exist. JSONL has no header: the keys of its
    first object are used. Raises InputError if the file has another format, is not UTF-8, has no row, an unknown
    column, or not the required ones; MissingError without pyarrow.
    """

    def check(names: Sequence[str]) -> None:
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise InputError(f"{path}: column {_listed(twice)} occurs twice")
        if unknown := [name for name in names if name not in known]:
            raise InputError(f"{path}: unknown column {_listed(unknown)}; known are {', '.join(known)}")
        for group in required:
            if not set(group) & set(names):
                instead = " (--benchmark names it for every row)" if group == ("benchmark",) else ""
                raise InputError(f"{path}: no column {_listed(group, ' or ')}{instead}; known are {', '.join(known)}")

    with open_data(path) as (name, stream):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in _READERS:
            raise InputError(
                f"{path}: a table must be one of {', '.join(_READERS)}, not {suffix or name!r}; for files that a "
                "benchmark publishes, name its importer with --format"
            )
        rows = _READERS[suffix](path, stream, check)
        first = next(rows, None)
        if first is None:
            raise InputError(f"{path}: it has no row")
        yield first
        yield from rows


def _csv(path: Path, stream: IO[bytes], check: Check) -> Iterator[Numbered | SkippedRow]:
    csv.field_size_limit(MAX_FIELD)  # for the whole process, in which nothing else reads CSV
    reader = csv.reader(_lines(path, stream), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"broken CSV, up to line {reader.line_num}: {error}"
            if header is None:
                raise InputError(f"{path}: {reason}") from error
            yield SkippedRow(line, reason)
            continue
        if not cells:  # a blank line
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            check(header)
        elif len(cells) != len(header):
            yield SkippedRow(line, f"{len(cells)} fields, but the header has {len(header)}")
        else:
            yield line, dict(zip(header, cells, strict=True))


def _jsonl(path: Path, stream: IO[bytes], check: Check) -> Iterator[Numbered | SkippedRow]:
    accepted: set[tuple[str, ...]] = set()
    for line, text in enumerate(_lines(path, stream), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            yield SkippedRow(line, f"broken JSON at character {error.colno}: {error.msg}")
            continue
        except (ValueError, RecursionError):  # a number with thousands of digits, or deeply nested brackets
            yield SkippedRow(line, "JSON that is too large or too deep")
            continue
        if not isinstance(row, dict):
            yield SkippedRow(line, "not a JSON object")
            continue
        names = tuple(row)
        if names not in accepted:
            try:
                check(names)
            except InputError as error:
                if not accepted:
                    raise
                yield SkippedRow(line, str(error).removeprefix(f"{path}: "))
                continue
            accepted.add(names)
        yield line, row


def _parquet(path: Path, stream: IO[bytes], check: Check) -> Iterator[Numbered | SkippedRow]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingError(f"{path}: Parquet needs pyarrow: pip install 'benchcoe-jobs[hub]'") from error
    number = 0
    try:
        # In memory, because the reader seeks in the file, and seeking back in a zip decompresses it again.
        file = parquet.ParquetFile(io.BytesIO(stream.read()))
        names = list(file.schema_arrow.names)
        check(names)
        for batch in file.iter_batches(batch_size=PARQUET_BATCH):
            columns: list[list[Any]] = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, dict(zip(names, cells, strict=True))
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: not valid Parquet, after row {number}: {reason}") from error


_READERS = {".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}


def _lines(path: Path, stream: IO[bytes]) -> Iterator[str]:
    """The lines of a UTF-8 text without the byte order mark that spreadsheets write."""
    offset = 0
    for raw in stream:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            at = offset + error.start
            raise InputError(f"{path}: not UTF-8: byte 0x{raw[error.start]:02x} at offset {at}") from error
        yield text if offset else text.removeprefix("\ufeff")
        offset += len(raw)


def _listed(names: Sequence[str], between: str = ", ") -> str:
    return between.join(repr(name) for name in names)
