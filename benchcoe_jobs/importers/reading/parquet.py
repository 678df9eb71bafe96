"""Rows of Parquet: one file, or a folder of files as Spark, Dask and pandas (partition_cols) write them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers.reading.archive import MAX_BYTES, DamagedError, open_data, parquet_files
from benchcoe_jobs.importers.reading.columns import Row
from benchcoe_jobs.importers.reading.header import Check

BATCH = 4_096
"""Rows in memory at the same time."""

_BATCH_WITH_PICTURES = 64

MAX_ROWS = 50_000_000
"""A few kilobytes of Parquet can declare billions of equal rows."""

MAX_BATCH_BYTES = 2**30
"""Largest decoded batch: a long value that is stored once can occur in every row."""

_PICTURES = "images"
"""The column that may have bytes."""

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def read_parquet(path: Path, stream: IO[bytes], check: Check) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers from 1.

    Raises InputError if it is not valid Parquet, if it exceeds MAX_ROWS or declares more than MAX_BYTES, or if a
    column has a type that a table does not have, such as a time; MissingError without pyarrow.
    """
    yield from _rows(path, _seekable(path, stream), check, {}, 0)


def read_folder(path: Path, check: Check) -> Iterator[tuple[int, Row]]:
    """The rows of all Parquet files under a folder in the order of their names, numbered from 1 across files.

    A folder in it that is called NAME=VALUE adds this column to its rows. Hidden files, and files whose names begin
    with an underscore, are passed over. Raises as `read_parquet` and `parquet_files` do.
    """
    last = 0
    for file in parquet_files(path):
        with open_data(file) as (_, stream):
            for number, row in _rows(file, stream, check, _partition(file.relative_to(path)), last):
                yield number, row
                last = number


def column_names(path: Path) -> list[str]:
    """The names of the columns of a file. Raises as `read_parquet` does."""
    pa, parquet = _pyarrow(path)
    with open_data(path) as (_, stream):
        try:
            return list(parquet.ParquetFile(_seekable(path, stream)).schema_arrow.names)
        except (pa.ArrowException, ValueError, OSError) as error:
            raise DamagedError(f"{path}: not valid Parquet: {str(error).partition(chr(10))[0]}") from error


def _partition(file: Path) -> dict[str, str | None]:
    """The columns in the path of a file: subject=law/part-0.parquet."""
    pairs = (part.partition("=") for part in file.parts[:-1])
    return {
        unquote(name): None if value == _NULL_PARTITION else unquote(value) for name, equals, value in pairs if equals
    }


def _seekable(path: Path, stream: IO[bytes]) -> IO[bytes]:
    # A plain file is read in parts. A member of an archive is read into memory, because the reader seeks in the file,
    # and seeking back in an archive decompresses it again.
    if isinstance(stream, io.BufferedReader) and stream.raw.seekable():
        return stream
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes")
    return io.BytesIO(content)


def _rows(
    path: Path, source: IO[bytes], check: Check, partition: Mapping[str, str | None], number: int
) -> Iterator[tuple[int, Row]]:
    pa, parquet = _pyarrow(path)
    before = number
    try:
        file = parquet.ParquetFile(source)
        names = file.schema_arrow.names
        wanted = check([*names, *partition])
        of_folder = {wanted[name]: value for name, value in partition.items() if name in wanted}
        require_small(path, file.metadata)
        size = _BATCH_WITH_PICTURES if _PICTURES in wanted.values() else BATCH
        for batch in file.iter_batches(batch_size=size, columns=[name for name in names if name in wanted]):
            if batch.nbytes > MAX_BATCH_BYTES:
                raise InputError(f"{path}: {size:,} of its rows take more than {MAX_BATCH_BYTES:,} bytes")
            columns = {
                wanted[field.name]: _values(pa, path, field.name, column, wanted[field.name] == _PICTURES)
                for field, column in zip(batch.schema, batch.columns, strict=True)
                if field.name in wanted
            }
            for cells in zip(*columns.values(), strict=True):
                number += 1
                yield number, dict(zip(columns, cells, strict=True), **of_folder)
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DamagedError(f"{path}: not valid Parquet, after row {number - before}: {reason}") from error


def _pyarrow(path: Path) -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingError(f"{path}: Parquet needs pyarrow: pip install 'benchcoe-jobs[tables]'") from error
    return pa, parquet


def require_small(path: Path, metadata: Any) -> None:
    if metadata.num_rows > MAX_ROWS:
        raise InputError(f"{path}: it has {metadata.num_rows:,} rows; {MAX_ROWS:,} are allowed")
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if size > MAX_BYTES:
        raise InputError(f"{path}: it has more than {MAX_BYTES:,} bytes without compression; divide it")


def _values(pa: Any, path: Path, name: str, column: Any, has_pictures: bool) -> list[Any]:
    """The values of a column as Python objects; pictures are bytes, texts, or structs with both, and lists of them.

    Raises InputError for a type whose values are not text, numbers, truth values or lists of texts: not every value
    of such a type can be a Python object (a time in the year 300,000).
    """
    types = pa.types
    kind = column.type
    if types.is_dictionary(kind):  # also faster: each text is converted once
        values = _values(pa, path, name, column.dictionary, has_pictures)
        return [None if index is None else values[index] for index in column.indices.to_pylist()]
    if types.is_float16(kind):
        column = column.cast(pa.float32())
    elif not any(
        _is_cell(types, one) or (has_pictures and _is_picture(types, one))
        for one in (kind, kind.value_type if _is_list(types, kind) else kind)
    ):
        raise InputError(
            f"{path}: column {name!r} is of type {str(kind)[:60]}; a table has text, numbers, true or false, and lists "
            "of texts"
        )
    found: list[Any] = column.to_pylist()
    return found


def _is_cell(types: Any, kind: Any) -> bool:
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_decimal,
        types.is_null,
    )
    return any(test(kind) for test in tests)


def _is_picture(types: Any, kind: Any) -> bool:
    fields = [kind.field(place) for place in range(kind.num_fields)] if types.is_struct(kind) else []
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or (fields and all(_is_cell(types, field.type) or _is_picture(types, field.type) for field in fields))
    )


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
