"""The command remove."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click
import pytest
import routing_world
import served_rows
from console import Cli
from prompt_files import chat, write

from benchcoe_jobs.cli import remove
from benchcoe_jobs.job_queue.lifecycle import cancel
from benchcoe_jobs.services.batch.job import submit_file
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.routing import served
from benchcoe_jobs.store.session import Store


@pytest.fixture
def job_id(store: Store, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A cancelled file with two lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    routing_world.fill(store, tmp_path)
    found, _ = submit_file(store, write(tmp_path / "p.jsonl", chat(1, "x"), chat(2, "y")), None)
    cancel(store, found)
    return found


def exists(store: Store) -> bool:
    with store.reading() as connection:
        return bool(jobs.list_jobs(connection))


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_finished_file_is_removed_after_a_confirmation(
    store: Store, job_id: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = cli(f"remove batch {job_id} --dry-run --json").json
    assert (shown["kind"], shown["dry_run"], [(one["job"], one["lines"]) for one in shown["removed"]]) == (
        "batch",
        True,
        [(job_id, 2)],
    )
    refused = cli(f"remove batch {job_id}")
    assert (refused.code, refused.out) == (2, "")
    assert f"1 file (job {job_id}) would be removed for good: confirm with --yes" in refused.err
    monkeypatch.setattr(remove, "_agreed", lambda _: False)
    assert cli(f"remove batch {job_id}").out == "0 files with 0 lines removed\n"
    assert exists(store)
    assert cli("remove batch --older-than 1h --yes").out == "0 files with 0 lines removed\n"
    assert cli("remove batch --older-than 0h --yes").out == "1 file with 2 lines removed\n"
    assert not exists(store)


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("remove batch", "name the jobs to remove, or give --older-than"),
        ("remove batch 1 --older-than 30d", "name the jobs to remove, or give --older-than"),
        ("remove batch one", "'one' is not the number of a job: `benchcoe-jobs jobs` lists all"),
        ("remove batch 99", "there is no job 99"),
        ("remove batch --older-than 30", "is not an age: use hours, days or weeks"),
        ("remove house 1", "'house' is not one of 'import', 'expert'"),
        ("remove import 99", "there is no import '99'"),
        ("remove router", "name the router to remove: `benchcoe-jobs routers` lists all"),
        ("remove expert e1 --older-than 3d", "--older-than is for `remove batch`"),
        ("remove served-decisions", "served decisions are removed by their age: give --older-than"),
        ("remove served-decisions d1 --older-than 3d", "give --older-than, and no name"),
        ("remove label-set 00", "there is no label set '00'"),
    ],
)
def test_usage_errors_remove_nothing(store: Store, job_id: int, cli: Cli, line: str, message: str) -> None:
    ended = cli(f"{line} --yes")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert exists(store)


@pytest.mark.usefixtures("job_id")
@pytest.mark.parametrize("dialect", ["sqlite"])
def test_served_decisions_are_removed_by_age(store: Store, cli: Cli) -> None:
    with store.writing() as connection:
        served.store_served(connection, [served_rows.decision(connection, "d1")], [])
    assert cli("remove served-decisions --older-than 0h --dry-run --json").json["removed"] == 1
    refused = cli("remove served-decisions --older-than 0h")
    assert (refused.code, refused.out) == (2, "")
    assert "1 served decision would be removed for good: confirm with --yes" in refused.err
    for removed in (1, 0):
        assert cli("remove served-decisions --older-than 0h --yes --json").json["removed"] == removed


@pytest.mark.parametrize(("text", "days"), [("48h", 2), ("30d", 30), ("4w", 28), ("0d", 0)])
def test_ages(text: str, days: int) -> None:
    assert remove.age(None, None, text) == timedelta(days=days)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "1m", "99999999d", "9999999w"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(click.BadParameter):
        remove.age(None, None, text)
