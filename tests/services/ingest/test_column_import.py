"""A table that is imported in columns gives the same store, the same summary and the same errors as row by row."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_content import Content, content, differences
from tables import add_experts

from benchcoe_jobs.domain import Scale
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.importers import column_file
from benchcoe_jobs.importers.base import ReadOptions, ScoreColumns
from benchcoe_jobs.importers.table import TableImporter
from benchcoe_jobs.services.ingest import column_import
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.session import Store, connect

Rows = list[list[str]]

HEADER = ["benchmark", "key", "subject", "expert", "score"]
ODD = st.sampled_from(
    [
        "",
        " ",
        "1.0",
        " q1",
        "q1 ",
        "1",
        "001",
        "nan",
        "2",
        "true",
        "50%",
        'a"b',
        "a\nb",
        "ä",
        "\ufeff",
        "\0",
        "-1",
        "-1e-5",
        "1.00001",
        "x,y",
    ]
)
"""Cells that the row path skips, refuses, or reads in a way of its own."""


@contextmanager
def row_by_row() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TableImporter, "columns", lambda self, source, options: None)
        yield


@contextmanager
def in_columns(taken: list[bool]) -> Iterator[None]:
    """Columns for files of any size; `taken` gets whether each import read some."""
    original = TableImporter.columns

    def columns(self: TableImporter, *words: Any) -> ScoreColumns | None:
        found = original(self, *words)
        taken.append(found is not None)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(column_file, "SMALL", 0)
        patched.setattr(TableImporter, "columns", columns)
        yield


def imported(store: Store, files: list[Path], options: list[dict[str, Any]]) -> tuple[list[Any], Content]:
    """What the imports of some files say, and the content of the store after them."""
    add_experts(store, a=1.0, b=None)
    said: list[Any] = []
    for file, chosen in zip(files, options, strict=True):
        try:
            said.append(import_results(store, "all", file, form="table", **chosen).as_json())
        except BenchcoeError as error:
            said.append(str(error))
    return said, content(store)


def compare(template: Path, folder: Path, files: list[Path], options: list[dict[str, Any]]) -> list[bool]:
    taken: list[bool] = []
    results = []
    for name, way in (("rows", row_by_row()), ("columns", in_columns(taken))):
        path = folder / f"{name}.db"
        for old in folder.glob(f"{name}.db*"):
            old.unlink()
        shutil.copy(template, path)
        store = connect(f"sqlite:///{path}")
        with way:
            said, found = imported(store, files, options)
        # An earlier row holds ids; those of runs depend on the order in which the experts of a file are written.
        found["earlier_row"] = Counter(re.sub(r'"run_id": \d+', "", row) for row in found["earlier_row"].elements())
        results.append((said, found))
        store.close()
    (said, expected), (said_here, found) = results
    assert said_here == said
    assert not differences(found, expected)
    return taken


def written(path: Path, header: list[str], rows: Rows, **form: Any) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, **form)
    writer.writerows([header, *rows])
    path.write_bytes(text.getvalue().encode())
    return path


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], Rows]:
    """A table of few queries and experts, of which some cells may be odd."""
    header = [*HEADER, *draw(st.lists(st.sampled_from(["text", "answer", "split", "Unnamed: 0", "note"]), unique=True))]
    subjects = {key: draw(st.sampled_from(["law", "maths"])) for key in ["q1", "q2", "q3", "17", "18"]}
    cells = {"text": "what?", "answer": "", "split": "test", "Unnamed: 0": "7", "note": "-"}
    rows = []
    for key in draw(st.lists(st.sampled_from(sorted(subjects)), min_size=1, max_size=5, unique=True)):
        for expert in draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True)):
            score = draw(st.sampled_from(["0", "1", "1.0", "0.5", "0.25", "-1e-300", "1e-320", "1.0000005"]))
            text = f"{cells['text']} {key}" if draw(st.booleans()) else cells["text"]
            further = [{**cells, "text": text}[name] for name in header[5:]]
            rows.append(["bench", key, subjects[key], expert, score, *further])
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        draw(st.sampled_from(rows))[draw(st.integers(0, len(header) - 1))] = draw(ODD)
    return header, rows


@settings(
    max_examples=examples(5),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_both_paths_agree(sqlite_template: Path, tmp_path: Path, data: st.DataObject) -> None:
    files, options = [], []
    for number in range(2):
        header, rows = data.draw(tables())
        form = {
            "lineterminator": data.draw(st.sampled_from(["\n", "\r\n"])),
            "quoting": data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        }
        files.append(written(tmp_path / f"{number}.csv", header, rows, **form))
        scale = data.draw(st.sampled_from([None, None, Scale.PERCENT]))
        mapped = data.draw(st.sampled_from([{}, {}, {"answer": "note"}]))
        options.append(
            {
                "options": ReadOptions(scale=scale, columns=mapped),
                **{name: data.draw(st.booleans()) for name in ("replace", "new_queries", "create_experts")},
            }
        )
    files.append(files[0])  # the same file again
    options.append(options[0])
    compare(sqlite_template, tmp_path, files, options)


PLAIN = [["bench", f"q{i}", "law", expert, str(i % 2)] for i in range(40) for expert in "ab"]


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("\ufeff{plain}", True),
        ("{plain}\n\n", True),
        ("{quoted}", True),
        ('{plain}"bench","q,9","l""aw",a,1\n', True),
        ('{plain}"bench","q9","two\nlines",a,1\n', False),  # a name cannot have a line break
        ('{plain}bench,q"9,law,a,1\n', False),
        ('{plain}"bench"x,q9,law,a,1\n', False),
        ('{plain}bench,"q9,law,a,1\n', False),
        ("{plain}bench,q9,law,a\n", False),
        ("{plain}bench,q9,law,a,1,1\n", False),
        ("{plain}bench,q9,law\r,a,1\n", False),
        ("{plain}bench,q9,law,a,1_0\n", False),
        ("{plain}bench,q9,law,a,1\nbench,q9,law,a,1\n", False),
        ("{plain}bench,q9,law,a,1\nbench,q9,maths,b,1\n", False),
    ],
)
def test_what_is_plain(sqlite_template: Path, tmp_path: Path, text: str, is_plain: bool) -> None:
    plain = written(tmp_path / "plain.csv", HEADER, PLAIN, lineterminator="\n").read_text()
    quoted = written(tmp_path / "quoted.csv", HEADER, PLAIN, quoting=csv.QUOTE_ALL).read_text()
    path = tmp_path / "rows.csv"
    path.write_bytes(text.format(plain=plain, quoted=quoted).encode())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(column_file, "_BLOCK", 256)
        assert compare(sqlite_template, tmp_path, [path], [{}]) == [is_plain]


def test_bytes_that_are_not_utf8(sqlite_template: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", [*HEADER, "note"], [[*row, "x"] for row in PLAIN])
    path.write_bytes(path.read_bytes() + b"bench,q9,law,a,1,\xff\n")
    assert compare(sqlite_template, tmp_path, [path], [{}]) == [False]


def test_types_of_parquet(sqlite_template: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    keys, subjects = list(range(20)) * 2, ["law"] * 40
    names = pa.array(["a"] * 20 + ["b"] * 20).dictionary_encode()
    files = []
    for scores in ([True, False] * 20, [0.5, 1.0] * 20, [0, 1] * 20, [None, 1.0] * 20, [float("nan")] * 40):
        table = {"key": keys, "subject": subjects, "expert": names, "score": scores, "tokens": pa.nulls(40)}
        files.append(tmp_path / f"{len(files)}.parquet")
        parquet.write_table(pa.table(table), files[-1])
    chosen = {"options": ReadOptions(benchmark="bench"), "replace": True}
    assert compare(sqlite_template, tmp_path, files, [chosen] * 5) == [False] * 5  # a column without a type

    for file in files:
        parquet.write_table(parquet.read_table(file).drop(["tokens"]), file)
    assert compare(sqlite_template, tmp_path, files, [chosen] * 5) == [True, True, True, False, False]


def test_columns_on_both_databases(store: Store, tmp_path: Path, sqlite_template: Path) -> None:
    files = [
        written(tmp_path / f"{name}.csv", HEADER, [[*row[:3], name, row[4]] for row in PLAIN if row[3] == "a"])
        for name in "ab"
    ]
    taken: list[bool] = []
    with in_columns(taken):
        said, found = imported(store, [*files, files[0]], [{}, {}, {}])
    assert (taken, [summary["unchanged"] for summary in said]) == ([True] * 3, [0, 0, 40])
    shutil.copy(sqlite_template, tmp_path / "rows.db")
    other = connect(f"sqlite:///{tmp_path / 'rows.db'}")
    with row_by_row():
        assert imported(other, [*files, files[0]], [{}, {}, {}])[0] == said
    assert not differences(found, content(other))
    other.close()


def test_a_table_that_is_found_out_late_leaves_nothing(store: Store, tmp_path: Path) -> None:
    add_experts(store, a=None)
    path = written(tmp_path / "rows.csv", HEADER, [row for row in PLAIN if row[3] == "a"])
    with in_columns([]), pytest.MonkeyPatch.context() as patched:

        def late(*_: Any) -> Any:
            raise column_import.NotPlainError

        patched.setattr(column_import, "_grid", late)
        summary = import_results(store, "a", path, form="table")
    assert (summary.scored, summary.new_queries) == ({"a": 40}, 40)
