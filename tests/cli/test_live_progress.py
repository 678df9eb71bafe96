"""Progress bars on a terminal."""

from __future__ import annotations

import pytest

from benchcoe_jobs.cli.live_progress import show_bar, show_job_bars
from benchcoe_jobs.store.job_queue.jobs import ShardGroupRow
from benchcoe_jobs.store.job_queue.workers import WorkerRow


def group(answered: int, errors: int, failed: int) -> ShardGroupRow:
    return ShardGroupRow(3, 0, "gpu", "ann", "quiz", 1, 2, 1, 0, failed, 0, 40, 4, answered, errors, 1, 0.5)


@pytest.mark.parametrize("total", [None, 10])
def test_a_bar_leaves_stdout_alone(total: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    with show_bar("importing", total) as advance:
        advance(10)
    assert capsys.readouterr().out == ""


def test_a_job_has_one_bar_for_each_shard_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    snapshots = [
        ([group(answered, errors, failed)], [WorkerRow("w@host", "gpu,cpu", None, "ann", 2.0)])
        for answered, errors, failed in [(0, 0, 0), (30, 1, 1)]
    ]
    show_job_bars(snapshots)
    shown = capsys.readouterr()
    assert shown.out == ""
    last = shown.err[shown.err.rindex("job 3 ann quiz") :]
    assert "35/40" in last
    assert "1 running, 2 waiting, 1 failed, 1 error" in last
    assert "seen 2 s ago" in last
