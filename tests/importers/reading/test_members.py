"""Zips with many members, also with those that zipfile cannot unpack before Python 3.14."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from zstd_zips import write_zstd_zip

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading import members
from benchcoe_jobs.importers.reading.members import open_members

CONTENT = {"header.json": b'{"a": 1}', "samples/1.json": b"[]" * 500, "empty.json": b""}


def test_both_methods(tmp_path: Path) -> None:
    write_zstd_zip(tmp_path / "new.eval", CONTENT)
    with zipfile.ZipFile(tmp_path / "old.eval", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in CONTENT.items():
            file.writestr(name, content)
    for name in ("new.eval", "old.eval"):
        with open_members(tmp_path / name) as found:
            assert {member: found.read(member) for member in found.names} == CONTENT


def test_what_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    """The size in the zip bounds what is unpacked, whatever the compressed data says of itself."""
    write_zstd_zip(tmp_path / "a.eval", {"bomb": b"0" * 10_000_000}, declared=8)
    with open_members(tmp_path / "a.eval") as found, pytest.raises(InputError, match=r"'bomb' in the zip is damaged"):
        found.read("bomb")


def test_limits_hold_for_each_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zstd_zip(tmp_path / "a.eval", {"zeros": b"0" * 10_000_000, "small": b"1" * 100})
    with open_members(tmp_path / "a.eval") as found:
        with pytest.raises(InputError, match=r"as a zip bomb is"):
            found.read("zeros")
        monkeypatch.setattr(members, "MAX_MEMBER_BYTES", 99)
        with pytest.raises(InputError, match=r"'small' in the zip is larger than 99 bytes"):
            found.read("small")
    monkeypatch.setattr(members, "MAX_MEMBERS", 1)
    with pytest.raises(InputError, match=r"2 entries; 1 are allowed"), open_members(tmp_path / "a.eval"):
        pass


@pytest.mark.parametrize("place", [3, 20, 40])
def test_damage_is_one_clear_line(tmp_path: Path, place: int) -> None:
    """In the mark of the local header, in its length, and in the compressed data."""
    path = tmp_path / "a.eval"
    write_zstd_zip(path, {"a.json": bytes(range(256)) * 4})
    content = bytearray(path.read_bytes())
    content[place + (6 if place == 20 else 0)] ^= 0xFF
    path.write_bytes(content)
    with open_members(path) as found, pytest.raises(InputError) as caught:
        found.read("a.json")
    assert "'a.json' in the zip is damaged or cut short" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unsafe_names_and_no_zip(tmp_path: Path) -> None:
    write_zstd_zip(tmp_path / "a.eval", {"../x.json": b""})
    (tmp_path / "b.eval").write_bytes(b"text")
    for name, message in (("a.eval", "unsafe path"), ("b.eval", "damaged or cut short"), ("c.eval", "no such file")):
        with pytest.raises(InputError, match=message), open_members(tmp_path / name):
            pass
