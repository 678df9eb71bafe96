"""Rows of the local files in which benchmarks are published: JSON, JSONL and Parquet.

A benchmark must be complete, so the first bad row raises an error; in a file of results it is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.json_text import RepeatedNameError, parsed
from benchcoe_jobs.picture_files import read_picture

TRAIN = {"train": Split.TRAIN}
VALIDATION = {"validation": Split.VALIDATION, "val": Split.VALIDATION, "dev": Split.VALIDATION}
TEST = {"test": Split.TEST}

PARQUET_BATCH = 64
"""Rows in memory at the same time; a row may have seven images."""

MAX_ROWS = 5_000_000
"""A few kilobytes of Parquet can declare billions of equal rows."""

_SUFFIXES = (".parquet", ".jsonl", ".json")
"""In order of preference, if a folder has several formats."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read: the split in its name, and the split of its queries.

    `split` is None if the source has a single labelled split, whose queries are assigned to splits when they are
    stored.
    """

    path: Path
    named: Split | None
    split: Split | None


def source_files(path: Path, names: Mapping[str, Split], skip: frozenset[str] = frozenset()) -> list[SourceFile]:
    """The files to read under a path, which is a data file or a folder of data files.

    In a folder, these are the files with a word of `names` in their name ("hellaswag_val.jsonl",
    "validation-00000-of-00001.parquet"), or all data files if `names` is empty. Files are skipped if their name, or
    that of a folder inside `path`, has a word of `skip`. Raises InputError if no file is left.
    """
    if path.is_file():
        return [SourceFile(path, _named(path, names), None)]
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    inside = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file, path)]
    for suffix in _SUFFIXES:
        files = [file for file in inside if file.suffix == suffix and not skip & _words(file.relative_to(path))]
        found = [(file, _named(file, names)) for file in files]
        if names:
            found = [(file, named) for file, named in found if named is not None]
        if found:
            single = len({named for _, named in found}) == 1
            return [SourceFile(file, named, None if single else named) for file, named in found]
    wanted = f"named after {' or '.join(names)}" if names else "in it"
    raise InputError(f"{path}: no {', '.join(_SUFFIXES)} file {wanted}")


def unique(path: Path, queries: Iterable[Query]) -> Iterator[Query]:
    """The same queries. Raises InputError at a key that occurs twice, and if there are no queries."""
    seen = set()
    for query in queries:
        if query.key in seen:
            raise InputError(f"{path}: two questions have the key {query.key!r}")
        seen.add(query.key)
        yield query
    if not seen:
        raise InputError(f"{path}: it has no question")


@dataclass(frozen=True, slots=True)
class Record:
    """A row and its number (from 1). Its methods raise InputError if a cell is missing or invalid."""

    path: Path
    number: int
    cells: Mapping[str, Any]

    def error(self, reason: str) -> InputError:
        """An error that names this row."""
        return InputError(f"{self.path}: row {self.number}: {reason}")

    def text(self, column: str) -> str:
        """A required text, unchanged. A whole number is accepted."""
        found = self.optional(column)
        if not found:
            raise self.error(f"{column} is {'empty' if column in self.cells else 'missing'}")
        return found

    def optional(self, column: str) -> str:
        """A text, unchanged, or the empty text if there is none."""
        value = self.cells.get(column)
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self._storable(column, value)

    def texts(self, column: str) -> tuple[str, ...]:
        """A required list of texts."""
        value = self.cells.get(column)
        if not isinstance(value, list) or not value:
            raise self.error(f"{column} is not a list of texts")
        return tuple(self._storable(column, item) for item in value)

    def one_of(self, column: str, known: Iterable[str]) -> str:
        """A required text that is one of `known`; a string is its characters."""
        found, allowed = self.text(column), list(known)
        if found not in allowed:
            raise self.error(f"{column} {found!r} is not one of {', '.join(allowed)}")
        return found

    def lettered(self, column: str, choices: Sequence[str]) -> str:
        """The letter of a correct choice that is given by its number from 0."""
        return LETTERS[int(self.one_of(column, [str(index) for index in range(min(len(choices), len(LETTERS)))]))]

    def image(self, column: str) -> bytes | None:
        """An encoded picture as `read_picture` reads it, beside this file; None if the cell is empty."""
        value = self.cells.get(column)
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if value is None or value == b"":
            return None
        try:
            return read_picture(value, self.path.parent)
        except ValueError as error:
            raise self.error(f"{column}: {error}") from error

    def _storable(self, column: str, value: object) -> str:
        """A text without NUL and lone surrogates, which databases refuse."""
        if not isinstance(value, str):
            raise self.error(f"{column} is not text")
        if "\0" in value or (not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)):
            raise self.error(f"{column} has a character that cannot be stored")
        return value


def records(path: Path) -> Iterator[Record]:
    """The rows of one file. Raises InputError if it cannot be read, MissingError without pyarrow.

    JSON is a list of objects, an object with such a list under "examples", or objects by id (the id becomes their
    cell "id").
    """
    readers = {".json": _json, ".jsonl": _jsonl, ".parquet": _parquet}
    if path.suffix not in readers:
        raise InputError(f"{path}: the file of a benchmark must be one of {', '.join(_SUFFIXES)}")
    try:
        for number, cells in enumerate(readers[path.suffix](path), start=1):
            if not isinstance(cells, dict):
                raise InputError(f"{path}: row {number}: not an object")
            yield Record(path, number, cells)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]  # pyarrow raises it for damaged metadata
        raise InputError(f"{path}: cannot be read: {reason}") from error


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _json(path: Path) -> Iterator[Any]:
    document = _parsed(read_text(path), str(path))
    if isinstance(document, dict):
        if isinstance(document.get("examples"), list):
            document = document["examples"]
        elif document and all(isinstance(value, dict) for value in document.values()):
            document = [{"id": key, **value} for key, value in document.items()]
    if not isinstance(document, list):
        raise InputError(f"{path}: neither a list of objects nor objects by id")
    yield from document


def _jsonl(path: Path) -> Iterator[Any]:
    # Not splitlines(), which also splits at U+2028, a character that JSON allows inside a text.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield _parsed(line, f"{path}: line {number}")


def _parsed(text: str, where: str) -> Any:
    try:
        return parsed(text)
    except RepeatedNameError as error:
        raise InputError(f"{where}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from error


def _parquet(path: Path) -> Iterator[Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingError(f"{path}: Parquet needs pyarrow: pip install 'benchcoe-jobs[tables]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_ROWS:
                raise InputError(f"{path}: it has {file.metadata.num_rows:,} rows; {MAX_ROWS:,} are allowed")
            schema = file.schema_arrow
            readable = [place for place, field in enumerate(schema) if _is_readable(pa.types, field.type)]
            for batch in file.iter_batches(batch_size=PARQUET_BATCH):
                yield from batch.select(readable).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: not valid Parquet: {str(error).partition(chr(10))[0]}") from error


def _is_readable(types: Any, kind: Any) -> bool:
    """Whether a benchmark may have such a column. Others are left out: not every value of them is a Python object."""
    if types.is_struct(kind):
        return all(_is_readable(types, kind.field(place).type) for place in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_readable(types, kind.value_type)
    if types.is_dictionary(kind):
        return _is_readable(types, kind.value_type)
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_integer,
        types.is_float32,
        types.is_float64,
        types.is_boolean,
        types.is_null,
    )
    return any(test(kind) for test in tests)


def _named(path: Path, names: Mapping[str, Split]) -> Split | None:
    words = _words(Path(path.name))
    return next((split for name, split in names.items() if name in words), None)


def _words(path: Path) -> set[str]:
    return set(re.split(r"[-_./\\]", str(path.with_suffix("")).lower()))


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)
