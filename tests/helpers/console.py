"""Run the command line in this process, and read the content of a store and its folder for comparisons."""

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

SIDE_FILES = ("-wal", "-shm")  # SQLite creates and removes them


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[[str], Outcome]


def run(line: str, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Run a command line in the current folder, in this process."""
    capsys.readouterr()
    code = execute(shlex.split(line))
    return Outcome(code, *capsys.readouterr())


JOB_TABLES = {"job", "shard_group", "shard", "routing_snapshot"}
"""Tables that record attempts. A failed command may add rows to them, but not to the others."""


def rows_of(url: str) -> dict[str, list[str]]:
    """Every row of every table of a store as text, without the tables of jobs."""
    store = connect(url)
    with store.reading() as connection:
        tables = set(inspect(connection).get_table_names()) - JOB_TABLES
        found = {name: sorted(map(repr, connection.execute(text(f'SELECT * FROM "{name}"')))) for name in tables}
    store.close()
    return found


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content, except databases, of which the rows are compared."""
    return {
        str(path.relative_to(folder)): b"" if path.suffix == ".db" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(SIDE_FILES)
    }


def accept_interrupts() -> None:
    """Restore the default of SIGINT in a child process. It is ignored if the tests run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
