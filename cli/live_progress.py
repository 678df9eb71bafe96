"""Live bars of a job and of the workers, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from benchcoe_jobs.store.job_queue.jobs import ShardGroupRow
    from benchcoe_jobs.store.job_queue.workers import WorkerRow


def show_bars(snapshots: Iterable[tuple[list[ShardGroupRow], list[WorkerRow]]]) -> None:
    """A bar for each shard_group, and a line for each worker, until the snapshots end."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shards]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        speed_estimate_period=1800,
    )
    bars: dict[tuple[int, int, str | None, str | None], TaskID] = {}
    with Live(progress, console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        for shard_groups, workers in snapshots:
            for shard_group in shard_groups:
                key = (shard_group.job_id, shard_group.stage, shard_group.expert, shard_group.benchmark)
                about = " ".join(
                    filter(
                        None,
                        [f"job {shard_group.job_id}", shard_group.expert, shard_group.benchmark or shard_group.queue],
                    )
                )
                if key not in bars:
                    bars[key] = progress.add_task(about, total=shard_group.items, shards="")
                progress.update(
                    bars[key],
                    completed=shard_group.reused + shard_group.answered + shard_group.errors,
                    shards=f"{shard_group.running} running, {shard_group.waiting} waiting"
                    + (f", {shard_group.failed} failed" if shard_group.failed else "")
                    + (f", {shard_group.errors} errors" if shard_group.errors else ""),
                )
            live.update(Group(progress, _crew(workers)))


def _crew(workers: list[WorkerRow]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for worker in workers:
        grid.add_row(worker.name, worker.queues, worker.expert or "-", f"seen {worker.seen_s_ago:.0f} s ago")
    return grid
