"""Damaged and hostile files: every importer yields rows or raises InputError, and nothing else."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from benchcoe_jobs.domain import Note, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.published import mmlu_pro
from benchcoe_jobs.importers.reported import ReportedScore, read_reported
from benchcoe_jobs.importers.table import read_queries, read_results

ROWS = [
    {"key": "1", "text": "Which?", "subject": "law", "score": 1.0, "choices": ["a", "b"], "split": "test", "cost": 0.5},
    {"key": "2", "text": "Why?", "subject": "law", "score": 0.0, "choices": [], "split": None, "cost": None},
]
RECORD = {
    "question_id": 1,
    "question": "Which?",
    "options": ["a", "b"],
    "answer": "A",
    "category": "law",
    "model_outputs": "The answer is (A).",
}


def csv() -> bytes:
    lines = [f'{row["key"]},"{row["text"]}",{row["subject"]},{row["score"]},"[""a""]",,' for row in ROWS]
    return ("key,text,subject,score,choices,split,cost\n" + "\n".join(lines)).encode()


def columns() -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


def workbook() -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for cells in (list(ROWS[0]), *([json.dumps(cell) for cell in row.values()] for row in ROWS)):
        book.active.append(cells)
    book.save(buffer)
    return buffer.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return buffer.getvalue()


JSONL = "\n".join(map(json.dumps, ROWS)).encode()
SEEDS = {
    "rows.csv": csv(),
    "rows.tsv": csv().replace(b",", b"\t"),
    "rows.jsonl": JSONL,
    "rows.parquet": columns(),
    "rows.csv.gz": gzip.compress(csv(), mtime=0),
    "rows.zip": zipped("rows.jsonl", JSONL),
    "rows.json": json.dumps([RECORD, RECORD]).encode(),
    "table.json": json.dumps(ROWS).encode(),
    "rows.xlsx": workbook(),
}
SNIPPETS = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"nan",
    b"1e999",
    b"9" * 50,
    b'"',
    b"[" * 300,
    b"{}",
    b",",
    b"\n",
    b"True",
    b"\xef\xbb\xbf",
]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Some pieces of a file replaced, removed, repeated or cut off."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 12))
        content = content[:start] + draw(st.sampled_from(SNIPPETS) | st.binary(max_size=6)) + content[end:]
    return content if draw(st.booleans()) else content[: draw(st.integers(0, len(content)))]


def readers(path: Path) -> Iterator[Callable[[], Iterator[Any]]]:
    yield lambda: read_results(path, "exam")
    yield lambda: read_reported(path, "exam")
    yield lambda: read_queries(path, "exam")
    yield lambda: mmlu_pro.read(path)


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(SEEDS[name])))
    for read in readers(path):
        for row in one_line_errors(read):
            assert isinstance(row, Result | ReportedScore | SkippedRow | Note | tuple)


def one_line_errors(read: Callable[[], Iterator[Any]]) -> list[Any]:
    """The rows of a file, or none if it is refused with a message of one line."""
    try:
        return list(read())
    except InputError as refusal:
        message = str(refusal)
    assert "\n" not in message
    return []


CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries(dict.fromkeys(ROWS[0], CELLS)), min_size=1, max_size=3))
def test_any_cell_is_a_row_a_skipped_row_or_an_error(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8", errors="surrogatepass")
    for read in (read_results, read_queries):
        found = one_line_errors(lambda read=read: read(path, "exam"))  # type: ignore[misc]
        assert sum(not isinstance(row, Note) for row in found) in (0, len(rows))
