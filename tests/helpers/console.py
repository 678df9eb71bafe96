"""The command line run in this process, and what a store and its folder hold, to compare before and after."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from benchcoe_jobs.cli.main import execute
from benchcoe_jobs.store.session import connect

SIDE_FILES = ("-wal", "-shm")  # SQLite's own; they come and go


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[[str], Outcome]


def run(line: str, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Run a command line, as typed, in the current folder."""
    capsys.readouterr()
    code = execute(shlex.split(line))
    return Outcome(code, *capsys.readouterr())


RECORD_OF_WORK = {"job", "shard_group", "shard"}
"""That something was tried, and failed, is on record; no result is."""


def rows_of(url: str) -> dict[str, list[str]]:
    """Every row of every table of a store, as text, without the record of work."""
    store = connect(url)
    with store.reading() as connection:
        tables = set(inspect(connection).get_table_names()) - RECORD_OF_WORK
        found = {name: sorted(map(repr, connection.execute(text(f'SELECT * FROM "{name}"')))) for name in tables}
    store.close()
    return found


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content, databases left out: their rows are what counts."""
    return {
        str(path.relative_to(folder)): b"" if path.suffix == ".db" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(SIDE_FILES)
    }


def hears_interrupts() -> None:
    """For a child process: SIGINT as at a terminal. Where the tests run in the background it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
