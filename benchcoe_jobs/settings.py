"""Where the store, the broker and the artifacts are: flag > BENCHCOE_* > benchcoe.toml > default."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from benchcoe_jobs.errors import InputError

CONFIG_FILE = "benchcoe.toml"
_DEFAULT_HOME = Path(".benchcoe")


@dataclass(frozen=True, slots=True)
class Settings:
    """The few things that differ from one installation to the next."""

    database_url: str = "sqlite:///benchcoe.db"
    broker_url: str | None = None
    home: Path = _DEFAULT_HOME

    @classmethod
    def load(cls, folder: Path | None = None, **flags: str | None) -> Settings:
        """Settings for a process that works in `folder` (default: the current one).

        Raises InputError where benchcoe.toml is no TOML or names an unknown setting.
        """
        values: dict[str, str] = _from_file((folder or Path.cwd()) / CONFIG_FILE)
        for name in (field.name for field in fields(cls)):
            if found := flags.get(name) or os.environ.get(f"BENCHCOE_{name.upper()}"):
                values[name] = found
        home = Path(values.pop("home", str(_DEFAULT_HOME))).expanduser()
        return cls(home=home, **values)


def _from_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    known = [field.name for field in fields(Settings)]
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{path}: unknown setting {name!r}; known are {', '.join(known)}")
        if not isinstance(value, str):
            raise InputError(f"{path}: {name} must be a string in quotes")
    return values
