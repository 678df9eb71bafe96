"""Files that a user names: pipes, devices and links, permissions, and TOML that is not valid."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.files import open_regular, private_folder, read_toml, write_whole


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_pipe_is_refused_without_waiting(pipe: Path) -> None:
    for attempt in (open_regular, read_toml, lambda path: write_whole(path, b"x")):
        with pytest.raises(InputError, match=r"pipe: cannot be .*: it is not a regular file but a pipe"):
            attempt(pipe)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="a device or a socket"):
        open_regular(Path(path))
    with pytest.raises(InputError, match="a device or a socket"):
        write_whole(Path(path), b"x")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a regular file but a folder"):
        open_regular(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        open_regular(tmp_path / "none")


def test_a_link_is_read_through_and_replaced_when_written(tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "table.md"
    precious.write_text("precious")
    link.symlink_to(precious)
    with open_regular(link) as file:
        assert file.read() == b"precious"
    write_whole(link, b"new")
    assert precious.read_text() == "precious"
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "table.md"]


def test_a_link_that_leads_nowhere_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "x"
    link.symlink_to(tmp_path / "none")
    write_whole(link, b"new")
    assert not link.is_symlink()
    assert not (tmp_path / "none").exists()


def test_a_file_keeps_its_permissions_and_a_new_one_gets_those_of_the_process(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch(mode=0o640)
    before = os.umask(0o027)
    try:
        write_whole(old, b"x")
        write_whole(new, b"x")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o640, 0o640]


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write_whole(tmp_path / "none" / "x", b"x")


def test_private_folders(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    private_folder(shared / "home" / "broker")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (shared, shared / "home", shared / "home" / "broker")]
    assert modes == [0o755, 0o700, 0o700]
    private_folder(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    (shared / "file").touch()
    with pytest.raises(InputError, match="cannot be created"):
        private_folder(shared / "file" / "x")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"{b=" * 100_000, "nested too deeply"),
        (b"a = ", "Invalid value"),
        (b"a = '\xff'", "codec can't decode"),
        (b"a = 2026-02-31", "Invalid"),
        (b"#" * 1_000_001, "larger than"),
    ],
    ids=["deep arrays", "deep tables", "no value", "no UTF-8", "no such day", "too large"],
)
def test_toml_that_is_not_valid(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_toml(path)


def test_toml_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert read_toml(path) == {"a": 1}
