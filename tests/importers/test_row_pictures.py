"""The column `images` of a table of queries, in every format of tables."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchcoe_jobs.domain import Query, SkippedRow
from benchcoe_jobs.importers.table import read_queries

PNG, JPEG = b"\x89PNG\r\n\x1a\n one", b"\xff\xd8\xff two"
URI = f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "[b].jpg").write_bytes(JPEG)
    return tmp_path


def pictures(path: Path) -> list[tuple[bytes, ...]]:
    rows = list(read_queries(path, "toy"))
    assert all(isinstance(row, tuple) for row in rows), rows
    return [query.images for _, query in rows if isinstance(query, Query)]


def test_a_csv_file_has_paths_and_lists(folder: Path) -> None:
    path = folder / "queries.csv"
    path.write_text(
        "text,subject,images\none?,maps,a.png\ntwo?,maps,\nthree?,maps,[b].jpg\n"
        'four?,maps,"[""a.png"", ""[b].jpg""]"\nfive?,maps,"[\'a.png\']"\n'
    )
    assert pictures(path) == [(PNG,), (), (JPEG,), (PNG, JPEG), (PNG,)]


def test_json_lines_have_paths_and_data_uris_in_order(folder: Path) -> None:
    path = folder / "queries.jsonl"
    rows = [{"text": "one?", "subject": "maps", "images": ["a.png", URI]}, {"text": "two?", "subject": "maps"}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert pictures(path) == [(PNG, JPEG), ()]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([PNG, None], [(PNG,), ()]),
        ([[PNG, JPEG], []], [(PNG, JPEG), ()]),
        ([{"bytes": PNG, "path": None}, {"bytes": None, "path": "[b].jpg"}], [(PNG,), (JPEG,)]),
        ([[{"bytes": PNG, "path": "x"}], None], [(PNG,), ()]),
        ([["a.png"], [URI, "a.png"]], [(PNG,), (JPEG, PNG)]),
    ],
)
def test_parquet_may_have_bytes(folder: Path, cells: list[object], expected: list[tuple[bytes, ...]]) -> None:
    table = pa.table({"text": ["one?", "two?"], "subject": ["maps", "maps"], "images": cells})
    parquet.write_table(table, folder / "queries.parquet")
    assert pictures(folder / "queries.parquet") == expected


def test_a_picture_that_cannot_be_read_skips_its_row(folder: Path) -> None:
    path = folder / "queries.csv"
    path.write_text('text,subject,images\none?,maps,"[""a.png"", ""none.png""]"\ntwo?,maps,https://example.org/a.png\n')
    first, second = read_queries(path, "toy")
    assert isinstance(first, SkippedRow)
    assert isinstance(second, SkippedRow)
    assert first.line == 2
    assert first.reason.startswith("images: picture 2: ")
    assert "No such file" in first.reason
    assert (second.line, "is a URL" in second.reason) == (3, True)
