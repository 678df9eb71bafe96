"""Zips: what is read, and the error of each bad zip."""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading import archive
from benchcoe_jobs.importers.reading.archive import file_digest, is_folder, open_data, read_bytes


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content, compress_type=method)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_bytes(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b"[]")
    assert read_bytes(path) == ("rows.json", b"[]")


@pytest.mark.parametrize("name", ["results.zip", "results.ZIP", "results.bin"])
def test_the_only_data_member_is_found_among_other_files(tmp_path: Path, name: str) -> None:
    path = zipped(
        tmp_path / name,
        ("folder/", b""),
        ("README.md", b"hello"),
        ("folder/rows.json", b"[1]"),
        ("__MACOSX/folder/._rows.json", b"junk"),
        ("folder/._rows.json", b"junk"),
    )
    assert read_bytes(path) == ("folder/rows.json", b"[1]")


def test_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.json") == "no such file"


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "a folder, not a file"


def test_a_device() -> None:
    assert refusal(Path("/dev/null")) == "a device or pipe, not a file"


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.json"
    path.touch()

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # root may read everything
    assert refusal(path) == "cannot be read: Permission denied"


def test_a_plain_file_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    path = tmp_path / "rows.json"
    path.write_bytes(b" " * 11)
    assert refusal(path) == "larger than 10 bytes"


def test_no_data_member(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("README.md", b"hello"))
    assert (
        refusal(path) == "the zip has no data files; it must have one of .json, .jsonl, .ndjson, .csv, .tsv, .parquet"
    )


def test_an_empty_zip(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "a.zip")).startswith("the zip has no data files")


def test_several_data_members(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.json", b"[]"), ("b.csv", b""))
    assert refusal(path).startswith("the zip has 2 data files; it must have one")


def test_too_many_entries(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", *((f"{number}.txt", b"") for number in range(1_001)))
    assert refusal(path) == "the zip has 1,001 entries; 1,000 are allowed"


@pytest.mark.parametrize("name", ["/rows.json", "../rows.json", "a/../../rows.json", "C:rows.json", "a\\rows.json"])
def test_a_path_that_leads_outside(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", (name, b"[]"))
    assert refusal(path) == f"the zip has an entry with an unsafe path: {name!r}"


def test_a_name_of_no_length(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("x", b"[]"))
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\1\2")
    content[directory + 28 : directory + 32] = b"\0\0\1\0"  # the byte of the name is an extra field
    path.write_bytes(content)
    assert refusal(path) == "the zip has an entry with an unsafe path: ''"


@pytest.mark.parametrize("name", ["a..b/rows.json", "..rows/x.json", "rows...json"])
def test_dots_that_stay_inside_are_allowed(tmp_path: Path, name: str) -> None:
    assert read_bytes(zipped(tmp_path / "a.zip", (name, b"[]"))) == (name, b"[]")


def test_a_symbolic_link(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("rows.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert refusal(zipped(tmp_path / "a.zip", (link, b"/etc/passwd"))) == "the zip has a symbolic link: 'rows.json'"


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("rows.json", b"[]"), method=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag in the local header, then in the central directory
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    assert refusal(path) == "'rows.json' in the zip is encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_method_without_a_bound(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "a.zip", ("rows.json", b"[]"), method=method)
    assert refusal(path) == "'rows.json' is compressed by another method than deflate"


def test_a_bomb(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("rows.json", b" " * 2**22))
    assert refusal(path) == "'rows.json' is compressed more than 200:1, as a zip bomb is"


def test_a_small_file_may_have_any_compression_ratio(tmp_path: Path) -> None:
    assert len(read_bytes(zipped(tmp_path / "a.zip", ("rows.json", b" " * 2**20)))[1]) == 2**20


def test_a_declared_size_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    assert refusal(zipped(tmp_path / "a.zip", ("a.json", b"1" * 11))) == "'a.json' is larger than 10 bytes"


def test_a_bomb_that_declares_less_is_not_decompressed_beyond_that_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("rows.json", b" " * 2**26))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2") + 24  # the uncompressed size in the central directory
    content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    got: list[bytes] = []

    def inflate() -> None:
        with open_data(path) as (_, stream):
            while chunk := stream.read(10):
                got.append(chunk)

    with pytest.raises(InputError, match="damaged or cut short: Bad CRC-32"):
        inflate()
    assert sum(map(len, got)) <= 100


def test_a_zip_that_is_cut_short(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("rows.json", b"[1, 2, 3]"))
    path.write_bytes(path.read_bytes()[:-30])
    assert refusal(path) == "the zip is damaged or cut short: File is not a zip file"


def test_a_zip_by_name_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    path.write_bytes(b"[1, 2, 3]")
    assert refusal(path) == "the zip is damaged or cut short: File is not a zip file"


def test_a_wrong_checksum(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("rows.json", b"[1, 2, 3]"), method=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"[1, 2, 3]", b"[1, 2, 4]"))
    assert refusal(path) == "the zip is damaged or cut short: Bad CRC-32 for file 'rows.json'"


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 400))
def test_any_damage_is_an_error_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], length: int
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("rows.json", b"[1, 2, 3]" * 10)
    content = bytearray(buffer.getvalue())
    for at, value in changes:
        content[at % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(content[: max(length, 4)])
    try:
        read_bytes(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


def packed(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def test_gzip(tmp_path: Path) -> None:
    assert read_bytes(packed(tmp_path / "rows.json.gz", b"[1]")) == ("rows.json", b"[1]")
    assert read_bytes(packed(tmp_path / "rows.json", b"[1]")) == ("rows.json", b"[1]")


def test_a_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "rows.json.gz", b" " * 2 * 2**20)
    message = refusal(path)
    assert message == "it unpacks to more than 1,048,576 bytes; 2,147,483,648 bytes and 200:1 are allowed"
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    assert refusal(packed(tmp_path / "a.json.gz", b"x" * 11)).startswith("it unpacks to more than 10 bytes")


@pytest.mark.parametrize("damage", [slice(0, -9), slice(0, 12)])
def test_gzip_that_is_cut_short(tmp_path: Path, damage: slice) -> None:
    path = packed(tmp_path / "rows.json.gz", b"[1, 2, 3]" * 50)
    path.write_bytes(path.read_bytes()[damage])
    assert refusal(path).startswith("the gzip file is damaged or cut short: ")


def test_a_file_that_is_gzip_by_name_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.json.gz"
    path.write_bytes(b"[1]")
    assert refusal(path).startswith("the gzip file is damaged or cut short: ")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300 + ".csv")
    assert not is_folder(path)
    assert refusal(path) == "cannot be read: File name too long"
    with pytest.raises(InputError, match="File name too long"):
        file_digest(path)
