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
    from benchcoe_jobs.store.job_queue.jobs import LotRow
    from benchcoe_jobs.store.job_queue.workers import WorkerRow


def show_bars(snapshots: Iterable[tuple[list[LotRow], list[WorkerRow]]]) -> None:
    """A bar for each lot, and a line for each worker, until the snapshots end."""
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
        for lots, workers in snapshots:
            for lot in lots:
                key = (lot.job_id, lot.stage, lot.expert, lot.benchmark)
                about = " ".join(filter(None, [f"job {lot.job_id}", lot.expert, lot.benchmark or lot.queue]))
                if key not in bars:
                    bars[key] = progress.add_task(about, total=lot.items, shards="")
                progress.update(
                    bars[key],
                    completed=lot.there + lot.answered + lot.errors,
                    shards=f"{lot.running} running, {lot.waiting} waiting"
                    + (f", {lot.failed} failed" if lot.failed else "")
                    + (f", {lot.errors} errors" if lot.errors else ""),
                )
            live.update(Group(progress, _crew(workers)))


def _crew(workers: list[WorkerRow]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for worker in workers:
        grid.add_row(worker.name, worker.queues, worker.expert or "-", f"seen {worker.seen_s_ago:.0f} s ago")
    return grid
