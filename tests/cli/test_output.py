"""Names and messages from outside do not act on the terminal, and JSON stays exact."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from console import Cli
from sqlalchemy import insert, update

from benchcoe_jobs.cli.command import Session, table
from benchcoe_jobs.cli.live_progress import show_bar, show_job_bars
from benchcoe_jobs.cli.output import echo, echo_block, echo_error, echo_json
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs, workers
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup, ShardGroupRow
from benchcoe_jobs.store.job_queue.tables import Job, Shard
from benchcoe_jobs.store.job_queue.workers import WorkerRow
from benchcoe_jobs.store.session import connect
from benchcoe_jobs.store.tables import Benchmark, Expert, Pool, PoolMember, Stratum, Subject

EVIL = "\x1b]0;title\x07\x9b2J\u202eevil[/red]\nError: no"
SHOWN = "\\x1b]0;title\\x07\\x9b2J\\u202eevil[/red]"
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    echo("", f"expert {EVIL}", "a\tb")
    echo_error(f"Error: {EVIL}")
    echo_block(f"Usage: {EVIL}\n")
    shown = capsys.readouterr()
    assert shown.out == f"\nexpert {SHOWN}\\nError: no\na\tb\n"
    assert shown.err == f"Error: {SHOWN} Error: no\nUsage: {SHOWN}\nError: no\n"


def test_notes_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(Settings(), as_json=False, quiet=False)
    session.note(f"note: {EVIL}")
    session.show_list("experts", [{"expert": EVIL, "n": 1}])
    shown = capsys.readouterr()
    assert shown.err == f"note: {SHOWN} Error: no\n"
    assert f"{SHOWN}\\nError: no" in shown.out
    table([[EVIL]], [EVIL])
    assert not CONTROLS.search(capsys.readouterr().out)


@pytest.mark.parametrize("value", [EVIL, "caf\u00e9 \u65e5 \U0001f600", "\x7f\x85\u2028", '"\\', "\ud800"])
def test_json_is_exact_and_harmless(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"name": value, value: [value]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": value, value: [value]}
    assert not CONTROLS.search(out)
    if value.isprintable():
        assert json.dumps(value, ensure_ascii=False) in out, "readable characters stay"


def test_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    with show_bar(f"profiling {EVIL}", 3) as advance:
        advance(3)
    group = ShardGroupRow(3, 0, "gpu", EVIL, EVIL, 1, 2, 1, 0, 0, 0, 40, 4, 0, 0, 1, 0.5)
    show_job_bars([([group], [WorkerRow(EVIL, "gpu,cpu", None, EVIL, 2.0)])])
    shown = capsys.readouterr().err
    assert SHOWN in shown
    for forbidden in ("\x07", "\x9b", "\u202e", "\x1b]"):  # the bars use other sequences
        assert forbidden not in shown


@pytest.fixture
def hostile(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of an earlier release, which allowed such names, and with what a worker and an endpoint reported."""
    shutil.copy(sqlite_template, tmp_path / "benchcoe.db")
    monkeypatch.chdir(tmp_path)
    store = connect("sqlite:///benchcoe.db")
    with store.writing() as connection:
        connection.execute(insert(Benchmark).values(id=1, name=EVIL))
        connection.execute(insert(Subject).values(id=1, benchmark_id=1, name=EVIL))
        connection.execute(insert(Stratum).values(id=1, subject_id=1, split="train"))
        connection.execute(insert(Expert).values(id=1, name=EVIL, engine="openai", model=EVIL))
        connection.execute(insert(Pool).values(id=7, name=EVIL))
        connection.execute(insert(PoolMember).values(pool_id=7, expert_id=1))
        job_id, _ = jobs.open_job(connection, "profile", {"expert": EVIL})
        jobs.add_shard_groups(connection, job_id, 0, [NewShardGroup(Queue.GPU, [({}, 1)], expert_id=1, benchmark_id=1)])
        connection.execute(update(Shard).values(state="failed", error=f"the endpoint answers 400: {EVIL}"))
        connection.execute(update(Job).values(error=EVIL))
        workers.heartbeat(connection, EVIL, ["cpu"], None)
    store.close()
    return tmp_path


COMMANDS = [
    "experts",
    "pools",
    "benchmarks",
    "jobs",
    "status 1",
    "doctor",
    "labels",
    "retire none",
    "profile none",
    "evaluate none",
    "build-labels --level subject --split train",
    "whatif --drop none",
    "audit",
]


@pytest.mark.parametrize("line", COMMANDS)
def test_what_commands_print_of_a_hostile_store(line: str, hostile: Path, cli: Cli) -> None:
    for ended in (cli(line), cli(f"{line} --json")):
        assert not CONTROLS.search(ended.out + ended.err)
        assert "unexpected" not in ended.err
        assert "\nError: no" not in ended.out + ended.err, "a name begins no line"


def test_the_json_of_a_hostile_store_is_exact(hostile: Path, cli: Cli) -> None:
    assert cli("experts --json").json["experts"][0]["expert"] == EVIL
    assert cli("status 1 --json").json["failures"][0]["error"] == f"the endpoint answers 400: {EVIL}"


def test_arguments_are_shown_harmlessly(hostile: Path, cli: Cli) -> None:
    for line in ("experts '\x1b[2J'", "'\x1b[2J'", "experts --'\x1b[2J'", "add-expert 'a\x1b[2J' --engine recorded"):
        ended = cli(line)
        assert ended.code == 2
        assert not CONTROLS.search(ended.err)
