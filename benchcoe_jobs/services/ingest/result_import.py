"""Import published results: queries, responses and scores, in one transaction per file.

An importer reads each row, a Matcher finds its query, the benchmark's scorer scores a response without a score, and
rows are written in bulk. The aggregates behind the label views are refreshed before the commit. A plain table is
imported in columns, with the same result.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import ColumnImporter, Importer, NotPlainError, ReadOptions
from benchcoe_jobs.importers.source import Source
from benchcoe_jobs.services.ingest.file_import import Choices, FileImport
from benchcoe_jobs.services.ingest.import_summary import Earlier, ImportSummary
from benchcoe_jobs.store.session import Store

ROWS_AT_ONCE = 20_000
DEFAULTS = ReadOptions()


def import_results(
    store: Store,
    expert: str,
    path: Path,
    *,
    form: str,
    options: ReadOptions = DEFAULTS,
    replace: bool = False,
    new_subjects: bool = False,
    new_queries: bool = False,
    create_experts: bool = False,
    earlier: Earlier | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> ImportSummary:
    """Import one result file or folder of `expert` ("all": of every expert that it names), which has the format `form`.

    Rows that cannot be used are skipped and listed. So is a row for whose query the expert has a score from another
    file, unless `replace` is set, and a row that seems to copy a stored query under another key, unless `new_queries`
    is set. Importing the same file again changes nothing. `earlier` is shared by the files of a command: they may add
    subjects to the benchmarks that they bring, and must agree on the name of the expert's model. `progress` is called
    with the number of rows of each part.

    Raises InputError if no row can be used, if no key of a file without texts is known to the benchmark, if a score is
    not on its scale, and if a mean differs from the one that the file states; the store is then unchanged. Raises
    UsageError for an option that the format does not have.
    """
    source = Source(path)
    importer: Importer = registry.load("importers", form)
    choices = Choices(replace, new_subjects, new_queries, create_experts)
    earlier = earlier or Earlier()
    with _no_garbage_collection(), store.writing() as connection:
        provenance = {"format": form, "sha256": source.digest(), **options.choices()}
        start = partial(FileImport, connection, source, form, expert, provenance, choices, earlier)
        table = importer.columns(source, options) if isinstance(importer, ColumnImporter) else None
        if table is not None:
            from benchcoe_jobs.services.ingest.column_import import take_columns

            # The row path says what is wrong with a file, and with which rows.
            with suppress(NotPlainError, InputError), connection.begin_nested():
                in_columns = start()
                take_columns(in_columns, table)
                progress(table.n)
                summary = in_columns.finish()
                in_columns.remember()
                return summary
        row_by_row = start()
        items = importer.read(source, options)
        while part := list(islice(items, ROWS_AT_ONCE)):
            row_by_row.take_part(part)
            progress(sum(isinstance(item, Result | SkippedRow) for item in part))
        summary = row_by_row.finish()
        row_by_row.remember()
        return summary


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Turn off the garbage collector: rows have no reference cycles, and its search took a seventh of an import."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
