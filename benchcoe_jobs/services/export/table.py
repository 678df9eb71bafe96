"""Tables of scores, labels, decisions and queries, as CSV, JSON Lines or Parquet, which imports read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from benchcoe_jobs.characters import json_safe
from benchcoe_jobs.errors import MissingError, UsageError
from benchcoe_jobs.importers.reading.escaped_cells import ESCAPED, escape_cells
from benchcoe_jobs.services.export import table_rows
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.selection import select
from benchcoe_jobs.services.export.table_rows import Contents, Row
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

ROWS_AT_ONCE = 10_000
"""Rows of a row group of Parquet."""


class _Table:
    options = frozenset({"what", "policy"})

    def is_folder(self, request: ExportRequest) -> bool:
        """See `Exporter.is_folder`."""
        return False

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`. The suffix of the file is the form; standard output gets CSV."""
        if output.suffix not in _WRITERS:
            known = ", ".join(name for name in _WRITERS if name)
            raise UsageError(f"a table is one of {known}: --out ends with {output.suffix!r}")
        what = request.options.get("what") or "scores"
        if request.policy is not None and what != "subject-labels":
            raise UsageError(f"--policy is for subject labels, not for {what}: leave it out")
        with store.reading() as connection:
            selection = select(connection, request)
            contents = table_rows.CONTENTS[what](connection, selection)
            rows = iter(contents.rows)
            first = next(rows, None)
            if first is None:
                raise UsageError(contents.none)
            n = _WRITERS[output.suffix](output, contents, chain([first], rows))
        return Exported(f"{counted(n, 'row')} of {contents.title}", {"what": what, "rows": n}, tuple(contents.notes))


TABLE = _Table()


def _write_csv(output: Output, contents: Contents, rows: Iterable[Row]) -> int:
    n = 0
    with output.create() as file, _text(file) as text:
        writer = csv.DictWriter(text, [*contents.columns, ESCAPED], lineterminator="\n")
        writer.writeheader()
        for n, row in enumerate(rows, 1):  # noqa: B007
            writer.writerow(escape_cells({name: _cell(row.get(name)) for name in contents.columns}))
    return n


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return json_safe(json.dumps(value, ensure_ascii=False)) if value else ""
    return value if isinstance(value, str) else repr(value)


def _write_jsonl(output: Output, contents: Contents, rows: Iterable[Row]) -> int:
    n = 0
    with output.create() as file:
        for n, row in enumerate(rows, 1):  # noqa: B007
            said = {name: value for name in contents.columns if (value := row.get(name)) not in (None, [])}
            file.write(json_safe(json.dumps(said, ensure_ascii=False)).encode() + b"\n")
    return n


def _write_parquet(output: Output, contents: Contents, rows: Iterable[Row]) -> int:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingError("Parquet needs pyarrow: pip install 'benchcoe-jobs[hub]'") from error
    types = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_(), list: pa.list_(pa.string())}
    schema = pa.schema([(name, types[kind]) for name, kind in contents.columns.items()])
    n = 0
    rows = iter(rows)
    with output.create() as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while part := list(islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(part, schema))
            n += len(part)
    return n


_WRITERS: Mapping[str, Callable[[Output, Contents, Iterable[Row]], int]] = {
    "": _write_csv,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}


def _text(file: IO[bytes]) -> AbstractContextManager[IO[str]]:
    return _Text(file)


class _Text:
    """A UTF-8 text stream that leaves the stream under it open."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="")

    def __enter__(self) -> IO[str]:
        return self._text

    def __exit__(self, *_: object) -> None:
        self._text.flush()
        self._text.detach()
