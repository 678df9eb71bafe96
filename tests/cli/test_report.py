"""The command report: the file that it writes, and what it refuses. test_quickstart.py writes one as well."""

from __future__ import annotations

from pathlib import Path

import export_worlds
import pytest
import report_worlds
from console import Cli

from benchcoe_jobs.store.session import connect


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_template: Path) -> Path:
    """A working folder with a store that has a benchmark and three experts."""
    monkeypatch.chdir(tmp_path)
    Path("benchcoe.db").write_bytes(sqlite_template.read_bytes())
    store = connect("sqlite:///benchcoe.db")
    export_worlds.fill(store, report_worlds.RIGHT)
    store.close()
    return tmp_path


def test_the_sentence_is_printed_and_the_file_named(place: Path, cli: Cli) -> None:
    told = cli("report --out r.html --against sqlite:///benchcoe.db")
    assert told.code == 0, told.err
    assert told.out.startswith("Whether a router pays here is unknown: ")
    assert told.err == "r.html is written: open it in a browser\n"
    assert "Compared with the store sqlite:///benchcoe.db: 0 of 2 labels moved." in (place / "r.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "name the file to write with --out"),
        ("--json --since 2026-01-01 --against sqlite:///benchcoe.db", "give --since or --against, not both"),
        ("--json --since 2026-01-01", "no subject labels of pool 'all' on toy, split train, were frozen before"),
        ("--json --against sqlite:///other.db", "there is no result store at sqlite:///other.db"),
        ("--out missing/r.html", "missing/r.html: cannot be written"),
        ("--json --router r", "unknown router 'r'"),
    ],
)
def test_what_cannot_be_reported_is_told_in_one_line(place: Path, cli: Cli, options: str, message: str) -> None:
    told = cli(f"report {options}")
    assert told.code in (1, 2)
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert message in told.err
