"""Formats are recognised by content, and files are found in folders."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchcoe_jobs import registry
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.detection import Found, find
from benchcoe_jobs.importers.source import MAX_HEADS, Source
from benchcoe_jobs.importers.table import TABLE

HEADER = "key,subject,score\n"
TABLES = {"table": TABLE}


class PairImporter:
    """A format of two files in a folder, or of a file that begins with "pair", with notes beside it."""

    def recognise(self, source: Source) -> str | None:
        if source.is_folder:
            return "it has a.txt and b.txt" if {file.name for file in source.files} == {"a.txt", "b.txt"} else None
        return "it begins with pair" if source.head.startswith(b"pair") else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        raise AssertionError

    def accompanies(self, source: Source) -> bool:
        return source.head.startswith(b"notes")


class SameImporter(PairImporter):
    """Another format with the same look."""


@pytest.fixture
def with_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**TABLES, "pair": PairImporter()}
    monkeypatch.setattr(registry, "names", lambda group: list(known))
    monkeypatch.setattr(registry, "load", lambda group, name: known[name])


def forms(found: Found, folder: Path) -> dict[str, str]:
    return {known.source.path.relative_to(folder).as_posix(): known.form for known in found.recognised}


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.usefixtures("with_pairs")
def test_a_folder_is_walked_and_what_belongs_together_is_one(tmp_path: Path) -> None:
    write(tmp_path, x_dot_csv=HEADER, runs__one__a_dot_txt="", runs__one__b_dot_txt="", runs__two_dot_txt="pair")
    write(tmp_path, runs__log_dot_txt="other", _dot_hidden__y_dot_csv=HEADER)
    (tmp_path / "runs" / "up").symlink_to(tmp_path)
    found = find([tmp_path])
    assert forms(found, tmp_path) == {"runs/one": "pair", "runs/two.txt": "pair", "x.csv": "table"}
    assert (found.unknown, found.faults) == ([tmp_path / "runs" / "log.txt"], [])
    assert forms(find([tmp_path], "table"), tmp_path) == {"x.csv": "table"}


@pytest.mark.usefixtures("with_pairs")
def test_a_file_beside_results_is_a_companion(tmp_path: Path) -> None:
    write(tmp_path, a_dot_txt="pair", n_dot_txt="notes")
    found = find([tmp_path / "a.txt", tmp_path / "n.txt", tmp_path / "a.txt"])
    assert (forms(found, tmp_path), found.companions) == ({"a.txt": "pair"}, [tmp_path / "n.txt"])


def test_two_candidates_are_an_error_that_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"pair": PairImporter(), "same": SameImporter()}
    monkeypatch.setattr(registry, "names", lambda group: list(known))
    monkeypatch.setattr(registry, "load", lambda group, name: known[name])
    write(tmp_path, a_dot_txt="pair")
    [(_, error)] = find([tmp_path / "a.txt"]).faults
    assert "2 formats: --format names the right one (pair: it begins with pair; same: it begins with pair)" in str(
        error
    )
    assert not find([tmp_path / "a.txt"], "same").faults


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.pkl", b"\x80\x04", "can run code when it is read: write CSV or Parquet"),
        ("x.txt", b"hello", "it does not have the form of a known format; a table must be one of"),
        ("x.json", b'{"a": 1}', "`benchcoe-jobs import-results --help` lists them"),
        ("none.csv", None, "no such file"),
        ("x.zip", b"PK\3\4 cut", "damaged or cut short"),
    ],
)
def test_what_no_importer_recognises_is_refused_with_a_hint(
    tmp_path: Path, name: str, content: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "names", lambda group: ["mmlu-pro", "table"])
    if content is not None:
        (tmp_path / name).write_bytes(content)
    [(path, error)] = find([tmp_path / name]).faults
    assert path == tmp_path / name
    assert message in str(error)
    assert "\n" not in str(error)


def test_a_workbook_that_no_importer_can_look_into_is_left_to_the_reader_of_tables(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook")
    found = find([tmp_path / "x.xlsx"])
    assert ([one.form for one in found.recognised], found.faults) == (["table"], [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.csv.gz", gzip.compress(HEADER.encode(), mtime=0)[:20], "the gzip file is damaged or cut short"),
        ("cut.zip", b"PK\3\4 cut", "the zip is damaged or cut short"),
        ("cut.json", b'{"rows": [1,', "not JSON, at line 1"),
        ("long.json", b'{"rows": [' + b"1, " * 400_000, "not JSON, at line 1"),
        ("cut.jsonl", b'{"key": "\xff"}\n{}', "not UTF-8: byte 0xff at offset 9: save it as UTF-8"),
        ("cut.parquet", b"PAR1", "not valid Parquet"),
        ("cut.xlsx", b"PK", "the zip is damaged or cut short"),
    ],
)
def test_a_damaged_file_in_a_folder_is_a_fault(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write(tmp_path, x_dot_csv=HEADER)
    (tmp_path / name).write_bytes(content)
    found = find([tmp_path])
    [(path, error)] = found.faults
    assert (forms(found, tmp_path), path, found.unknown) == ({"x.csv": "table"}, tmp_path / name, [])
    assert message in str(error)


def test_other_files_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, x_dot_csv=HEADER, a_dot_json="[]", b_dot_jsonl="")
    write(tmp_path, c_dot_json='{\n"a": 1\n}', d_dot_jsonl='{"a": 1}\ncut')
    (tmp_path / "itself").symlink_to("itself")
    with ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", HEADER)
        archive.writestr("b.csv", HEADER)
    found = find([tmp_path])
    assert (forms(found, tmp_path), found.faults) == ({"x.csv": "table"}, [])
    assert [path.name for path in found.unknown] == ["a.json", "b.jsonl", "c.json", "d.jsonl", "itself", "two.zip"]
    [(_, error)] = find([tmp_path / "itself"]).faults
    assert "a link that leads to no file" in str(error)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    write(tmp_path, log_dot_txt="hello")
    [(_, error)] = find([tmp_path]).faults
    assert "no file in it has the form of a known format" in str(error)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "\ufeffkey,subject,score\n"),
        ("x.tsv", "text\tsubject\tscore\n"),
        ("x.jsonl", json.dumps({"key": 1, "subject": "a", "score": 1})),
        ("x.json", json.dumps([{"key": 1, "subject": "a", "score": 1}])),
    ],
)
def test_tables_are_recognised_by_their_columns(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert [known.form for known in find([tmp_path]).recognised] == ["table"]


def test_few_heads_of_files_are_in_memory(tmp_path: Path) -> None:
    write(tmp_path, **{f"x{number}_dot_csv": f"{HEADER}{number},law,1" for number in range(MAX_HEADS + 5)})
    files = Source(tmp_path).children
    assert [file.head[-7:] for file in files] == [file.path.read_bytes()[-7:] for file in files]
    assert sum(file._name_and_head is not None for file in files) == MAX_HEADS
    assert files[0].head.startswith(HEADER.encode())
