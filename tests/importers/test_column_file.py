"""CSV in columns: parts end with a row, and no thread of pyarrow reads from the file."""

from __future__ import annotations

import csv
import io
import threading
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from benchcoe_jobs.importers import column_file
from benchcoe_jobs.importers.base import NotPlainError
from benchcoe_jobs.importers.reading.header import Header

CELLS = st.text(st.sampled_from('ab",\n'), max_size=5)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=12), st.integers(1, 40), st.booleans())
@settings(max_examples=examples(200))
def test_parts_end_with_a_row(rows: list[list[str]], block: int, ends_with_a_line: bool) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = text.getvalue().encode()
    content = content if ends_with_a_line else content.removesuffix(b"\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(column_file, "_BLOCK", block)
        parts = list(column_file._PlainText(io.BytesIO(content), ",").whole_rows())
    assert b"".join(parts) == content
    read = [row for part in parts for row in csv.reader(io.StringIO(part.decode(), newline=""), strict=True)]
    assert read == list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))


def test_the_thread_of_the_caller_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of pyarrow that waits for Python when Python ends keeps the process from ending."""
    pytest.importorskip("pyarrow")
    readers: set[int] = set()
    original = io.BufferedReader.read

    class Noted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            readers.add(threading.get_ident())
            return original(self, size)

    path = tmp_path / "rows.csv"
    path.write_text("key,subject,score\n" + "q,law,1\n" * 100 + 'q,la"w,1\n' + "q,law,1\n" * 100)
    monkeypatch.setattr(column_file, "_BLOCK", 64)
    with Noted(io.FileIO(path)) as stream, pytest.raises(NotPlainError):
        column_file._csv(stream, Header(path, ["key", "subject", "score"], []), ",")
    assert readers == {threading.get_ident()}
