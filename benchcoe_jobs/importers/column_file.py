"""A table read in columns by pyarrow, if nothing in it asks for more care: `rows.py` reads every other file.

What a file means is decided there. Here a file is refused with NotPlainError if it could mean anything else: a quote
within a cell, a line of another length, a byte that is not UTF-8, a type that a table does not have.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.importers.base import NotPlainError
from benchcoe_jobs.importers.reading.archive import is_folder, open_data
from benchcoe_jobs.importers.reading.escaped_cells import ESCAPED
from benchcoe_jobs.importers.reading.header import Header
from benchcoe_jobs.importers.reading.parquet import require_small
from benchcoe_jobs.importers.reading.rows import MAX_LINE

SMALL = 2**19
"""The size in bytes of a CSV file for which it is not worth while to load pyarrow: about 10,000 rows."""

MAX_ROWS = 8_000_000
MAX_BYTES = 2**28
"""The largest table that is kept in memory; the row path keeps a part of a file."""

_BLOCK = 2**22
_ROWS_AT_ONCE = 2**16
_QUOTE = ord('"')
_DELIMITERS = {".csv": ",", ".tsv": "\t"}

Places = NDArray[np.int32]


class Column(NamedTuple):
    """A column: its distinct cells, as the row path has them, and for each row the place of its cell among them."""

    cells: list[Any]
    places: Places


def read_columns(path: Path, header: Header) -> dict[str, Column]:
    """The columns that `header` wants, by their names in the store; their places have the shape (rows,).

    Raises NotPlainError for a file that must be read row by row, InputError and ImportError.
    """
    if is_folder(path):
        raise NotPlainError
    with open_data(path) as (name, stream):
        suffix = PurePosixPath(name).suffix.lower()
        is_file = isinstance(stream, io.BufferedReader) and stream.raw.seekable()
        if not (suffix in _DELIMITERS and path.stat().st_size >= SMALL) and not (suffix == ".parquet" and is_file):
            raise NotPlainError
        from pyarrow import ArrowException

        try:
            if suffix in _DELIMITERS:
                table, wanted = _csv(stream, header, _DELIMITERS[suffix])
            else:
                table, wanted = _parquet(path, stream, header)
            return {column: _column(table.column(name)) for name, column in wanted.items()}
        except (ArrowException, ValueError, OSError) as error:
            raise NotPlainError from error


def _csv(stream: IO[bytes], header: Header, delimiter: str) -> tuple[Any, Mapping[str, str]]:
    """A table whose columns are called by their places, and the names of those to read."""
    from pyarrow import csv as reader
    from pyarrow import dictionary, int32, py_buffer, string

    found = _header(stream.readline(MAX_LINE), delimiter)
    by_name = header.check([name for name in found if name != ESCAPED])
    wanted = {str(place): by_name[name] for place, name in enumerate(found) if name in by_name}
    escapes = [str(place) for place, name in enumerate(found) if name == ESCAPED]
    read = [*wanted, *escapes]
    read_options = reader.ReadOptions(use_threads=False, column_names=[str(place) for place in range(len(found))])
    parse_options = reader.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert_options = reader.ConvertOptions(
        include_columns=read,
        column_types=dict.fromkeys(read, dictionary(int32(), string())),
        strings_can_be_null=False,
    )
    # Not `open_csv`: a thread of pyarrow reads ahead from the stream, also after an error, and if Python ends in the
    # meantime, that thread waits for it for ever, and the process for that thread.
    batches = (
        batch
        for rows in _PlainText(stream, delimiter).whole_rows()
        for batch in reader.read_csv(py_buffer(rows), read_options, parse_options, convert_options).to_batches()
    )
    table = _unified(batches)
    if any(cell for name in escapes for cell in _column(table.column(name)).cells):
        raise NotPlainError
    return table, wanted


def _header(line: bytes, delimiter: str) -> list[str]:
    text = line.decode().removeprefix("\ufeff")
    try:
        rows = list(csv.reader([text], strict=True, delimiter=delimiter))
    except csv.Error as error:  # it may go on in the next line
        raise NotPlainError from error
    if not rows or not rows[0] or "\r" in text.removesuffix("\n").removesuffix("\r"):
        raise NotPlainError
    return [cell.strip() for cell in rows[0]]


class _PlainText:
    """A stream of CSV that pyarrow reads as the row path does. NotPlainError is raised if it might not.

    A quote opens a cell at its beginning, ends it at its end, or is doubled within it: a quote anywhere else is a
    character to one reader and an error to another. A carriage return ends a line, together with a line feed.
    """

    def __init__(self, stream: IO[bytes], delimiter: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._beside_quotes = np.zeros(256, bool)
        self._beside_quotes[list(b'\r\n"' + delimiter.encode())] = True
        self._n_quotes = 0
        self._last = b"\n"

    def whole_rows(self) -> Iterator[bytes]:
        """The stream in parts of about 4 MiB that end with a row."""
        kept = b""
        while part := self._read():
            end = self._end_of_rows(part)
            if end:
                yield kept + part[:end]
                kept = b""
            kept += part[end:]
            if len(kept) > MAX_LINE:
                raise NotPlainError
        if kept:
            yield kept

    def _end_of_rows(self, part: bytes) -> int:
        """Where the last row that is whole ends in the newest part; 0 if none does."""
        end, is_open = len(part), self._n_quotes % 2
        while end > 0:
            after_line = part.rfind(b"\n", 0, end) + 1
            is_open ^= part.count(b'"', after_line, end) % 2
            if not is_open:
                return after_line
            end, is_open = part.rfind(b'"', 0, after_line), 0  # the line feed is in a cell: before its opening quote
        return 0

    def _read(self) -> bytes:
        """The next bytes, checked."""
        part = self._stream.read(_BLOCK)
        self._decoder.decode(part, final=not part)
        text = self._last + (part or b"\n")
        if b"\0" in part or text.count(b"\r") - text.endswith(b"\r") != text.count(b"\r\n"):
            raise NotPlainError
        if b'"' in text:
            self._check_quotes(np.frombuffer(text, np.uint8))
        if not part and self._n_quotes % 2:
            raise NotPlainError
        self._last = text[-1:]
        return part

    def _check_quotes(self, text: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        """Check the quotes after the first byte, which belongs to the part before, and what follows that byte."""
        places = np.flatnonzero(text == _QUOTE)
        if places[0] == 0:
            if self._n_quotes % 2 == 0 and not self._beside_quotes[text[1]]:
                raise NotPlainError
            places = places[1:]
        opening, closing = places[self._n_quotes % 2 :: 2], places[1 - self._n_quotes % 2 :: 2]
        followed = closing[closing < len(text) - 1] + 1
        if not (self._beside_quotes[text[opening - 1]].all() and self._beside_quotes[text[followed]].all()):
            raise NotPlainError
        self._n_quotes += len(places)


def _parquet(path: Path, stream: IO[bytes], header: Header) -> tuple[Any, Mapping[str, str]]:
    from pyarrow import parquet, types

    file = parquet.ParquetFile(stream)
    schema, metadata = file.schema_arrow, file.metadata
    require_small(path, metadata)
    wanted = header.check(schema.names)
    kinds = {name: schema.field(name).type for name in wanted}
    kinds = {name: kind.value_type if types.is_dictionary(kind) else kind for name, kind in kinds.items()}
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_integer,
        types.is_boolean,
        types.is_float32,
        types.is_float64,
    )
    if metadata.num_rows > MAX_ROWS or not all(any(test(kind) for test in tests) for kind in kinds.values()):
        raise NotPlainError
    texts = [name for name, kind in kinds.items() if types.is_string(kind) or types.is_large_string(kind)]
    file = parquet.ParquetFile(stream, metadata=metadata, read_dictionary=texts)
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    rows = min(_ROWS_AT_ONCE, 1 + MAX_BYTES // 4 * metadata.num_rows // (size + 1))
    return _unified(file.iter_batches(batch_size=rows, columns=list(wanted), use_threads=False)), wanted


def _unified(batches: Any) -> Any:
    """One table whose columns each have one dictionary."""
    from pyarrow import Table

    kept, size, n_rows = [], 0, 0
    for batch in batches:
        size += batch.nbytes
        n_rows += batch.num_rows
        if size > MAX_BYTES or n_rows > MAX_ROWS:
            raise NotPlainError
        kept.append(batch)
    if not n_rows:
        raise NotPlainError
    return Table.from_batches(kept).unify_dictionaries().combine_chunks()


def _column(chunks: Any) -> Column:
    from pyarrow import types

    array = chunks.combine_chunks() if chunks.num_chunks != 1 else chunks.chunk(0)
    if types.is_floating(array.type) and not array.null_count:  # pyarrow would load its functions for that: 0.1 s
        numbers, numbered = np.unique(array.to_numpy(), return_inverse=True)
        return Column(numbers.tolist(), numbered.astype(np.int32))
    if not types.is_dictionary(array.type):
        array = array.dictionary_encode()
    cells: list[Any] = array.dictionary.to_pylist()
    places = array.indices
    if places.null_count:
        places = places.fill_null(len(cells))
        cells.append(None)
    return Column(cells, places.to_numpy(zero_copy_only=False).astype(np.int32, copy=False))
