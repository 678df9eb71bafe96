"""Workbooks: what pandas and spreadsheets write, and damaged or hostile ones."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading import archive
from benchcoe_jobs.importers.reading.rows import read_rows
from benchcoe_jobs.importers.table import read_results


def written(path: Path, *rows: list[Any], others: dict[str, list[list[Any]]] | None = None) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, cells in (others or {}).items():
        sheet = book.create_sheet(name)
        for row in cells:
            sheet.append(row)
    book.save(path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        list(read_rows(path, ("key",), [("key",)]))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_rows_of_results(tmp_path: Path) -> None:
    path = written(
        tmp_path / "rows.xlsx",
        [],
        [None, "key", "subject ", "score", "when"],
        [0, 1, "law", True, datetime(2026, 11, 28)],
        [],
        [1, "q2", "law", 0.25, None],
        [2, "q3", "law", 0.5, None, "beyond"],
        others={"Sheet2": []},
    )
    assert list(read_results(path, "exam")) == [
        Result(3, "exam", Query("1", "law", ""), score=1.0),
        Result(5, "exam", Query("q2", "law", ""), score=0.25),
        SkippedRow(6, "more fields than the 5 of the header"),
        Note("column '' is passed over: pandas wrote the index of its rows there"),
        Note("column 'when' is ignored"),
    ]


def test_several_sheets(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.xlsx", ["key"], ["1"], others={"more": [["key"], ["2"]]})
    assert refusal(path) == "2 of its sheets have rows ('Sheet', 'more'): save the right one as a file"


def test_no_rows(tmp_path: Path) -> None:
    assert refusal(written(tmp_path / "rows.xlsx")) == "it has no row"
    assert refusal(written(tmp_path / "rows.xlsx", ["key"])) == "it has no row"


def test_no_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.xlsx"
    path.write_bytes(b"key\n1\n")
    assert refusal(path) == "the zip is damaged or cut short: File is not a zip file"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
    assert refusal(path).startswith("not a valid workbook: ")
    written(path, ["key"], ["1"])
    path.write_bytes(path.read_bytes()[:-50])
    assert refusal(path).startswith("the zip is damaged")
    written(path, ["key"], ["1"])
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    assert "larger than 1,000 bytes" in refusal(path)


def with_sheet(path: Path, sheet: str) -> Path:
    """A workbook whose sheet has this XML."""
    written(path, ["key"])
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["xl/worksheets/sheet1.xml"] = sheet.encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)
CELL = '<row r="{}"><c r="{}" t="inlineStr"><is><t>{}</t></is></c></row>'


def test_cells_far_outside_take_no_memory_and_no_time(tmp_path: Path) -> None:
    head = CELL.format(1, "A1", "key")
    far_right = SHEET.format(head + CELL.format(2, "ZZZ2", "x") + CELL.format(3, "A3", "q3"))
    path = with_sheet(tmp_path / "rows.xlsx", far_right)
    assert list(read_rows(path, ("key",), [])) == [(3, {"key": "q3"})]
    far_down = SHEET.format(head + CELL.format(10**15, f"A{10**15}", "x"))
    assert refusal(with_sheet(path, far_down)) == "it has no row"


def test_entities_are_not_expanded_without_limit(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 50}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE w [<!ENTITY e0 "lol">{levels}]>' + SHEET.format(CELL.format(1, "A1", "&e9;"))
    assert refusal(with_sheet(tmp_path / "rows.xlsx", bomb)).startswith("not a valid workbook: ")
