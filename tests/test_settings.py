"""Settings that cannot be used, and the default home folder, which belongs to the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.settings import CONFIG_FILE, Settings


def test_a_home_of_a_user_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="~nosuchuser/x: no user of this machine has that name"):
        Settings.load(tmp_path, home="~nosuchuser/x")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('home = "a\\u0000b"', "setting home contains a NUL character"),
        ('home = "~nosuchuser"', "no user of this machine"),
        ("home = " + "[" * 100_000, "nested too deeply"),
        ("[database_url]\nx = 1", "database_url must be a string"),
    ],
    ids=["NUL", "no user", "deep", "table"],
)
def test_a_file_of_settings_that_cannot_be_used(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "benchcoe.toml").write_text(content)
    with pytest.raises(InputError, match=reason):
        Settings.load(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "DATABASE_URL"):
        monkeypatch.delenv(f"BENCHCOE_{name}", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("url", "home"),
    [
        ("sqlite:////srv/lab/store.db", "/srv/lab/.benchcoe"),
        ("sqlite+pysqlite:////srv/lab/store.db?timeout=5", "/srv/lab/.benchcoe"),
        ("sqlite:///file:/srv/lab/store.db?mode=ro&uri=true", "/srv/lab/.benchcoe"),
        ("sqlite:////srv/what%3F/store.db", "/srv/what?/.benchcoe"),
        ("sqlite:///store.db", "{here}/.benchcoe"),
        ("sqlite:///sub/store.db", "{here}/sub/.benchcoe"),
        (None, "{here}/.benchcoe"),
        ("sqlite://", "/data/benchcoe"),
        ("sqlite:///:memory:", "/data/benchcoe"),
        ("postgresql://ann@db/lab", "/data/benchcoe"),
    ],
)
def test_the_default_home_is_that_of_the_store(folder: Path, url: str | None, home: str) -> None:
    assert str(Settings.load(database_url=url).home) == home.format(here=folder)


def test_from_another_folder_the_same_store_has_the_same_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"sqlite:///{folder}/store.db", "postgresql://ann@db/lab"):
        monkeypatch.chdir(folder)
        before = Settings.load(database_url=url).home
        monkeypatch.chdir("/")
        assert Settings.load(database_url=url).home == before


@pytest.mark.parametrize("data", ["", "relative"])
def test_without_a_valid_folder_for_data_the_users_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", data)
    monkeypatch.setenv("HOME", "/home/ann")
    assert Settings.load(database_url="postgresql://db/lab").home == Path("/home/ann/.local/share/benchcoe")


def test_a_home_that_is_given_is_made_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(home="artifacts").home == folder / "artifacts"
    monkeypatch.setenv("BENCHCOE_HOME", "from-environment")
    assert Settings.load().home == folder / "from-environment"
    monkeypatch.delenv("BENCHCOE_HOME")
    (folder / CONFIG_FILE).write_text('home = "from-file"')
    assert Settings.load().home == folder / "from-file"
