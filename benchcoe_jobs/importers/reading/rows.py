"""Rows of a table: CSV, TSV, JSON, JSONL or Parquet, also packed; a workbook; a folder of Parquet files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from benchcoe_jobs.domain import Note, Scale, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading import workbook
from benchcoe_jobs.importers.reading.archive import MAX_BYTES, is_folder, not_utf8, open_data
from benchcoe_jobs.importers.reading.columns import FileError, Row, RowError, quoted
from benchcoe_jobs.importers.reading.documents import json_document
from benchcoe_jobs.importers.reading.escaped_cells import ESCAPED, unescape_cells
from benchcoe_jobs.importers.reading.header import Check, Header
from benchcoe_jobs.importers.reading.parquet import read_folder, read_parquet
from benchcoe_jobs.json_text import RepeatedNameError, parsed

Made = TypeVar("Made")
Numbered = tuple[int, Row]

MAX_FIELD = 2**24
"""Largest CSV field in characters: an unclosed quote must not read a large file into one field."""

MAX_LINE = 2**26
"""Largest line in bytes: a file without line breaks must not be read into memory as one line."""


def converted(
    path: Path,
    rows: Iterable[Numbered | SkippedRow | Note],
    convert: Callable[[int, Row], Made],
    file: str | None = None,
) -> Iterator[Made | SkippedRow | Note]:
    """Apply `convert` to each row; a row for which it raises RowError becomes a SkippedRow.

    `file` names the file in skipped rows, if there are several. Raises InputError with the number of the row if
    `convert` raises FileError.
    """
    for row in rows:
        if not isinstance(row, tuple):
            yield SkippedRow(row.line, row.reason, file) if isinstance(row, SkippedRow) else row
            continue
        try:
            yield convert(*row)
        except RowError as reason:
            yield SkippedRow(row[0], str(reason), file)
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
    path: Path,
    known: Sequence[str],
    required: Sequence[tuple[str, ...]],
    columns: Mapping[str, str] | None = None,
    *,
    require_known: bool = False,
) -> Iterator[Numbered | SkippedRow | Note]:
    """The rows with their numbers from 1: of the physical line in CSV and JSONL, of the row in Parquet and a workbook.

    A row has the columns in `known`, by name; `columns` says which columns of the file have them if they are called
    otherwise. `required` lists groups of columns; at least one of each group must exist. JSONL has no header: the keys
    of its first object are used. Other columns are ignored, with a Note at the end, unless `require_known` is set.
    Raises InputError if the file has another format, is not UTF-8, has no row, or not the required columns;
    MissingError without pyarrow or openpyxl; UsageError as `Header` does.
    """
    header = Header(path, known, required, columns, require_known=require_known)
    rows = _rows(path, header.check)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: it has no row")
    yield first
    yield from rows
    yield from header.notes()


def every_row(path: Path) -> Iterator[Numbered | SkippedRow]:
    """The rows of a file with all their columns, whatever they are called; numbers and errors as in `read_rows`.

    Raises InputError if a column occurs twice.
    """

    def check(names: Sequence[str]) -> dict[str, str]:
        found = {name: name for name in names}
        if len(found) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path}: column {quoted(twice)} occurs twice")
        return found

    return _rows(path, check)


def _rows(path: Path, check: Check) -> Iterator[Numbered | SkippedRow]:
    if is_folder(path):
        yield from read_folder(path, check)
        return
    if path.suffix.lower() in workbook.SUFFIXES:
        yield from workbook.read_workbook(path, check)
        return
    with open_data(path) as (name, stream):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in _READERS:
            raise InputError(f"{path}: {instead(name, suffix)}")
        yield from _READERS[suffix](path, stream, check)


def _csv(path: Path, stream: IO[bytes], check: Check, delimiter: str = ",") -> Iterator[Numbered | SkippedRow]:
    csv.field_size_limit(MAX_FIELD)  # for the whole process, in which nothing else reads CSV
    reader = csv.reader(_lines(path, stream), strict=True, delimiter=delimiter)
    header: list[str] | None = None
    names: list[str] = []
    places: list[tuple[int, str]] = []
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
            wanted = check([name for name in header if name != ESCAPED])
            places = [(place, wanted[name]) for place, name in enumerate(header) if name in wanted]
            names = [name for _, name in places]
        elif len(cells) != len(header):
            yield SkippedRow(line, f"{len(cells)} fields, but the header has {len(header)}")
        elif len(names) == len(header):
            yield line, dict(zip(names, cells, strict=True))
        else:
            try:
                cells = unescape_cells(header, cells) if ESCAPED in header else cells
            except RowError as reason:
                yield SkippedRow(line, str(reason))
            else:
                yield line, {name: cells[place] for place, name in places}


def _jsonl(path: Path, stream: IO[bytes], check: Check) -> Iterator[Numbered | SkippedRow]:
    objects = _Objects(path, check)
    for line, text in enumerate(_lines(path, stream), start=1):
        if not text.strip():
            continue
        try:
            row = parsed(text)
        except json.JSONDecodeError as error:
            yield SkippedRow(line, f"broken JSON at character {error.colno}: {error.msg}")
        except RepeatedNameError as reason:
            yield SkippedRow(line, str(reason))
        except (ValueError, RecursionError):  # a number with thousands of digits, or deeply nested brackets
            yield SkippedRow(line, "JSON that is too large or too deep")
        else:
            yield objects.row(line, row)


def _json(path: Path, stream: IO[bytes], check: Check) -> Iterator[Numbered | SkippedRow]:
    """The rows of a list of objects, or of an object with a column under each key, as pandas writes both."""
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes")
    document = json_document(path, content)
    if isinstance(document, dict) and document and all(isinstance(cells, dict) for cells in document.values()):
        index = next(iter(document.values())).keys()
        if any(cells.keys() != index for cells in document.values()):
            raise InputError(f"{path}: its columns do not have the same rows")
        document = [{name: cells[key] for name, cells in document.items()} for key in index]
    if not isinstance(document, list):
        raise InputError(f"{path}: neither a list of objects nor columns as pandas writes them: not a table")
    objects = _Objects(path, check)
    for number, row in enumerate(document, 1):
        yield objects.row(number, row)


class _Objects:
    """JSON objects as rows. The keys of each new set of keys are checked; the first set decides about the file."""

    def __init__(self, path: Path, check: Check) -> None:
        self._path = path
        self._check = check
        self._accepted: dict[tuple[str, ...], Mapping[str, str]] = {}

    def row(self, line: int, row: Any) -> Numbered | SkippedRow:
        if not isinstance(row, dict):
            return SkippedRow(line, "not a JSON object")
        names = tuple(row)
        wanted = self._accepted.get(names)
        if wanted is None:
            try:
                wanted = self._check(names)
            except InputError as error:
                if not self._accepted:
                    raise
                return SkippedRow(line, str(error).removeprefix(f"{self._path}: "))
            self._accepted[names] = wanted
        return line, {column: row[name] for name, column in wanted.items()}


_READERS: dict[str, Callable[[Path, IO[bytes], Check], Iterator[Numbered | SkippedRow]]] = {
    ".csv": _csv,
    ".tsv": partial(_csv, delimiter="\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".parquet": read_parquet,
}

TABLE_SUFFIXES = (*_READERS, *workbook.SUFFIXES)
"""The endings of tables, in lower case."""

_WORKBOOKS = (".xls", ".xlsb", ".ods")
_PICKLES = (".pkl", ".pickle", ".npy", ".npz", ".pt", ".joblib")
_COMPRESSED = (".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz")


def instead(name: str, suffix: str) -> str:
    """Why a file is not a table by its name, and how to make one of it."""
    listed = ", ".join([*_READERS, workbook.SUFFIXES[0]])
    return f"a table must be one of {listed}, {_how(name, suffix)}"


def _how(name: str, suffix: str) -> str:
    if suffix in _WORKBOOKS:
        return f"not a workbook ({suffix}): save it as .xlsx, or the sheet as CSV (UTF-8)"
    if suffix in _PICKLES:
        return f"not {suffix}, which can run code when it is read: write CSV or Parquet from Python"
    if suffix in _COMPRESSED:
        return f"not {suffix}: compress it as .gz or .zip, or not at all"
    return f"not {suffix or name!r}; for files that a benchmark publishes, name the importer with --format"


def _lines(path: Path, stream: IO[bytes]) -> Iterator[str]:
    """The lines of a UTF-8 text without the byte order mark that spreadsheets write."""
    offset = 0
    while raw := stream.readline(MAX_LINE + 1):
        if len(raw) > MAX_LINE:
            raise InputError(f"{path}: the line at offset {offset} is longer than {MAX_LINE:,} bytes")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(path, raw[error.start], f"at offset {offset + error.start}") from error
        yield text if offset else text.removeprefix("\ufeff")
        offset += len(raw)
