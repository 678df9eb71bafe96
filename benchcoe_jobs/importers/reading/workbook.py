"""Rows of an Excel workbook (.xlsx), as pandas and spreadsheets write it."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers.reading.archive import DamagedError, open_file, require_safe_zip
from benchcoe_jobs.importers.reading.columns import Row
from benchcoe_jobs.importers.reading.header import Check

Made = TypeVar("Made")

SUFFIXES = (".xlsx", ".xlsm")
MAX_ROWS = 2**20
MAX_COLUMNS = 2**14
"""The limits of Excel. A damaged or hostile file can have a cell far outside of them."""

_AT_ONCE = 1_000


def column_names(path: Path) -> list[str]:
    """The header of the only sheet that has rows. Raises as `read_workbook` does."""
    with _opened(path) as filled:
        return filled[0][2] if filled else []


def read_workbook(path: Path, check: Check) -> Iterator[tuple[int, Row] | SkippedRow]:
    """The rows of the only sheet that has some, with their numbers in the sheet; the first is the header.

    Of a formula, the value is read that the spreadsheet stored with it. A row is shown to have no value for a cell that
    is empty. Raises InputError if it is not a workbook, if it exceeds the limits of archives, or if several sheets have
    rows; MissingError without openpyxl.
    """
    with _opened(path) as filled:
        for sheet, line, header in filled:
            yield from _sheet(path, sheet, line, header, check)


@contextmanager
def _opened(path: Path) -> Iterator[list[tuple[Any, int, list[str]]]]:
    """The only sheet with rows, with the number and the cells of its header; empty if there is none."""
    try:
        import openpyxl
    except ImportError as error:
        raise MissingError(f"{path}: a workbook needs openpyxl: pip install 'benchcoe-jobs[tables]'") from error
    require_safe_zip(path)
    with open_file(path) as file:
        workbook = _guarded(path, lambda: openpyxl.load_workbook(file, read_only=True, data_only=True))
        filled = [(sheet, *head) for sheet in workbook.worksheets if (head := _header(path, sheet))]
        if len(filled) > 1:
            names = ", ".join(repr(sheet.title) for sheet, *_ in filled)
            raise InputError(f"{path}: {len(filled)} of its sheets have rows ({names}): save the right one as a file")
        yield filled


def _header(path: Path, sheet: Any) -> tuple[int, list[str]] | None:
    """The number and the cells of the first row that is not empty."""
    rows = _rows(path, sheet, MAX_COLUMNS)
    for line, cells in rows:
        if any(cell is not None for cell in cells):
            while cells[-1] is None:
                cells = cells[:-1]
            return line, ["" if cell is None else str(cell).strip() for cell in cells]
    return None


def _sheet(
    path: Path, sheet: Any, first: int, header: list[str], check: Check
) -> Iterator[tuple[int, Row] | SkippedRow]:
    wanted = check(header)
    places = [(place, wanted[name]) for place, name in enumerate(header) if name in wanted]
    for line, cells in _rows(path, sheet, min(len(header) + 1, MAX_COLUMNS)):
        if line <= first or all(cell is None for cell in cells):
            continue
        if any(cell is not None for cell in cells[len(header) :]):
            yield SkippedRow(line, f"more fields than the {len(header)} of the header")
        else:
            yield line, {name: cells[place] for place, name in places}


def _rows(path: Path, sheet: Any, width: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    rows = enumerate(sheet.iter_rows(max_row=MAX_ROWS, max_col=width, values_only=True), 1)
    while part := _guarded(path, lambda: list(itertools.islice(rows, _AT_ONCE))):
        yield from part


def _guarded(path: Path, read: Callable[[], Made]) -> Made:
    """Raise DamagedError for what openpyxl raises for a damaged file, which may be of any type; hide its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DamagedError(f"{path}: not a valid workbook: {reason[:200]}") from error
