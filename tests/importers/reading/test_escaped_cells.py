"""Cells that a spreadsheet would run are written as JSON strings."""

from __future__ import annotations

from itertools import product

from benchcoe_jobs.importers.reading.escaped_cells import escape_cells


def test_a_cell_is_escaped_if_a_sign_follows_its_blanks() -> None:
    for length in range(1, 6):
        for cell in map("".join, product("= \n\tx", repeat=length)):
            is_formula = "\t" in cell[: len(cell) - len(cell.lstrip())] or cell.lstrip()[:1] == "="
            assert escape_cells({"a": "x", "b": cell})["benchcoe_escaped"] == ("b" if is_formula else ""), repr(cell)


def test_many_blank_lines_take_linear_time() -> None:
    """To look for a sign after each of these line ends, past all that follow, would take hours."""
    cell = "\n".join(["x", *[""] * 1_000_000, "x"])
    assert escape_cells({"a": cell}) == {"a": cell, "benchcoe_escaped": ""}
