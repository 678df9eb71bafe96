"""Settings that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.settings import Settings


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
