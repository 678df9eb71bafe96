"""Cells of CSV that must be neither a formula nor a control sequence, written so that they are read back exactly.

A spreadsheet runs a cell that begins with = as a formula, and a terminal obeys control characters. An export writes
such a cell as a JSON string, in quotes and with escapes. The column `benchcoe_escaped` of the row names its column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from benchcoe_jobs.characters import UNSAFE, json_safe
from benchcoe_jobs.importers.reading.columns import RowError, quoted

ESCAPED = "benchcoe_escaped"
"""The column with the names of the escaped columns of its row, separated by blanks."""

# Also the full-width forms, which spreadsheets take for the same signs.
_SIGN = r"[=+\-@\t\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(rf"\s*{_SIGN}")
# The blanks of one line: those of several would be read again from each blank line on.
_SUSPECT = re.compile(rf"^[^\S\n]*{_SIGN}|{UNSAFE.pattern}", re.MULTILINE)


def escape_cells(row: dict[str, str]) -> dict[str, str]:
    """The row with its dangerous cells as JSON strings, and with the column `benchcoe_escaped`."""
    names: list[str] = []
    if _SUSPECT.search("\n".join(row.values())):  # one search for a row is faster than two for each cell
        names = [name for name, cell in row.items() if _FORMULA.match(cell) or UNSAFE.search(cell)]
    return (
        row
        | {name: json_safe(json.dumps(row[name], ensure_ascii=False)) for name in names}
        | {ESCAPED: " ".join(names)}
    )


def unescape_cells(header: Sequence[str], cells: Sequence[str]) -> list[str]:
    """The cells of a row as they were before `escape_cells`. The header has the column `benchcoe_escaped`.

    Raises RowError if a cell that the column names is not a JSON string.
    """
    found = list(cells)
    for name in cells[header.index(ESCAPED)].split():
        value = None
        if name in header:
            try:
                value = json.loads(cells[header.index(name)])
            except (ValueError, RecursionError):
                value = None
        if not isinstance(value, str):
            raise RowError(f"column {ESCAPED} names {quoted(name)}, whose cell is not a JSON string")
        found[header.index(name)] = value
    return found
