"""Parquet: types of columns, limits, and folders of parts."""

from __future__ import annotations

import decimal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchcoe_jobs.domain import Note, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading import archive
from benchcoe_jobs.importers.reading import parquet as reader
from benchcoe_jobs.importers.reading.archive import file_digest
from benchcoe_jobs.importers.reading.rows import read_rows
from benchcoe_jobs.importers.table import read_results

KNOWN = ("key", "subject", "score", "choices")


def read(path: Path) -> list[Any]:
    return list(read_rows(path, KNOWN, [("key",)]))


def written(path: Path, columns: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


FAR = 2**62
UNREADABLE = {
    "far": pa.array([FAR], pa.timestamp("us")),
    "zone": pa.array([0], pa.timestamp("ns", tz="Nowhere/Land")),
    "date": pa.array([2**31 - 1], pa.date32()),
    "day": pa.array([FAR], pa.date64()),
    "time": pa.array([1], pa.time64("ns")),
    "duration": pa.array([FAR], pa.duration("s")),
    "second": pa.array([None], pa.time32("s")),
    "binary": pa.array([b"\xff"], pa.binary()),
    "uuid": pa.array([b"\0" * 16], pa.binary(16)),
    "struct": pa.array([{"a": 1}]),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "nested": pa.array([[["a"]]]),
    "times": pa.array([[FAR]], pa.list_(pa.timestamp("us"))),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_column_of_another_type_is_one_clear_error(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "rows.parquet", {"key": UNREADABLE[name]})
    assert refusal(path).startswith("column 'key' is of type ")


READABLE = {
    "text": (pa.array(["1"]), "1"),
    "large text": (pa.array(["1"], pa.large_string()), "1"),
    "category": (pa.array(["1"]).dictionary_encode(), "1"),
    "number of a category": (pa.array([7]).dictionary_encode(), 7),
    "byte": (pa.array([1], pa.uint8()), 1),
    "long": (pa.array([2**63], pa.uint64()), 2**63),
    "half": (pa.array([0.5], pa.float32()).cast(pa.float16()), 0.5),
    "decimal": (pa.array([decimal.Decimal("0.5")], pa.decimal128(3, 2)), decimal.Decimal("0.50")),
    "truth": (pa.array([True]), True),
    "nothing": (pa.array([None]), None),
    "missing category": (pa.array([None], pa.dictionary(pa.int8(), pa.string())), None),
    "texts": (pa.array([["a", "b"]], pa.large_list(pa.string())), ["a", "b"]),
}


@pytest.mark.parametrize("name", READABLE)
def test_types_of_a_table(tmp_path: Path, name: str) -> None:
    column, value = READABLE[name]
    assert read(written(tmp_path / "rows.parquet", {"key": column})) == [(1, {"key": value})]


def test_an_index_of_pandas_is_not_read_whatever_its_type(tmp_path: Path) -> None:
    times = pa.array([FAR], pa.timestamp("us"))
    path = written(tmp_path / "rows.parquet", {"key": ["1"], "__index_level_0__": times})
    assert read(path) == [
        (1, {"key": "1"}),
        Note("column '__index_level_0__' is passed over: pandas wrote the index of its rows there"),
    ]


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "rows.parquet", {"key": ["long" * 50] * 11})
    monkeypatch.setattr(reader, "MAX_ROWS", 10)
    assert refusal(path) == "it has 11 rows; 10 are allowed"
    monkeypatch.setattr(reader, "MAX_ROWS", 11)
    monkeypatch.setattr(reader, "MAX_BATCH_BYTES", 1000)
    assert refusal(path) == "4,096 of its rows take more than 1,000 bytes"
    monkeypatch.setattr(reader, "MAX_BYTES", 10)
    assert refusal(path) == "it has more than 10 bytes without compression; divide it"


def test_billions_of_equal_rows_in_a_small_file(tmp_path: Path) -> None:
    """A column of nulls has no bytes: only its number of rows is large."""
    path = tmp_path / "rows.parquet"
    with parquet.ParquetWriter(path, pa.schema([("key", pa.null())])) as file:
        for _ in range(6):
            file.write_table(pa.table({"key": pa.nulls(10_000_000)}), row_group_size=10_000_000)
    assert path.stat().st_size < 100_000
    assert refusal(path) == "it has 60,000,000 rows; 50,000,000 are allowed"


def test_a_folder_of_parts(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    written(folder / "part-0.parquet", {"key": ["1", "2"]})
    written(folder / "part-1.parquet", {"key": ["3"]})
    written(folder / "_metadata.parquet", {"other": ["3"]})
    written(folder / ".hidden" / "part-2.parquet", {"other": ["3"]})
    (folder / "_SUCCESS").touch()
    assert read(folder) == [(1, {"key": "1"}), (2, {"key": "2"}), (3, {"key": "3"})]


def test_columns_in_the_names_of_folders(tmp_path: Path) -> None:
    for subject in ("law", "fine%20arts", "__HIVE_DEFAULT_PARTITION__"):
        written(tmp_path / "parts" / f"subject={subject}" / "part-0.parquet", {"key": ["1"]})
    assert [row["subject"] for _, row in read(tmp_path / "parts")] == [None, "fine arts", "law"]
    written(tmp_path / "parts" / "colour=red" / "part-0.parquet", {"key": ["1"]})
    assert read(tmp_path / "parts")[-1] == Note("column 'colour' is ignored")


def test_a_folder_without_parts_and_with_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(tmp_path) == "a folder without Parquet files; name one file, or a folder of Parquet files"
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1)
    for part in range(2):
        written(tmp_path / f"{part}.parquet", {"key": ["1"]})
    assert refusal(tmp_path) == "the folder has 2 Parquet files; 1 are allowed"


def test_the_digest_of_a_folder_is_that_of_its_parts(tmp_path: Path) -> None:
    written(tmp_path / "a" / "0.parquet", {"key": ["1"]})
    before = file_digest(tmp_path / "a")
    (tmp_path / "a" / "_SUCCESS").touch()
    assert file_digest(tmp_path / "a") == before
    (tmp_path / "a" / "0.parquet").rename(tmp_path / "a" / "1.parquet")
    assert file_digest(tmp_path / "a") != before


def test_a_skipped_row_of_a_part_has_its_number_in_the_folder(tmp_path: Path) -> None:
    for part, key in enumerate(("1", "")):
        row = {"key": [key], "subject": ["law"], "score": [1.0]}
        written(tmp_path / f"{part}.parquet", row)
    assert list(read_results(tmp_path, "exam"))[1] == SkippedRow(2, "key is empty")


def test_times_in_range_are_refused_as_well(tmp_path: Path) -> None:
    """A column must not be read in one file and refused in the next."""
    path = written(tmp_path / "rows.parquet", {"key": [datetime(2024, 5, 1, tzinfo=UTC)]})
    assert refusal(path).startswith("column 'key' is of type timestamp")
