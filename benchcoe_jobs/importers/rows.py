"""Rows of a table: CSV, TSV, JSONL or Parquet, plain, in a zip or with gzip, or a folder of Parquet files."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from benchcoe_jobs.domain import Note, Scale, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.archive import is_folder, open_data
from benchcoe_jobs.importers.columns import FileError, Row, RowError
from benchcoe_jobs.importers.parquet import Check, read_folder, read_parquet

Made = TypeVar("Made")
Numbered = tuple[int, Row]

MAX_FIELD = 2**24
"""Largest CSV field in characters: an unclosed quote must not read a large file into one field."""

MAX_LINE = 2**26
"""Largest line in bytes: a file without line breaks must not be read into memory as one line."""

_INDEX = re.compile(r"|Unnamed: \d+(\.\d+)*|__index_level_\d+__")
"""The names of the columns in which pandas writes its index: to CSV, after a second round, and to Parquet."""


def converted(
    path: Path, rows: Iterable[Numbered | SkippedRow | Note], convert: Callable[[int, Row], Made]
) -> Iterator[Made | SkippedRow | Note]:
    """Apply `convert` to each row; a row for which it raises RowError becomes a SkippedRow.

    Raises InputError with the number of the row if `convert` raises FileError.
    """
    for row in rows:
        if not isinstance(row, tuple):
            yield row
            continue
        try:
            yield convert(*row)
        except RowError as reason:
            yield SkippedRow(row[0], str(reason))
        except FileError as reason:
            raise InputError(f"{path}: nothing was imported: row {row[0]}: {reason}") from reason


def scaled(rows: Iterable[Made | SkippedRow | Note], scale: Scale) -> Iterator[Made | SkippedRow | Note]:
    """The same rows, and at the end a Note if the scores should be in percent and none exceeds 1 %."""
    if scale is not Scale.PERCENT:
        yield from rows
        return
    highest = None
    for row in rows:
        if (score := getattr(row, "score", None)) is not None:
            highest = max(score, highest or 0.0)
        yield row
    if highest is not None and highest <= 1 / 100:
        yield Note(f"no score is above 1 %: leave out --scale percent if the scores are between 0 and 1 ({highest:g})")


def read_rows(
    path: Path, known: Sequence[str], required: Sequence[tuple[str, ...]]
) -> Iterator[Numbered | SkippedRow | Note]:
    """The rows with their numbers from 1: of the physical line in CSV and JSONL, of the row in Parquet.

    `required` lists groups of columns; at least one of each group must exist. JSONL has no header: the keys of its
    first object are used. A column in which pandas wrote its index is passed over, with a Note. Raises InputError if
    the file has another format, is not UTF-8, has no row, an unknown column, or not the required ones; MissingError
    without pyarrow.
    """
    passed_over: list[str] = []

    def check(names: Sequence[str]) -> list[str]:
        index = [name for name in names if name not in known and _INDEX.fullmatch(name)]
        passed_over[:] = index
        names = [name for name in names if name not in index]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise InputError(f"{path}: column {_listed(twice)} occurs twice")
        if unknown := [name for name in names if name not in known]:
            hint = _other_delimiter(names)
            raise InputError(f"{path}: unknown column {_listed(unknown)}{hint}; known are {', '.join(known)}")
        for group in required:
            if not set(group) & set(names):
                instead = " (--benchmark names it for every row)" if group == ("benchmark",) else ""
                raise InputError(f"{path}: no column {_listed(group, ' or ')}{instead}; known are {', '.join(known)}")
        return list(names)

    rows = _rows(path, check)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: it has no row")
    if passed_over:
        yield Note(f"column {_listed(passed_over)} is passed over: pandas wrote the index of its rows there")
    yield first
    yield from rows


def _rows(path: Path, check: Check) -> Iterator[Numbered | SkippedRow]:
    if is_folder(path):
        yield from read_folder(path, check)
        return
    with open_data(path) as (name, stream):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in _READERS:
            raise InputError(f"{path}: a table must be one of {', '.join(_READERS)}, {_instead(name, suffix)}")
        yield from _READERS[suffix](path, stream, check)


def _csv(path: Path, stream: IO[bytes], check: Check, delimiter: str = ",") -> Iterator[Numbered | SkippedRow]:
    csv.field_size_limit(MAX_FIELD)  # for the whole process, in which nothing else reads CSV
    reader = csv.reader(_lines(path, stream), strict=True, delimiter=delimiter)
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


_READERS: dict[str, Callable[[Path, IO[bytes], Check], Iterator[Numbered | SkippedRow]]] = {
    ".csv": _csv,
    ".tsv": partial(_csv, delimiter="\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": read_parquet,
}

_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
_PICKLES = (".pkl", ".pickle", ".npy", ".npz", ".pt", ".joblib")
_COMPRESSED = (".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz")


def _instead(name: str, suffix: str) -> str:
    """How to make a table of a file of another format."""
    if suffix in _WORKBOOKS:
        return f"not a workbook ({suffix}): save the sheet as CSV (UTF-8)"
    if suffix in _PICKLES:
        return f"not {suffix}, which can run code when it is read: write CSV or Parquet from Python"
    if suffix in _COMPRESSED:
        return f"not {suffix}: compress it as .gz or .zip, or not at all"
    if suffix == ".json":
        return (
            "not '.json': write one object per line (JSON Lines; in pandas, to_json(orient='records', lines=True)), "
            "or, for files that a benchmark publishes, name the importer with --format"
        )
    return f"not {suffix or name!r}; for files that a benchmark publishes, name the importer with --format"


def _other_delimiter(names: Sequence[str]) -> str:
    """A hint, if a header has a single column in which another delimiter occurs."""
    if len(names) == 1 and (found := next((mark for mark in (";", "\t", "|") if mark in names[0]), None)):
        return f" (columns are separated by commas in .csv and by tabs in .tsv, not by {found!r})"
    return ""


def _lines(path: Path, stream: IO[bytes]) -> Iterator[str]:
    """The lines of a UTF-8 text without the byte order mark that spreadsheets write."""
    offset = 0
    while raw := stream.readline(MAX_LINE + 1):
        if len(raw) > MAX_LINE:
            raise InputError(f"{path}: the line at offset {offset} is longer than {MAX_LINE:,} bytes")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            at = offset + error.start
            raise InputError(f"{path}: not UTF-8: byte 0x{raw[error.start]:02x} at offset {at}") from error
        yield text if offset else text.removeprefix("\ufeff")
        offset += len(raw)


def _listed(names: Sequence[str], between: str = ", ") -> str:
    return between.join(repr(name) for name in names)
