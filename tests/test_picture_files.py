"""Pictures that files name: bytes, data URIs and paths; nothing is downloaded, and no path leads out of a folder."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest

from benchcoe_jobs import picture_files
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.picture_files import picture_file, read_picture

PNG = b"\x89PNG\r\n\x1a\n..."
URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_every_form_of_a_picture(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.png").write_bytes(PNG)
    forms = [PNG, URI, "some/a.png", {"bytes": PNG, "path": None}, {"bytes": None, "path": "some/a.png"}]
    assert [read_picture(form, tmp_path) for form in forms] == [PNG] * len(forms)


@pytest.mark.parametrize(("content", "reason"), [(b"", "it is empty"), (b"four", "it is larger than 0 MiB")])
def test_a_file_that_a_user_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    assert picture_file(path) == PNG
    monkeypatch.setattr(picture_files, "MAX_BYTES", 3)
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"a.png: cannot be used as a picture: {reason}"):
        picture_file(path)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("https://example.org/a.png", "is a URL, and no picture is downloaded"),
        ("//example.org/a.png", "is a URL"),
        ("file:///etc/hostname", "is a URL"),
        ("../a.png", "is outside the folder of its file"),
        ("/etc/hostname", "is outside the folder of its file"),
        ("none.png", "none.png: cannot be read: No such file"),
        ("pipe", "cannot be read: it is not a regular file but a pipe"),
        ("a\0b", "null byte"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("data:text/html,<p>", "is not a data:image/...;base64,... URI"),
        ("data:image/png;base64,AAA", "the base64 of 'data:image/png;base64,AAA' cannot be read"),
        ("data:image/png;base64,é", "the base64 of"),
        ("empty", "it is empty"),
        (b"", "it is empty"),
        (7, "it is neither bytes nor the path of a file"),
        ({"bytes": None}, "it is neither bytes nor the path of a file"),
        (b"four", "it is larger than 0 MiB"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, reason: str) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(picture_files, "MAX_BYTES", 3)
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_picture(value, tmp_path)
