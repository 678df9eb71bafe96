"""A folder is stored with its absolute path; a hub id stays what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.model_folder import is_path, stored_name


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "name", ["models/tiny", "./models/tiny", "models//tiny/", "~/models/tiny", "work/../models/tiny"]
)
def test_an_existing_folder(here: Path, name: str) -> None:
    assert stored_name(name) == str(here / "models" / "tiny")


def test_a_link_is_kept_because_other_machines_may_have_it(here: Path) -> None:
    (here / "link").symlink_to("models/tiny")
    assert stored_name("link") == str(here / "link")


@pytest.mark.parametrize(
    "name", ["owner/tiny", "gpt2", "models/other", "/srv/on/the/worker", "http://x/y", "", "x" * 9_999, "\0"]
)
def test_another_name(name: str) -> None:
    assert stored_name(name) == name


@pytest.mark.parametrize("name", ["./models/other", "../tiny", "~/other"])
def test_a_relative_path_that_does_not_exist(name: str) -> None:
    with pytest.raises(InputError, match="is not an existing folder: name a folder, or a hub id such as owner/name"):
        stored_name(name)


@pytest.mark.parametrize(
    ("name", "answer"), [("/a", True), ("./a", True), ("..", True), ("~/a", True), ("a/b", False), (".a/b", False)]
)
def test_what_can_only_be_a_path(name: str, answer: bool) -> None:
    assert is_path(name) is answer
