"""JSON in which a name occurs twice in one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.benchmarks.files import records
from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading.columns import RowError
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.reading.json_rows import json_rows
from benchcoe_jobs.importers.reading.rows import every_row
from benchcoe_jobs.importers.row_pictures import row_pictures

TWICE = '{"key": 1, "score": 0, "score": 1}'
REASON = "the name 'score' occurs twice in one object"


def test_it_is_not_decided_which_of_two_members_is_right(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"key": 0, "score": 1}}\n{TWICE}\n')
    for rows in (every_row(path), json_rows(path)):
        assert list(rows) == [(1, {"key": 0, "score": 1}), SkippedRow(2, REASON)]
    path.write_text(f"[{TWICE}]")
    with pytest.raises(InputError, match=REASON):
        read_document(path)
    with pytest.raises(InputError, match=rf"x\.json: {REASON}"):
        list(records(path.rename(tmp_path / "x.json")))
    (tmp_path / "y.jsonl").write_text(f"{{}}\n{TWICE}\n")
    with pytest.raises(InputError, match=rf"y\.jsonl: line 2: {REASON}"):
        list(records(tmp_path / "y.jsonl"))
    with pytest.raises(RowError, match=f"images: {REASON}"):
        row_pictures({"images": f"[{TWICE}]"}, tmp_path)
