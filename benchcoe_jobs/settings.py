"""The settings of an installation, in order of precedence: flag, BENCHCOE_* variable, benchcoe.toml, default."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import unquote

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.files import expanded, read_toml
from benchcoe_jobs.masking import remember, secrets_in_url

CONFIG_FILE = "benchcoe.toml"
_DEFAULT_DATABASE_URL = "sqlite:///benchcoe.db"
_HOME_NAME = ".benchcoe"
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")
_NOT_TEXT = ("lease_s", "open_broker")


@dataclass(frozen=True, slots=True)
class Settings:
    """The locations of the store, the broker and the artifacts.

    `load` makes `home` absolute. Without `broker_url`, work runs in the foreground. `lease_s` is the time in seconds
    for which a worker keeps its shard without a heartbeat. `open_broker` allows a broker on another machine without a
    password.
    """

    database_url: str = field(default=_DEFAULT_DATABASE_URL, repr=False)  # both may contain passwords
    broker_url: str | None = field(default=None, repr=False)
    home: Path = Path(_HOME_NAME)
    lease_s: float = 60.0
    open_broker: bool = False

    @classmethod
    def load(cls, folder: Path | None = None, **flags: str | None) -> Settings:
        """The settings of a process in `folder` (default: the current one).

        Raises InputError if benchcoe.toml is invalid or has an unknown setting, or if a value is invalid.
        """
        values: dict[str, str] = _from_file((folder or Path.cwd()) / CONFIG_FILE)
        for name in (setting.name for setting in fields(cls)):
            if found := flags.get(name) or os.environ.get(f"BENCHCOE_{name.upper()}"):
                values[name] = found
        for name, value in values.items():
            if "\0" in value:
                raise InputError(f"setting {name} contains a NUL character")
        home = (
            expanded(values.pop("home"))
            if "home" in values
            else _default_home(values.get("database_url", _DEFAULT_DATABASE_URL))
        )
        lease_s = _seconds(values.pop("lease_s", "60"))
        open_broker = _yes_or_no("open_broker", values.pop("open_broker", "no"))
        for url in values.values():  # database_url and broker_url
            remember(*secrets_in_url(url))
        return cls(home=home.absolute(), lease_s=lease_s, open_broker=open_broker, **values)


def _default_home(database_url: str) -> Path:
    """`.benchcoe` beside a SQLite file; for another database a folder of the user's data (XDG_DATA_HOME).

    It does not depend on the working folder, so that all commands on one store find the same routers.
    """
    scheme, _, path = database_url.partition(":///")
    path = unquote(path.partition("?")[0]).removeprefix("file:")
    if scheme.partition("+")[0] == "sqlite" and path not in ("", ":memory:"):
        return Path(path).parent / _HOME_NAME
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else expanded("~/.local/share")) / "benchcoe"


def _seconds(given: str) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= 86400:  # false for NaN
        raise InputError(f"setting lease_s is {given!r}: it must be a number of seconds from 1 to 86400")
    return seconds


def _yes_or_no(name: str, given: str) -> bool:
    if given.lower() not in (*_YES, *_NO):
        raise InputError(f"setting {name} is {given!r}: it must be yes or no")
    return given.lower() in _YES


def _from_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    values = read_toml(path)
    known = [setting.name for setting in fields(Settings)]
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{path}: unknown setting {name!r}; known are {', '.join(known)}")
        if isinstance(value, (dict, list)) or (name not in _NOT_TEXT and not isinstance(value, str)):
            raise InputError(f"{path}: {name} must be a string in quotes")
    return {name: str(value) for name, value in values.items()}
