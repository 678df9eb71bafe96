"""The three formats of a table: line numbers, encodings, and errors."""

from __future__ import annotations

import gzip
import sys
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchcoe_jobs.domain import Note, SkippedRow
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers.reading import parquet as parquet_reader
from benchcoe_jobs.importers.reading import rows
from benchcoe_jobs.importers.table import read_results


def read(path: Path, content: bytes) -> list[Any]:
    path.write_bytes(content)
    return list(rows.read_rows(path, ("a", "b"), [("a",)]))


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(path, content)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def test_csv_lines_are_physical_lines(csv: Path) -> None:
    content = b'\n a , b\n1,"one\ntwo\n\n"\n\n2,x\n3\n4,y,z\n5,"""\r\n"\n6,w'
    assert read(csv, content) == [
        (3, {"a": "1", "b": "one\ntwo\n\n"}),
        (8, {"a": "2", "b": "x"}),
        SkippedRow(9, "1 fields, but the header has 2"),
        SkippedRow(10, "3 fields, but the header has 2"),
        (11, {"a": "5", "b": '"\r\n'}),
        (13, {"a": "6", "b": "w"}),
    ]


def test_csv_from_a_spreadsheet(csv: Path) -> None:
    assert read(csv, b"\xef\xbb\xbfa,b\r\n1,2\r\n") == [(2, {"a": "1", "b": "2"})]


def test_a_long_field(csv: Path) -> None:
    long = "x" * 300_000
    assert read(csv, f"a\n{long}\n".encode()) == [(2, {"a": long})]


@pytest.mark.parametrize(
    ("content", "skipped"),
    [
        (b'a,b\n1,"2\n3,4\n', SkippedRow(2, "broken CSV, up to line 3: unexpected end of data")),
        (b'a,b\n1,"2"x\n3,4\n', SkippedRow(2, "broken CSV, up to line 2: ',' expected after '\"'")),
    ],
)
def test_csv_with_broken_quotes(csv: Path, content: bytes, skipped: SkippedRow) -> None:
    assert read(csv, content)[0] == skipped


def test_an_unclosed_quote_does_not_read_the_whole_file(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_FIELD", 10)
    assert read(csv, b'a,b\n1,"2\n333333\n444444\n5,6\n') == [
        SkippedRow(2, "broken CSV, up to line 4: field larger than field limit (10)"),
        (5, {"a": "5", "b": "6"}),
    ]


def test_a_broken_header(csv: Path) -> None:
    assert refusal(csv, b'"a"x,b\n1,2\n') == "broken CSV, up to line 1: ',' expected after '\"'"


def test_jsonl_lines_are_physical_lines(jsonl: Path) -> None:
    content = b'\n{"a": 1, "b": null}\r\n  \n[1]\n{"a": \n{"a": 2}\n' + b"[" * 100_000 + b"\n"
    assert read(jsonl, content) == [
        (2, {"a": 1, "b": None}),
        SkippedRow(4, "not a JSON object"),
        SkippedRow(5, "broken JSON at character 1: Expecting value"),
        (6, {"a": 2}),
        SkippedRow(7, "JSON that is too large or too deep"),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    assert refusal(tmp_path / f"rows{suffix}", content) == "it has no row"


def test_a_header_alone(csv: Path) -> None:
    assert refusal(csv, b"a,b\n") == "it has no row"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\ncaf\u00e9\n".encode("latin-1"), "not UTF-8: byte 0xe9 at offset 5"),
        ("a,b\n".encode("utf-16"), "not UTF-8: byte 0xff at offset 0"),
        (b"\xef\xbb\xbfa\n1\n\xff", "not UTF-8: byte 0xff at offset 7"),
    ],
)
def test_another_encoding(csv: Path, content: bytes, message: str) -> None:
    assert refusal(csv, content).startswith(f"{message}: save it as UTF-8")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("rows.ods", "not a workbook (.ods): save it as .xlsx, or the sheet as CSV (UTF-8)"),
        ("rows.pkl", "not .pkl, which can run code when it is read: write CSV or Parquet from Python"),
        ("rows.csv.bz2", "not .bz2: compress it as .gz or .zip, or not at all"),
        ("rows.txt", "not '.txt'; for files that a benchmark publishes, name the importer with --format"),
        ("rows", "not 'rows'; for files that a benchmark publishes, name the importer with --format"),
    ],
)
def test_another_format(tmp_path: Path, name: str, instead: str) -> None:
    message = f"a table must be one of .csv, .tsv, .jsonl, .ndjson, .json, .parquet, .xlsx, {instead}"
    assert refusal(tmp_path / name, b"a\n1\n").startswith(message)


def test_tabs(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.tsv", b'a\tb\n1\t"2\t3"\n') == [(2, {"a": "1", "b": "2\t3"})]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_delimiter_in_csv_is_named(csv: Path, mark: str) -> None:
    message = refusal(csv, f"a{mark}b\n1{mark}2\n".encode())
    assert f"(columns are separated by commas in .csv and by tabs in .tsv, not by {mark!r})" in message


@pytest.mark.parametrize(
    ("header", "index"),
    [(",a,b", "''"), ("Unnamed: 0,a,b", "'Unnamed: 0'"), ("Unnamed: 0.1,a,b", "'Unnamed: 0.1'"), ("a,,b,", "''")],
)
def test_an_index_that_pandas_wrote_is_passed_over(csv: Path, header: str, index: str) -> None:
    n = header.count(",") + 1
    (line, row), note = read(csv, f"{header}\n{','.join(['7'] * n)}\n".encode())
    assert note == Note(f"column {index} is passed over: pandas wrote the index of its rows there")
    assert (line, row["a"], row["b"]) == (2, "7", "7")


JSON_BY_PANDAS = [
    b'[{"a": 1, "b": null, "c": 0}, {"a": 2, "b": "x", "c": 0}]',
    b'{"a": {"0": 1, "1": 2}, "b": {"0": null, "1": "x"}, "c": {"0": 0, "1": 0}}',
]


@pytest.mark.parametrize("content", JSON_BY_PANDAS)
def test_json(tmp_path: Path, content: bytes) -> None:
    found = [(1, {"a": 1, "b": None}), (2, {"a": 2, "b": "x"}), Note("column 'c' is ignored")]
    assert read(tmp_path / "rows.json", content) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}', "neither a list of objects nor columns as pandas writes them: not a table"),
        (b'{"a": {"0": 1}, "b": {"1": 1}}', "its columns do not have the same rows"),
        (b"[", "not JSON, at line 1, column 2: Expecting value"),
        (b"[" * 100_000, "JSON that is too large or too deep"),
        (b"[]", "it has no row"),
    ],
)
def test_json_that_is_no_table(tmp_path: Path, content: bytes, message: str) -> None:
    assert refusal(tmp_path / "rows.json", content) == message


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.CSV.GZ", "rows.csv"])
def test_gzip(tmp_path: Path, name: str) -> None:
    assert read(tmp_path / name, gzip.compress(b"a\n1\n")) == [(2, {"a": "1"})]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_gzip_of_other_formats(tmp_path: Path, suffix: str) -> None:
    plain = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        plain.write_text('{"a": "1"}\n')
    else:
        written(plain, {"a": ["1"]})
    assert read(tmp_path / f"packed.{suffix}.gz", gzip.compress(plain.read_bytes())) == [(1, {"a": "1"})]


def test_a_line_without_end_is_not_read_whole(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_LINE", 10)
    assert refusal(csv, b"a\n1\n" + b"2" * 11 + b"\n") == "the line at offset 4 is longer than 10 bytes"


def written(path: Path, columns: dict[str, Any]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_reader, "BATCH", 2)
    path = written(tmp_path / "rows.parquet", {"a": [["x"], None, ["y", "z"]], "b": [Decimal("0.5"), None, Decimal(1)]})
    assert list(rows.read_rows(path, ("a", "b"), [])) == [
        (1, {"a": ["x"], "b": Decimal("0.5")}),
        (2, {"a": None, "b": None}),
        (3, {"a": ["y", "z"], "b": Decimal("1.0")}),
    ]


def test_a_file_that_is_not_parquet(tmp_path: Path) -> None:
    assert refusal(tmp_path / "rows.parquet", b"PAR1 and so on").startswith("not valid Parquet, after row 0: ")


def test_truncated_or_damaged_parquet(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.parquet", {"a": list(range(1000))})
    whole = path.read_bytes()
    assert "not valid Parquet" in refusal(path, whole[:-20])
    assert "not valid Parquet" in refusal(path, whole[:4] + b"\xff" * 200 + whole[204:])


def test_parquet_columns_and_rows_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    found = list(rows.read_rows(written(path, {"a": [1], "c.d": [0], "c": [{"d": 1}]}), ("a", "b"), []))
    assert found == [(1, {"a": 1}), Note("columns 'c.d', 'c' are ignored")]
    with pytest.raises(InputError, match="it has no row"):
        list(rows.read_rows(written(path, {"a": pa.array([], pa.int64())}), ("a", "b"), []))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "rows.parquet", {"a": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingError) as caught:
        list(rows.read_rows(path, ("a",), []))
    assert str(caught.value) == f"{path}: Parquet needs pyarrow: pip install 'benchcoe-jobs[tables]'"


def test_the_format_of_a_zip_is_that_of_its_member(tmp_path: Path) -> None:
    written(tmp_path / "rows.parquet", {"key": [1], "subject": ["law"], "score": [1.0]})
    (tmp_path / "rows.csv").write_text("key,subject,score\n1,law,1\n")
    (tmp_path / "rows.jsonl").write_text('{"key": 1, "subject": "law", "score": 1}\n')
    found = []
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        with zipfile.ZipFile(tmp_path / "rows.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.write(tmp_path / name, name)
        [row] = read_results(tmp_path / "rows.zip", "exam")
        assert not isinstance(row, SkippedRow)
        found.append((row.line, row.query.key, row.query.subject, row.score))
    assert found == [(2, "1", "law", 1.0), (1, "1", "law", 1.0), (1, "1", "law", 1.0)]


def test_a_zip_that_ends_within_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("rows.csv", "a\n" + "1\n" * 100)
    path.write_bytes(path.read_bytes().replace(b"1\n1\n", b"2\n1\n"))
    with pytest.raises(InputError, match="damaged or cut short: Bad CRC-32"):
        list(rows.read_rows(path, ("a",), []))
